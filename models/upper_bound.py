"""The upper-bound shape of a published policy: what is expected over the compact features, and how sure that is.

    x(s, a)     = φ(s, a) with the artwork's lift as the last feature
    score(s, a) = x·weights + width·√(|xᵀ factor|² + (weights_last)²·variance[artwork])

`factor·factorᵀ` is the covariance of the weights; the second term is what is not known of the artwork itself.

Source: LinUCB, Li et al. 2010 (arXiv 1003.0146).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.array import Arrays, places_of, refuse_array, refuse_keys, refuse_names
from models.batch import Batch, Floats, Keys
from models.compact import COMPACT, compact_features
from models.error import ContractError
from models.exploration import Exploration

_WIDTH: Final = len(COMPACT) + 1
_NAMES: Final = ("weights", "factor", "width", "lift_keys", "lift", "variance", "unknown_variance")
_NUMBERS: Final = ("width", "unknown_variance")


@dataclass(frozen=True, slots=True, eq=False)
class UpperBoundPolicy:
    """Be optimistic where little is known.

    Args:
        weights: `(d + 1,)` float64, d = len(COMPACT).
        factor: `(d + 1, d + 1)` float64.
        width: standard deviations of optimism, at least 0.
        lift_keys: `(b,)` artwork keys, strictly rising.
        lift: `(b,)` float32, their lifts of `models.artwork_lift`; 0 for every other artwork.
        variance: `(b,)` float32, the variances of the lifts, at least 0.
        unknown_variance: the variance of every other artwork's lift, at least 0.
        exploration: what turns scores into probabilities.

    Raises:
        ContractError: naming the array, if one has a wrong shape or type, is not finite, negative or not sorted.
    """

    KIND: ClassVar = "upper-bound"

    weights: Floats
    factor: Floats
    width: float
    lift_keys: Keys
    lift: NDArray[np.float32]
    variance: NDArray[np.float32]
    unknown_variance: float
    exploration: Exploration

    def __post_init__(self) -> None:
        refuse_array("weights", self.weights, np.float64, (_WIDTH,))
        refuse_array("factor", self.factor, np.float64, (_WIDTH, _WIDTH))
        refuse_keys("lift_keys", self.lift_keys)
        for name in ("lift", "variance"):
            refuse_array(name, getattr(self, name), np.float32, (self.lift_keys.size,))
        for name in _NUMBERS:
            refuse_array(name, getattr(self, name), np.float64, ())
        for name in ("width", "variance", "unknown_variance"):
            if (np.asarray(getattr(self, name)) < 0).any():
                raise ContractError(f"{name} must be at least 0")

    def scores(self, batch: Batch) -> Floats:
        """Score the batch's m candidates: what each may well be worth, `(m,)`."""
        expected, uncertain = self.beliefs(batch)
        return np.asarray(expected + self.width * uncertain, dtype=np.float64)

    def beliefs(self, batch: Batch) -> tuple[Floats, Floats]:
        """Give the expected reward of each candidate and its standard deviation, `(m,)` each."""
        places = places_of(self.lift_keys, batch.artwork_keys)
        lift = np.append(self.lift.astype(np.float64), 0.0)[places]
        variance = np.append(self.variance.astype(np.float64), self.unknown_variance)[places]
        features = np.column_stack([compact_features(batch), lift])
        # Not by BLAS: see `models.thompson`.
        spread = np.einsum("md,ed->me", features, np.ascontiguousarray(self.factor.T))
        uncertain = np.sqrt(np.einsum("md,md->m", spread, spread) + self.weights[-1] ** 2 * variance)
        return features @ self.weights, uncertain

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` probabilities of the batch's candidates, summing to 1 over each decision."""
        return self.exploration.pmf(self.scores(batch), batch.offsets, batch.artworks)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give everything as named arrays without objects, for `numpy.savez` and `from_arrays`."""
        return {
            **{name: np.asarray(getattr(self, name)) for name in _NAMES},
            "exploration": self.exploration.to_array(),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make the policy that `arrays` described, exactly.

        Raises:
            ContractError: naming the array, if one is missing or breaks the contract.
        """
        refuse_names(arrays, {*_NAMES, "exploration"})
        parts: dict[str, Any] = {name: arrays[name] for name in _NAMES}
        for name in _NUMBERS:
            refuse_array(name, arrays[name], np.float64, ())
            parts[name] = float(arrays[name])
        return cls(**parts, exploration=Exploration.from_array(arrays["exploration"]))
