"""The ensemble shape of a published policy: linear members that each score for themselves, and vote.

What bootstrapped learners give (VW's `--bag`). A member's vote goes to its best candidate, tied best share it, and the
pmf is the share of votes: the very probabilities of drawing a member and doing as it says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.array import Arrays, places_of, refuse_names
from models.batch import Batch, Floats, Keys
from models.error import ContractError
from models.exploration import Exploration
from models.linear import ARRAYS, LinearPolicy, bounded

_SHARED: Final = frozenset({"bias_keys", "exploration"})
"""What all members have in common, and is saved once; every other array has the members as its first axis."""

_BLOCK: Final = 4096
"""Candidates scored at a time: each meets the weights of every member, which bounds memory."""

_AXES: Final = {"cross": 1, "artwork_weights": 0}
"""Where scoring wants the members: before the artwork columns that it sums over, or last."""


@dataclass(frozen=True, slots=True, eq=False)
class EnsemblePolicy:
    """M linear policies that vote.

    Args: members, M of them, alike in `bias_keys` and `exploration`.

    Raises:
        ContractError: if there is none, or they are not alike.
    """

    KIND: ClassVar = "ensemble"

    members: tuple[LinearPolicy, ...]
    _stacked: dict[str, Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.members:
            raise ContractError("an ensemble must have at least one member")
        first = self.members[0]
        for member in self.members:
            if member.exploration != first.exploration or not np.array_equal(member.bias_keys, first.bias_keys):
                raise ContractError("members of an ensemble must be alike in bias_keys and exploration")
        stacked = {
            name: np.stack(
                [np.asarray(getattr(member, name), np.float64) for member in self.members], axis=_AXES.get(name, -1)
            )
            for name in ARRAYS - _SHARED
        }
        object.__setattr__(self, "_stacked", stacked)

    @property
    def exploration(self) -> Exploration:
        """The rule of every member and of the whole."""
        return self.members[0].exploration

    @property
    def bias_keys(self) -> Keys:
        """The artworks that every member knows, strictly rising."""
        return self.members[0].bias_keys

    def scores(self, batch: Batch) -> Floats:
        """Estimate the rewards per impression of the batch's candidates as each member sees them: `(M, m)`."""
        parts, counts = self._stacked, batch.counts
        shared = bounded(batch.shared).astype(np.float64)
        artworks = bounded(batch.artworks).astype(np.float64)
        each = parts["constant"] + shared @ parts["shared_weights"]
        n_shared, n_members, n_artwork = parts["cross"].shape
        crossed = (shared @ parts["cross"].reshape(n_shared, -1)).reshape(-1, n_members, n_artwork)
        weights = np.repeat(crossed + parts["artwork_weights"], counts, axis=0)
        matched = np.einsum("mka,ma->mk", weights, artworks)
        return np.ascontiguousarray((np.repeat(each, counts, axis=0) + matched + self._bias_of(batch)).T)

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` probabilities of the batch's candidates, summing to 1 over each decision."""
        blocks = [self.exploration.pmf(self.scores(each), each.offsets, each.artworks) for each in batch.blocks(_BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros(0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give everything as named arrays without objects, for `numpy.savez` and `from_arrays`."""
        each = [member.arrays() for member in self.members]
        stacked = {name: np.stack([arrays[name] for arrays in each]) for name in sorted(ARRAYS - _SHARED)}
        return {**stacked, **{name: each[0][name] for name in sorted(_SHARED)}}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make the policy that `arrays` described, exactly.

        Raises:
            ContractError: naming the array, if one is missing or breaks the contract.
        """
        refuse_names(arrays, set(ARRAYS))
        return cls(tuple(LinearPolicy.from_arrays(each) for each in _split(arrays)))

    def _bias_of(self, batch: Batch) -> Floats:
        """Look up the artworks' own biases, `(m, M)`."""
        unknown = self._stacked["unknown_bias"]
        places = places_of(self.bias_keys, batch.artwork_keys)
        if not self.bias_keys.size:
            return np.broadcast_to(unknown, (len(places), len(unknown)))
        return np.where((places < 0)[:, None], unknown, self._stacked["bias"][places])


def _split(arrays: Arrays) -> Iterator[dict[str, NDArray[Any]]]:
    """Give each member's own arrays."""
    sizes = {name: arrays[name].shape[:1] for name in ARRAYS - _SHARED}
    if len(set(sizes.values())) != 1 or reduce(max, sizes.values()) == ():
        raise ContractError(f"an ensemble's arrays must have one number of members first, got {sizes}")
    for number in range(len(arrays["constant"])):
        own = {name: np.asarray(arrays[name][number]) for name in ARRAYS - _SHARED}
        yield {**own, **{name: arrays[name] for name in _SHARED}}
