"""The keyed Gumbel-max draw: exact, stateless, sticky and recomputable.

    chosen = argmax over a of  log p(a) + G(profile, title, a, epoch)

with G a standard Gumbel variable made from a fixed 64-bit hash. Within one epoch the same (profile, title) meets the
same G, so the same pmf gives the same artwork, and a pmf that moves by total variation δ moves at most 2δ/(1+δ) of
the profiles.

Source: Gumbel-max, Maddison et al. 2014; the coupling's bound, Daliri et al. 2023 (arXiv 2408.07978).
"""

from math import log

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats, Keys, checked_offsets
from models.error import ContractError
from models.jit import FLOATS, INTEGERS, KEYS, inlined, jitted

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_SPARE_BITS, _TO_UNIT = np.uint64(12), 2.0**-52


@inlined
def mix(values: Keys) -> Keys:
    """Scramble 64-bit values one by one (the finalizer of SplitMix64, Steele et al. 2014)."""
    mixed = values >> _SHIFT_1
    mixed ^= values
    mixed *= _MIX_1
    mixed ^= mixed >> _SHIFT_2
    mixed *= _MIX_2
    mixed ^= mixed >> _SHIFT_3
    return mixed


@inlined
def combine(first: Keys, second: Keys) -> Keys:
    """Hash pairs of keys to keys; the order matters."""
    mixed = mix(first)
    mixed += _GOLDEN
    return mix(mixed + second * _MIX_1)


@inlined
def unit(keys: Keys) -> Floats:
    """Turn keys into numbers uniform on (0, 1), never 0 and never 1.

    52 bits and not 53: with one more, the greatest would be rounded to 1 and its Gumbel noise infinite.
    """
    return ((keys >> _SPARE_BITS) + 0.5) * _TO_UNIT  # type: ignore[return-value] # of 64 bits, which numpy does not say


def gumbel(offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys) -> Floats:
    """Make the `(m,)` Gumbel noise of each candidate.

    Args: offsets `(n + 1,)`; profiles, titles, epochs `(n,)`; artworks `(m,)`.
    """
    n = len(offsets) - 1
    if not len(profiles) == len(titles) == len(epochs) == n:
        raise ContractError(f"profiles, titles and epochs must be {n}")
    keys = [np.ascontiguousarray(each) for each in (profiles, titles, artworks, epochs)]
    return _noise(checked_offsets(offsets, len(artworks)), *keys)


def draw(
    pmf: Floats, offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys
) -> NDArray[np.int64]:
    """Draw one candidate for each decision.

    Args: pmf `(m,)`, summing to 1 over each decision's candidates; the rest as in `gumbel`.

    Returns: `(n,)` rows of the candidates. A candidate of probability 0 is never drawn.

    Raises:
        ContractError: if lengths do not fit.
        ValueError: if a probability is negative or not a number.
    """
    return drawn_with(pmf, gumbel(offsets, profiles, titles, artworks, epochs), offsets)


def drawn_with(pmf: Floats, noise: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw as `draw` does, and raise what it raises, with noise `(m,)` that `gumbel` made before."""
    if len(pmf) != len(noise):
        raise ContractError(f"{len(noise)} candidates have {len(pmf)} probabilities")
    return _drawn(np.ascontiguousarray(pmf, dtype=np.float64), noise, checked_offsets(offsets, len(noise)))


def segment_argmax(values: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the row of the greatest value in each segment, the first one on ties: `(m,)` to `(n,)`.

    Raises:
        ContractError: if the offsets do not go from 0 to m.
        ValueError: if a value is not a number.
    """
    return _greatest(np.ascontiguousarray(values, dtype=np.float64), checked_offsets(offsets, len(values)))


@jitted(INTEGERS, KEYS, KEYS, KEYS, KEYS)
def _noise(offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys) -> Floats:
    noise = np.empty(artworks.size)
    for decision in range(offsets.size - 1):
        # combine(decision, artwork) for each candidate, with what only depends on the decision made once for it.
        drawn_for = mix(combine(combine(profiles[decision], titles[decision]), epochs[decision])) + _GOLDEN
        for row in range(offsets[decision], offsets[decision + 1]):
            noise[row] = -log(-log(unit(mix(drawn_for + artworks[row] * _MIX_1))))
    return noise


@jitted(FLOATS, FLOATS, INTEGERS)
def _drawn(pmf: Floats, noise: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    chosen = np.empty(offsets.size - 1, dtype=np.int64)
    for decision in range(offsets.size - 1):
        best, chosen[decision] = -np.inf, offsets[decision]
        of, logarithm = 1.0, 0.0  # most candidates have the probability of the one before
        for row in range(offsets[decision], offsets[decision + 1]):
            if not pmf[row] >= 0.0:
                raise ValueError("a probability is negative or not a number")
            if pmf[row] != of and pmf[row] > 0.0:
                of, logarithm = pmf[row], log(pmf[row])
            if pmf[row] > 0.0 and logarithm + noise[row] > best:
                best, chosen[decision] = logarithm + noise[row], row
    return chosen


@jitted(FLOATS, INTEGERS)
def _greatest(values: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = offsets[:-1].copy()
    for segment in range(rows.size):
        for row in range(offsets[segment], offsets[segment + 1]):
            if not values[row] <= np.inf:
                raise ValueError("a value is not a number")
            if values[row] > values[rows[segment]]:
                rows[segment] = row
    return rows
