"""The shapes that a published policy can have, by kind: a score function in NumPy and an exploration rule.

A scorer knows these and nothing else; what a learner learned is compiled into one of them. A new shape is one line
here, and is found by the checks that every policy must pass.
"""

from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.array import Arrays
from models.batch import Batch, Floats
from models.ensemble import EnsemblePolicy
from models.error import ContractError
from models.exploration import Exploration
from models.linear import LinearPolicy
from models.policy import Policy
from models.thompson import ThompsonPolicy
from models.upper_bound import UpperBoundPolicy


class PublishedPolicy(Policy, Protocol):
    """A policy that consists of arrays: it can be saved, read back exactly, and proved on a sample."""

    KIND: ClassVar[str]

    @property
    def exploration(self) -> Exploration:
        """What turns scores into probabilities."""
        ...

    def scores(self, batch: Batch) -> Floats:
        """Score the batch's m candidates, higher is better: `(m,)`, or `(M, m)` for M members."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give everything as named arrays without objects."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make the policy that `arrays` described, exactly; `ContractError` where they break the contract."""
        ...


SHAPES: Final[tuple[type[PublishedPolicy], ...]] = (LinearPolicy, EnsemblePolicy, ThompsonPolicy, UpperBoundPolicy)

_KIND: Final = "kind"


def to_arrays(policy: PublishedPolicy) -> dict[str, NDArray[Any]]:
    """Give a policy of any shape as named arrays, its kind among them."""
    return {**policy.arrays(), _KIND: np.array(policy.KIND)}


def from_arrays(arrays: Arrays) -> PublishedPolicy:
    """Make the policy that `to_arrays` described, exactly.

    Arrays without a kind are linear: they were saved before there were others.

    Raises:
        ContractError: if the kind is unknown, or the arrays break its contract.
    """
    kinds = {shape.KIND: shape for shape in SHAPES}
    kind = str(arrays.get(_KIND, LinearPolicy.KIND))
    if kind not in kinds:
        raise ContractError(f"kind must be one of {sorted(kinds)}, got {kind!r}")
    return kinds[kind].from_arrays({name: array for name, array in arrays.items() if name != _KIND})
