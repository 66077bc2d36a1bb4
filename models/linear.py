"""The linear shape of a published policy: bilinear scores, a bias for each artwork, an exploration rule."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.array import Arrays, places_of, refuse_array, refuse_keys, refuse_names
from models.batch import Batch, Floats, Keys
from models.exploration import Exploration
from models.layout import ARTWORK, SHARED

MAX_FEATURE: Final = 32.0
"""A feature beyond ±32 counts as ±32, in training and in scoring alike: no wild number makes a score infinite."""

_MOST: Final = np.float32(MAX_FEATURE)

_SHAPES: Final = {
    "shared_weights": (len(SHARED),),
    "cross": (len(SHARED), len(ARTWORK)),
    "artwork_weights": (len(ARTWORK),),
    "constant": (),
    "unknown_bias": (),
}
"""What is fixed by the layout; `bias_keys` and `bias` are as long as the artworks known, `exploration` is JSON."""

ARRAYS: Final = frozenset({*_SHAPES, "bias_keys", "bias", "exploration"})
"""The names of the arrays that a saved policy consists of."""


def bounded(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip features to ±`MAX_FEATURE`; one that is not a number says nothing, as 0 does."""
    found = np.minimum(np.maximum(features, -_MOST), _MOST)
    found[np.isnan(found)] = 0.0
    return found


@dataclass(frozen=True, slots=True, eq=False)
class LinearPolicy:
    """Score candidates linearly, then explore.

        score(s, a) = constant + s·shared_weights + (sᵀ cross + artwork_weights)·a + bias[artwork]

    Args:
        shared_weights: `(S,)` float32, S = len(SHARED).
        cross: `(S, A)` float32, A = len(ARTWORK).
        artwork_weights: `(A,)` float32.
        constant: reward per impression that everything else is added to.
        bias_keys: `(b,)` artwork keys, strictly rising.
        bias: `(b,)` float32, their own reward per impression beside what features say.
        unknown_bias: the bias of every other artwork.
        exploration: what turns scores into probabilities.

    Raises:
        ContractError: naming the array, if one has a wrong shape or type, is not finite, or is not sorted.
    """

    KIND: ClassVar = "linear"

    shared_weights: NDArray[np.float32]
    cross: NDArray[np.float32]
    artwork_weights: NDArray[np.float32]
    constant: float
    bias_keys: Keys
    bias: NDArray[np.float32]
    unknown_bias: float
    exploration: Exploration

    def __post_init__(self) -> None:
        refuse_keys("bias_keys", self.bias_keys)
        refuse_array("bias", self.bias, np.float32, (self.bias_keys.size,))
        for name, shape in _SHAPES.items():
            refuse_array(name, getattr(self, name), np.float32 if shape else np.float64, shape)

    @classmethod
    def flat(cls, exploration: Exploration, **parts: Any) -> Self:
        """Make a policy of zeros and no known artworks, but for `parts`."""
        arrays = {name: np.zeros(shape, dtype=np.float32) for name, shape in _SHAPES.items() if shape}
        nobody = {"bias_keys": np.zeros(0, dtype=np.uint64), "bias": np.zeros(0, dtype=np.float32)}
        return cls(**{**arrays, **nobody, "constant": 0.0, "unknown_bias": 0.0, "exploration": exploration, **parts})

    def scores(self, batch: Batch) -> Floats:
        """Estimate the `(m,)` rewards per impression of the batch's candidates.

        Sums are made in float64: equal to 1e-12 on every machine, so that a propensity can be checked anywhere.
        """
        shared = bounded(batch.shared).astype(np.float64)
        artworks = bounded(batch.artworks).astype(np.float64)
        each = self.constant + shared @ self.shared_weights
        weights = shared @ self.cross + self.artwork_weights
        counts = batch.counts
        matched = np.einsum("ma,ma->m", np.repeat(weights, counts, axis=0), artworks)
        return np.asarray(np.repeat(each, counts) + matched + self.bias_of(batch.artwork_keys), dtype=np.float64)

    def bias_of(self, artworks: Keys) -> Floats:
        """Look up artworks' own biases: `(m,)` keys to `(m,)`."""
        if not self.bias_keys.size:
            return np.full(artworks.shape, self.unknown_bias)
        places = places_of(self.bias_keys, artworks)
        return np.where(places < 0, self.unknown_bias, self.bias[places].astype(np.float64))

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` probabilities of the batch's candidates, summing to 1 over each decision."""
        return self.exploration.pmf(self.scores(batch), batch.offsets, batch.artworks)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give everything as named arrays without objects, for `numpy.savez` and `from_arrays`."""
        names = ARRAYS - {"exploration"}
        rule = self.exploration.to_array()
        return {**{name: np.asarray(getattr(self, name)) for name in sorted(names)}, "exploration": rule}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make the policy that `arrays` described, exactly.

        Raises:
            ContractError: naming the array, if one is missing or breaks the contract.
        """
        refuse_names(arrays, set(ARRAYS))
        parts: dict[str, Any] = {name: arrays[name] for name in ARRAYS - {"exploration"}}
        for name in ("constant", "unknown_bias"):
            refuse_array(name, arrays[name], np.float64, ())
            parts[name] = float(arrays[name])
        return cls(**parts, exploration=Exploration.from_array(arrays["exploration"]))
