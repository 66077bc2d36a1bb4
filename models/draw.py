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

from models.batch import Floats, Keys
from models.compiled import FLOATS, INTEGERS, KEYS, compiled, inlined

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
    keys = [np.ascontiguousarray(each, dtype=np.uint64) for each in (profiles, titles, artworks, epochs)]
    return _noise(np.ascontiguousarray(offsets, dtype=np.int64), *keys)


def draw(
    pmf: Floats, offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys
) -> NDArray[np.int64]:
    """Draw one candidate for each decision.

    Args: pmf `(m,)`, summing to 1 over each decision's candidates; the rest as in `gumbel`.

    Returns: `(n,)` rows of the candidates. A candidate of probability 0 is never drawn.
    """
    noise = gumbel(offsets, profiles, titles, artworks, epochs)
    return _drawn(np.ascontiguousarray(pmf, dtype=np.float64), noise, np.ascontiguousarray(offsets, dtype=np.int64))


def segment_argmax(values: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the row of the greatest value in each segment, the first one on ties: `(m,)` to `(n,)`."""
    return _greatest(np.ascontiguousarray(values, dtype=np.float64), np.ascontiguousarray(offsets, dtype=np.int64))


@compiled(INTEGERS, KEYS, KEYS, KEYS, KEYS)
def _noise(offsets: NDArray[np.int64], profiles: Keys, titles: Keys, artworks: Keys, epochs: Keys) -> Floats:
    noise = np.empty(artworks.size)
    for decision in range(offsets.size - 1):
        # combine(decision, artwork) for each candidate, with what only depends on the decision made once for it.
        drawn_for = mix(combine(combine(profiles[decision], titles[decision]), epochs[decision])) + _GOLDEN
        for row in range(offsets[decision], offsets[decision + 1]):
            noise[row] = -log(-log(unit(mix(drawn_for + artworks[row] * _MIX_1))))
    return noise


@compiled(FLOATS, FLOATS, INTEGERS)
def _drawn(pmf: Floats, noise: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    chosen = np.empty(offsets.size - 1, dtype=np.int64)
    for decision in range(offsets.size - 1):
        best, chosen[decision] = -np.inf, offsets[decision]
        of, logarithm = 1.0, 0.0  # most candidates have the probability of the one before
        for row in range(offsets[decision], offsets[decision + 1]):
            if pmf[row] != of and pmf[row] > 0.0:
                of, logarithm = pmf[row], log(pmf[row])
            if pmf[row] > 0.0 and logarithm + noise[row] > best:
                best, chosen[decision] = logarithm + noise[row], row
    return chosen


@compiled(FLOATS, INTEGERS)
def _greatest(values: Floats, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = offsets[:-1].copy()
    for segment in range(rows.size):
        for row in range(offsets[segment] + 1, offsets[segment + 1]):
            if values[row] > values[rows[segment]]:
                rows[segment] = row
    return rows
