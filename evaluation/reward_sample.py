"""The bounded sample of decisions that the reward model is fitted on, and the folds of their profiles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.reward_feature import N_CANDIDATE, N_DECISION, candidate_features, decision_features
from models.batch import Floats, Keys, LoggedBatch
from models.draw import combine, unit
from models.identity import hash64

N_FOLDS = 3
MAX_SAMPLE = 40_000
"""Decisions that coefficients are fitted on, at most. DR stays unbiased with any model: more would buy little."""
_FOLD = np.uint64(hash64("marquee/fold"))
_LOT = np.uint64(hash64("marquee/reward-sample"))


def fold_of(profiles: Keys) -> NDArray[np.int64]:
    """Deal `(n,)` profiles into folds, the same in every log."""
    return (unit(combine(profiles, np.broadcast_to(_FOLD, profiles.shape))) * N_FOLDS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Sampled decisions: their random order, fold, chosen artwork, features and reward."""

    lot: Keys
    fold: NDArray[np.int64]
    artwork: Keys
    decision: NDArray[np.float32]
    candidate: NDArray[np.float32]
    reward: Floats

    def take(self, rows: NDArray[np.int64]) -> "SampledRows":
        """Select rows by number, in that order."""
        return SampledRows(*(getattr(self, name)[rows] for name in self.__slots__))


class RewardSample:
    """The `MAX_SAMPLE` decisions with the smallest lots."""

    def __init__(self) -> None:
        self._parts: list[SampledRows] = []
        self._n = 0
        self._limit = np.uint64(2**64 - 1)

    def add(self, logged: LoggedBatch) -> None:
        """Look at one batch; features are made only of what may stay."""
        batch = logged.batch
        moments = logged.decided_at.astype("datetime64[us]").astype(np.int64).astype(np.uint64)
        lots = combine(combine(combine(batch.profile_keys, batch.title_keys), moments), np.full(len(batch), _LOT))
        kept = np.flatnonzero(lots <= self._limit)
        chosen = logged.chosen[kept]
        self._parts.append(
            SampledRows(
                lots[kept],
                fold_of(batch.profile_keys[kept]),
                batch.artwork_keys[chosen],
                decision_features(batch)[kept].astype(np.float32),
                candidate_features(batch, chosen, kept, np.zeros(len(kept))).astype(np.float32),
                logged.reward[kept],
            )
        )
        self._n += len(kept)
        if self._n > 2 * MAX_SAMPLE:
            self._compact()

    def rows(self) -> SampledRows:
        """Give the sample, in the order of its lots."""
        self._compact()
        return self._parts[0]

    def _compact(self) -> None:
        empty = np.zeros(0)
        parts = self._parts or [
            SampledRows(
                empty.astype(np.uint64),
                empty.astype(np.int64),
                empty.astype(np.uint64),
                np.zeros((0, N_DECISION), dtype=np.float32),
                np.zeros((0, N_CANDIDATE), dtype=np.float32),
                empty,
            )
        ]
        joined = SampledRows(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in SampledRows.__slots__)
        )
        best = np.argsort(joined.lot, kind="stable")[:MAX_SAMPLE]
        self._parts, self._n = [joined.take(best)], len(best)
        if len(best) == MAX_SAMPLE:
            self._limit = self._parts[0].lot[-1]
