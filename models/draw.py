"""The keyed Gumbel-max draw: exact, stateless, sticky and recomputable.

    chosen = argmax over a of  log p(a) + G(profile, title, a, epoch)

with G a standard Gumbel variable made from a fixed 64-bit hash. Within one epoch the same (profile, title) meets the
same G, so the same pmf gives the same artwork, and a pmf that moves by total variation δ moves at most 2δ/(1+δ) of
the profiles.

Source: Gumbel-max, Maddison et al. 2014; the coupling's bound, Daliri et al. 2023 (arXiv 2408.07978).
"""

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats, Keys

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_TO_UNIT = 2.0**-52


def mix(values: Keys) -> Keys:
    """Scramble 64-bit values one by one (the finalizer of SplitMix64, Steele et al. 2014)."""
    mixed = values >> _SHIFT_1
    mixed ^= values
    mixed *= _MIX_1
    mixed ^= mixed >> _SHIFT_2
    mixed *= _MIX_2
    mixed ^= mixed >> _SHIFT_3
    return mixed


def combine(first: Keys, second: Keys) -> Keys:
    """Hash pairs of keys to keys; the order matters."""
    mixed = mix(first)
    mixed += _GOLDEN
    return mix(mixed + second * _MIX_1)


def unit(keys: Keys) -> Floats:
    """Turn keys into numbers uniform on (0, 1), never 0 and never 1.

    52 bits and not 53: with one more, the greatest would be rounded to 1 and its Gumbel noise infinite.
    """
    return ((keys >> np.uint64(12)).astype(np.float64) + 0.5) * _TO_UNIT


def gumbel(offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys) -> Floats:
    """Make the `(m,)` Gumbel noise of each candidate.

    Args: offsets `(n + 1,)`; profiles, titles, epochs `(n,)`; artworks `(m,)`.
    """
    # combine(decision, artwork) for each candidate, with what only depends on the decision made once for it.
    per_decision = mix(combine(combine(profiles, titles), epochs)) + _GOLDEN
    noise = unit(mix(per_decision.repeat(offsets[1:] - offsets[:-1]) + artworks * _MIX_1))
    for _ in range(2):
        np.log(noise, out=noise)
        np.negative(noise, out=noise)
    return noise


def draw(
    pmf: Floats, offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys
) -> NDArray[np.int64]:
    """Draw one candidate for each decision.

    Args: pmf `(m,)`, summing to 1 over each decision's candidates; the rest as in `gumbel`.

    Returns: `(n,)` rows of the candidates. A candidate of probability 0 is never drawn.
    """
    keyed = gumbel(offsets, profiles, titles, artworks, epochs)
    with np.errstate(divide="ignore"):
        keyed += np.log(pmf)
    return segment_argmax(keyed, offsets)


def segment_argmax(values: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the row of the greatest value in each segment, the first one on ties: `(m,)` to `(n,)`."""
    best = np.maximum.reduceat(values, offsets[:-1])
    rows = (values == best.repeat(offsets[1:] - offsets[:-1])).nonzero()[0]
    return np.asarray(rows[rows.searchsorted(offsets[:-1])], dtype=np.int64)
