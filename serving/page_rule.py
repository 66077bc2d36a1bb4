"""Rules of the whole page: what one title shows weighs on the titles after it.

Titles are drawn in the order of the page. An artwork whose dominant motif was drawn n times before it keeps factorⁿ of
what the policy gave it beyond its guarantee; what is taken is shared by the title's other artworks:

    pmf(a | before) = g(a) + (1 − Σ g) · r(a)·factorⁿ⁽ᵃ⁾ / Σ r·factorⁿ,    r = p − g

with g the floor and launch budget of the policy's exploration rule, so that no artwork falls below what it is
guaranteed. This is the exact probability of what is drawn, given what was drawn before it: the propensity that is
logged. Estimates that weigh with it stay unbiased for what each title would get on its own.
"""

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.draw import drawn_with


def draw_in_turn(
    pmf: Floats,
    guaranteed: Floats,
    noise: Floats,
    offsets: NDArray[np.int64],
    motifs: NDArray[np.int64],
    factor: float,
    *,
    firsts: Collection[int] = (0,),
) -> tuple[NDArray[np.int64], Floats]:
    """Draw one candidate for each title in turn.

    Args: pmf, guaranteed and noise `(m,)`, noise as `models.draw.gumbel` makes it; offsets `(n + 1,)`; motifs `(m,)`,
    equal for equal motifs and 0 for none; factor in (0, 1]; firsts, the titles that begin a page.

    Returns: `(n,)` rows of the candidates, and the `(m,)` conditional probabilities that they were drawn from.
    """
    chosen = drawn_with(pmf, noise, offsets)
    conditional, bounds, motif_of = pmf.copy(), offsets.tolist(), motifs.tolist()
    n_shown: dict[int, int] = {}
    for title, (first, stop) in enumerate(pairwise(bounds)):
        if title in firsts:
            n_shown = {}
        times = [n_shown.get(motif, 0) for motif in motif_of[first:stop]]
        if any(times):
            own = slice(first, stop)
            conditional[own] = _given(pmf[own], guaranteed[own], factor ** np.array(times, dtype=np.float64))
            chosen[title] = first + drawn_with(conditional[own], noise[own], np.array([0, stop - first]))[0]
        if motif := motif_of[chosen[title]]:
            n_shown[motif] = n_shown.get(motif, 0) + 1
    return chosen, conditional


def _given(pmf: Floats, guaranteed: Floats, weights: Floats) -> Floats:
    """Weigh what one title's candidates have beyond their guarantee, and bring it back to the same sum."""
    beyond = np.maximum(pmf - guaranteed, 0.0)
    weighed = beyond * weights
    total = weighed.sum()
    return pmf if total <= 0.0 else np.asarray(guaranteed + beyond.sum() * weighed / total, dtype=np.float64)
