"""Day by day: sums by UTC day and group of profiles, so that each day has an interval too."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.group import Places, sums_by_group
from evaluation.interval import Estimate, normal
from evaluation.score import Ratio, pool
from models.batch import Floats


def days_of(at: NDArray[np.datetime64]) -> tuple[list[str], Places]:
    """Name the UTC days of `(n,)` times in order, and find which of them each time falls on."""
    days, place = np.unique(at.astype("datetime64[D]"), return_inverse=True)
    return [str(day) for day in days], np.asarray(place, dtype=np.int64)


class DayTotals:
    """Sums of a few columns by UTC day and group of profiles."""

    def __init__(self) -> None:
        self._sums: dict[str, Floats] = {}

    def add(self, days: list[str], place: Places, groups: Places, columns: tuple[Floats, ...]) -> None:
        """Add `(n,)` columns of decisions on `days[place]` by profiles of `groups`."""
        sums = np.stack([sums_by_group(place, groups, column, len(days)) for column in columns], axis=1)
        for day, rows in zip(days, sums, strict=True):
            if day in self._sums:
                self._sums[day] += rows
            else:
                self._sums[day] = rows

    def items(self) -> Iterator[tuple[str, Floats]]:
        """Yield days in order, each as YYYY-MM-DD with its `(c, N_GROUPS)` sums."""
        yield from sorted(self._sums.items(), key=lambda entry: entry[0])


def day_estimate(numerator: Floats, denominator: Floats, counts: Floats, confidence: float) -> Estimate | None:
    """Estimate a day's ratio from sums by group, `(N_GROUPS,)` each; None where one group has all its decisions."""
    used = counts > 0
    if used.sum() < 2 or not denominator[used].any():
        return None
    return normal(pool((Ratio(numerator[used], denominator[used]),)), confidence)
