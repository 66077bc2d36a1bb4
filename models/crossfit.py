"""Artworks' lifts as a feature, without telling a reward to the row that it came from.

A lift that was learned from a row's own reward looks better at explaining it than it will ever be again. So every
profile is in one of two halves, and its rows meet the lifts that the other half learned; scoring uses those of both.
All three are posterior means, so that a weight learned on one fits the other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artwork_lift import ArtworkLifts, ArtworkTotals, lifts_of
from models.batch import Floats, Keys, LoggedBatch
from models.draw import mix
from models.error import NotReadyError

Batches = Callable[[], Iterator[LoggedBatch]]


@dataclass(frozen=True, slots=True, eq=False)
class CrossFittedLifts:
    """The lifts of the whole log, and of its two halves by profile; None for a half without a decision."""

    whole: ArtworkLifts
    halves: tuple[ArtworkLifts | None, ArtworkLifts | None]

    def of_others(self, logged: LoggedBatch) -> Floats:
        """Give each decision's chosen artwork the lift that the other half learned: `(n,)`."""
        artworks = logged.batch.artwork_keys[logged.chosen]
        out = np.zeros(len(logged))
        for half, others in zip(_HALVES, reversed(self.halves), strict=True):
            rows = half_of(logged.batch.profile_keys) == half
            if others is not None:
                out[rows] = others.of(artworks[rows])
        return out


_HALVES = (0, 1)


def half_of(profiles: Keys) -> NDArray[np.int64]:
    """Tell each profile's half, 0 or 1."""
    return (mix(profiles) >> np.uint64(63)).astype(np.int64)


def crossfit_lifts(batches: Batches) -> CrossFittedLifts:
    """Learn the lifts in one pass over the log.

    Raises:
        NotReadyError: if there is no decision.
        ContractError: if a reward is outside [0, 1].
    """
    totals = [ArtworkTotals.none(), ArtworkTotals.none()]
    for logged in batches():
        halves = half_of(logged.batch.profile_keys)
        totals = [
            each.plus(logged.take(np.flatnonzero(halves == half))) for half, each in zip(_HALVES, totals, strict=True)
        ]
    whole = totals[0].merged(totals[1])
    if not whole.n_decisions:
        raise NotReadyError("there is no decision to learn from")
    first, second = (lifts_of(each) if each.n_decisions else None for each in totals)
    return CrossFittedLifts(lifts_of(whole), (first, second))
