"""Decisions as arrays: n decisions whose m candidate artworks lie end to end."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.error import ContractError
from models.layout import ARTWORK, SHARED

Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a policy may look at.

    Candidate artworks of decision i are rows `offsets[i]:offsets[i + 1]` of every `(m, …)` array. Missing features are
    zeros: a cold profile, title or artwork is a row of zeros, never a refusal.

    Args:
        offsets: `(n + 1,)` int64, rising, from 0 to m; every decision has at least one candidate.
        profile_keys: `(n,)` 64-bit keys of `models.identity`.
        title_keys: `(n,)` likewise.
        artwork_keys: `(m,)` likewise.
        shared: `(n, len(SHARED))` float32.
        artworks: `(m, len(ARTWORK))` float32.

    Raises:
        ContractError: if the shapes do not fit.
    """

    offsets: NDArray[np.int64]
    profile_keys: Keys
    title_keys: Keys
    artwork_keys: Keys
    shared: NDArray[np.float32]
    artworks: NDArray[np.float32]

    def __post_init__(self) -> None:
        n, m = len(self.offsets) - 1, len(self.artwork_keys)
        expected = {
            "profile_keys": (n,),
            "title_keys": (n,),
            "shared": (n, len(SHARED)),
            "artworks": (m, len(ARTWORK)),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ContractError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        if n < 0 or self.offsets[0] != 0 or self.offsets[-1] != m or (np.diff(self.offsets) < 1).any():
            raise ContractError(f"offsets must rise from 0 to {m} by at least 1 each")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """`(n,)`: how many candidates each decision has."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> NDArray[np.int64]:
        """`(m,)`: the decision that each candidate belongs to."""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, rows: NDArray[np.int64]) -> "Batch":
        """Select decisions by row number, in that order."""
        counts = self.counts[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        candidates = self.candidate_rows(rows)
        return Batch(
            offsets=offsets,
            profile_keys=self.profile_keys[rows],
            title_keys=self.title_keys[rows],
            artwork_keys=self.artwork_keys[candidates],
            shared=self.shared[rows],
            artworks=self.artworks[candidates],
        )

    def blocks(self, most_candidates: int) -> Iterator["Batch"]:
        """Cut the batch into runs of decisions of at most so many candidates each, or of one decision alone."""
        first = 0
        while first < len(self):
            limit = self.offsets[first] + most_candidates
            stop = max(int(np.searchsorted(self.offsets, limit, side="right")) - 1, first + 1)
            yield self if stop - first == len(self) else self.take(np.arange(first, stop))
            first = stop

    def candidate_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """List the candidate rows of the decisions `rows`, end to end."""
        counts = self.counts[rows]
        starts = np.cumsum(counts) - counts
        return np.asarray(np.arange(counts.sum()) + np.repeat(self.offsets[rows] - starts, counts), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """Decisions with what was drawn and what came of it.

    Args:
        batch: n decisions with m candidates.
        chosen: `(n,)` int64, the chosen artwork as a row of the candidates, in `offsets[i]:offsets[i + 1]`.
        propensity: `(n,)` in (0, 1], as logged.
        reward: `(n,)`, 1 for a quality play, else 0.
        decision_ids: `(n,)` objects.
        decided_at: `(n,)` datetime64[us], UTC.
        device, country, cell: `(n,)` objects, for segments and checks.
        epoch: `(n,)` int64, the stickiness epoch of each draw, if known.
        title_ids, artwork_ids: `(n,)` and `(m,)` objects, by which reports name what they find, if known.

    Raises:
        ContractError: naming the decision_id and the value, where a propensity, reward or choice cannot be.
    """

    batch: Batch
    chosen: NDArray[np.int64]
    propensity: Floats
    reward: Floats
    decision_ids: NDArray[np.object_]
    decided_at: NDArray[np.datetime64]
    device: NDArray[np.object_]
    country: NDArray[np.object_]
    cell: NDArray[np.object_]
    epoch: NDArray[np.int64] | None = None
    title_ids: NDArray[np.object_] | None = None
    artwork_ids: NDArray[np.object_] | None = None

    def __post_init__(self) -> None:
        n = len(self.batch)
        for name in ("chosen", "propensity", "reward", "decision_ids", "decided_at", "device", "country", "cell"):
            if getattr(self, name).shape != (n,):
                raise ContractError(f"{name} must have shape {(n,)}, got {getattr(self, name).shape}")
        for name, expected in (("epoch", n), ("title_ids", n), ("artwork_ids", len(self.batch.artwork_keys))):
            told = getattr(self, name)
            if told is not None and told.shape != (expected,):
                raise ContractError(f"{name} must have shape {(expected,)}, got {told.shape}")
        offsets = self.batch.offsets
        self._refuse(~((self.propensity > 0) & (self.propensity <= 1)), "propensity", "in (0, 1]", self.propensity)
        self._refuse(~np.isfinite(self.reward), "reward", "finite", self.reward)
        outside = (self.chosen < offsets[:-1]) | (self.chosen >= offsets[1:])
        self._refuse(outside, "chosen", "among the decision's own candidates", self.chosen)

    def _refuse(self, bad: NDArray[np.bool_], name: str, expected: str, values: NDArray[np.generic]) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            raise ContractError(f"{name} must be {expected}, got {values[row]} (decision_id={self.decision_ids[row]})")

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def shown(self) -> Batch:
        """The decisions with the chosen artwork as their only candidate: what a reward tells about."""
        return Batch(
            offsets=np.arange(len(self) + 1),
            profile_keys=self.batch.profile_keys,
            title_keys=self.batch.title_keys,
            artwork_keys=self.batch.artwork_keys[self.chosen],
            shared=self.batch.shared,
            artworks=self.batch.artworks[self.chosen],
        )

    def take(self, rows: NDArray[np.int64]) -> "LoggedBatch":
        """Select decisions by row number, in that order."""
        counts = self.batch.counts[rows]
        starts = np.cumsum(counts) - counts
        return LoggedBatch(
            batch=self.batch.take(rows),
            chosen=self.chosen[rows] - self.batch.offsets[rows] + starts,
            propensity=self.propensity[rows],
            reward=self.reward[rows],
            decision_ids=self.decision_ids[rows],
            decided_at=self.decided_at[rows],
            device=self.device[rows],
            country=self.country[rows],
            cell=self.cell[rows],
            epoch=None if self.epoch is None else self.epoch[rows],
            title_ids=None if self.title_ids is None else self.title_ids[rows],
            artwork_ids=None if self.artwork_ids is None else self.artwork_ids[self.batch.candidate_rows(rows)],
        )


def checked_offsets(offsets: NDArray[np.int64], m: int) -> NDArray[np.int64]:
    """Give offsets as loops take them, int64 and contiguous.

    Raises:
        ContractError: if they do not go from 0 to m.
    """
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != m:
        raise ContractError(f"offsets must go from 0 to {m}, got {offsets[:1].tolist()} to {offsets[-1:].tolist()}")
    return np.ascontiguousarray(offsets, dtype=np.int64)
