"""The policy in force: loaded once, checked once, and swapped as one reference."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats, checked_offsets
from models.error import BundleError
from models.jit import FLOATS, INTEGERS, jitted
from models.layout import ARTWORK, SHARED
from models.policy import Policy

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A published policy and, for when it fails, the best known artwork by take fraction, both of one bundle."""

    version: str
    policy: Policy
    fallback: Policy


class PolicySource(Protocol):
    """Where policies are published."""

    def poll(self) -> LoadedPolicy | None:
        """Load the live policy if another one is live than at the last call that gave one; else None.

        Raises:
            BundleError: once for every published policy that cannot be trusted.
            OSError: if the store does not answer; asking again may help.
        """
        ...

    def take_back(self) -> None:
        """Give what `poll` gave last again, at a later call: it could not be put in force."""
        ...


def is_pmf(pmf: Floats, offsets: NDArray[np.int64]) -> bool:
    """Tell whether `(m,)` values are probabilities that sum to 1 over each decision's candidates."""
    if pmf.shape != (offsets[-1],):
        return False
    return _sum_to_1(np.ascontiguousarray(pmf, dtype=np.float64), checked_offsets(offsets, len(pmf)))


@jitted(FLOATS, INTEGERS)
def _sum_to_1(pmf: Floats, offsets: NDArray[np.int64]) -> bool:
    for decision in range(offsets.size - 1):
        total = 0.0
        for row in range(offsets[decision], offsets[decision + 1]):
            if not pmf[row] >= 0.0:  # what is not a number fails both comparisons
                return False
            total += pmf[row]
        if not abs(total - 1.0) <= _TOLERANCE:
            return False
    return True


def refuse_unusable(loaded: LoadedPolicy) -> None:
    """Score a few decisions of cold and of random vectors with both policies of a bundle, before it goes live.

    Raises:
        BundleError: if either fails or answers with something else than probabilities.
    """
    counts = np.array([1, 2, 7])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    n, m = len(counts), int(offsets[-1])
    generator = np.random.default_rng(0)
    for scale in (0.0, 1.0):
        batch = Batch(
            offsets=offsets,
            profile_keys=np.arange(n, dtype=np.uint64),
            title_keys=np.arange(n, dtype=np.uint64),
            artwork_keys=np.arange(m, dtype=np.uint64),
            shared=(scale * generator.normal(size=(n, len(SHARED)))).astype(np.float32),
            artworks=(scale * generator.normal(size=(m, len(ARTWORK)))).astype(np.float32),
        )
        for name, policy in (("policy", loaded.policy), ("fallback", loaded.fallback)):
            try:
                usable = is_pmf(policy.pmf(batch), batch.offsets)
            except Exception as error:  # the boundary to the policy
                raise BundleError(f"the {name} of {loaded.version} cannot score a page: {error!r}") from error
            if not usable:
                raise BundleError(f"the {name} of {loaded.version} gives no probabilities")
