"""The Thompson shape of a published policy: posterior samples over the compact features, which vote.

    score_k(s, a) = φ(s, a)·weights_k + bias_k[artwork]        k = 1 … M
    pmf(a)        = the share of the M samples whose greatest score is a's, then the exploration rule's guarantees

The samples are drawn once, at training, and are a part of the policy. Its pmf is therefore Monte Carlo as an estimate
of the posterior's, but exact as the probability of what is shown: nothing is drawn anew at a decision but the artwork.

Source: linear Thompson sampling, Agrawal & Goyal 2013 (arXiv 1209.3352).
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

_BLOCK: Final = 4096
"""Candidates scored at a time: each has a score of every sample, which bounds memory."""

_NAMES: Final = ("weights", "bias_keys", "bias", "unknown_bias")


@dataclass(frozen=True, slots=True, eq=False)
class ThompsonPolicy:
    """M samples of what is believed.

    Args:
        weights: `(M, len(COMPACT))` float64, M at least 1.
        bias_keys: `(b,)` artwork keys, strictly rising.
        bias: `(b, M)` float32, their own reward per impression beside what features say.
        unknown_bias: `(M,)` float64, the bias of every other artwork: in one sample the same for all of them.
        exploration: what turns scores into votes and guarantees what votes do not.

    Raises:
        ContractError: naming the array, if one has a wrong shape or type, is not finite, or is not sorted.
    """

    KIND: ClassVar = "thompson"

    weights: Floats
    bias_keys: Keys
    bias: NDArray[np.float32]
    unknown_bias: Floats
    exploration: Exploration

    def __post_init__(self) -> None:
        n_samples = self.weights.shape[0] if self.weights.ndim else 0
        if not n_samples:
            raise ContractError("weights must hold at least one sample")
        refuse_array("weights", self.weights, np.float64, (n_samples, len(COMPACT)))
        refuse_keys("bias_keys", self.bias_keys)
        refuse_array("bias", self.bias, np.float32, (self.bias_keys.size, n_samples))
        refuse_array("unknown_bias", self.unknown_bias, np.float64, (n_samples,))

    def scores(self, batch: Batch) -> Floats:
        """Score the batch's m candidates by each sample: `(M, m)`."""
        # Not by BLAS: for a product of this size it wakes threads, and waking them costs a page more than the product.
        learned = np.einsum("md,kd->mk", compact_features(batch), self.weights)
        return np.ascontiguousarray((learned + self.bias_of(batch.artwork_keys)).T)

    def bias_of(self, artworks: Keys) -> Floats:
        """Look up artworks' own biases: `(m,)` keys to `(m, M)`."""
        if not self.bias_keys.size:
            return np.broadcast_to(self.unknown_bias, (len(artworks), len(self.unknown_bias)))
        places = places_of(self.bias_keys, artworks)
        return np.where((places < 0)[:, None], self.unknown_bias, self.bias[places].astype(np.float64))

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` probabilities of the batch's candidates, summing to 1 over each decision."""
        blocks = [self.exploration.pmf(self.scores(each), each.offsets, each.artworks) for each in batch.blocks(_BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros(0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give everything as named arrays without objects, for `numpy.savez` and `from_arrays`."""
        return {**{name: getattr(self, name) for name in _NAMES}, "exploration": self.exploration.to_array()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make the policy that `arrays` described, exactly.

        Raises:
            ContractError: naming the array, if one is missing or breaks the contract.
        """
        refuse_names(arrays, {*_NAMES, "exploration"})
        parts: dict[str, Any] = {name: arrays[name] for name in _NAMES}
        return cls(**parts, exploration=Exploration.from_array(arrays["exploration"]))
