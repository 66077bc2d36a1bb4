"""The parts of a log that are looked at one by one: segments, days and tastes, in one pass and bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation import estimator
from evaluation.day import DayTotals, day_estimate, days_of
from evaluation.group import Places, group_of
from evaluation.interval import Estimate
from evaluation.record import Day, PolicyDay, SegmentResult, TasteMix
from evaluation.segment import SegmentTally
from evaluation.taste import TasteTally
from models.batch import Floats, LoggedBatch

_REPLAY = estimator.first_column("replay")  # its kept rewards; its kept weights come next
_ROBUST = estimator.first_column("dr")


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the decisions of one batch belong: their group of profiles, day, segments, and candidates' taste cells."""

    logged: LoggedBatch
    groups: Places
    days: list[str]
    day: Places
    segments: Places
    tastes: Places


class Breakdown:
    """Sums of every policy by part. Args: countries with a segment of their own; policies, the champion first."""

    def __init__(self, countries: Sequence[str], policies: Sequence[str]) -> None:
        self._champion = policies[0]
        self._segments = SegmentTally(countries, policies[1:])
        self._tastes = TasteTally()
        self._log_days = DayTotals()
        self._days = {name: DayTotals() for name in policies}
        self._base: Floats = np.zeros(0)

    def place(self, logged: LoggedBatch) -> Placed:
        """Count a batch, and find where its decisions belong; policies' columns follow, the champion's first."""
        days, day = days_of(logged.decided_at)
        groups = group_of(logged.batch.profile_keys)
        self._log_days.add(days, day, groups, (np.ones(len(logged)), logged.reward))
        return Placed(logged, groups, days, day, self._segments.place(logged), self._tastes.place(logged.batch))

    def add(self, name: str, placed: Placed, pmf: Floats, columns: Floats) -> None:
        """Count a policy's `(m,)` pmf and `(n, estimator.N_COLUMNS)` columns on a batch."""
        kept = columns[:, _REPLAY + 1]
        shown = pmf[placed.logged.chosen]
        ones = np.ones(len(kept))
        self._days[name].add(placed.days, placed.day, placed.groups, (ones, shown, kept, columns[:, _REPLAY]))
        self._tastes.add(name, placed.tastes, pmf)
        if name == self._champion:
            self._base = columns[:, _ROBUST]
        else:
            self._segments.add(name, placed.segments, placed.groups, columns[:, _ROBUST] - self._base)

    def log_days(self, confidence: float) -> tuple[Day, ...]:
        """Give the log's days, with intervals clustered by profile."""
        found = []
        for day, (counts, rewards) in self._log_days.items():
            n = float(counts.sum())
            estimate = day_estimate(rewards, counts, counts, confidence)
            found.append(Day(day, round(n), float(rewards.sum()) / n, *_ends(estimate)))
        return tuple(found)

    def policy_days(self, name: str, confidence: float) -> tuple[PolicyDay, ...]:
        """Give a policy's replay of each day on which something matches."""
        found = []
        for day, (counts, shown, kept, taken) in self._days[name].items():
            weight = float(kept.sum())
            if weight > 0:
                estimate = day_estimate(taken, kept, counts, confidence)
                found.append(PolicyDay(day, float(shown.sum()), float(taken.sum()) / weight, *_ends(estimate)))
        return tuple(found)

    def segments(self, candidate: str, confidence: float) -> tuple[SegmentResult, ...]:
        """Give a candidate's segments (`SegmentTally.results`)."""
        return self._segments.results(candidate, confidence)

    def tastes(self, name: str) -> tuple[TasteMix, ...]:
        """Give what a policy shows to whom (`TasteTally.mixes`)."""
        return self._tastes.mixes(name)


def _ends(estimate: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if estimate is None else (estimate.low, estimate.high)
