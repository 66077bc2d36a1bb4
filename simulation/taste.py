"""What each profile likes on a given day: a taste that drifts from one to the next, and a year that favours genres."""

from datetime import timedelta

import numpy as np

from models.batch import Floats
from models.layout import GENRES
from simulation.noise import generator
from simulation.population import Ints, draw_tastes, unit_rows
from simulation.spec import WorldSpec

PEAK_DAY = np.array([180, 200, 330, 100, 310, 20, 50, 355, 350, 130, 304, 170, 325, 45, 230, 290], dtype=np.float64)
"""The day of the year on which each of `GENRES` is liked most: romance in February, horror at the end of October."""

_DAYS_A_YEAR = 365.25
_PACE = (0.5, 1.5)
_DAYS_KEPT = 2


class Tastes:
    """The tastes of all profiles by day, each a function of the world's seed and the day alone.

    A profile goes at its own pace from taste to taste. Its taste on a day is the mean of the last and the next one,
    weighed by how far it is between them, times the season's weight of each genre, scaled to length 1.

    Args: first `(n, d)`, the tastes that the world begins with.
    """

    def __init__(self, spec: WorldSpec, first: Floats) -> None:
        self._spec, self._change, self._first = spec, spec.change, first
        rng = generator(spec.seed, "pace")
        self._pace = rng.uniform(*_PACE, len(first))
        self._changes = rng.random(len(first)) < spec.change.taste_change_share
        self._by_day: dict[int, Floats] = {}
        self._stations: dict[tuple[str, int], Floats] = {}

    def on(self, day: int) -> Floats:
        """Give the tastes on a day, counted from the world's first one: `(n, d)`, read only, rows of length 1."""
        if day not in self._by_day:
            while len(self._by_day) >= _DAYS_KEPT:
                del self._by_day[next(iter(self._by_day))]
            taste = unit_rows(self._drifted(max(day, 0)) * self._season(day))
            taste.flags.writeable = False
            self._by_day[day] = taste
        return self._by_day[day]

    def of(self, profile: Ints, day: Ints) -> Floats:
        """Give the tastes of n profiles on n days: `(n, d)`."""
        days = np.unique(day)
        if len(days) == 1:
            return self.on(int(days[0]))[profile]
        out = np.empty((len(profile), self._first.shape[1]))
        for one in days:
            rows = day == one
            out[rows] = self.on(int(one))[profile[rows]]
        return out

    def _drifted(self, day: int) -> Floats:
        """Give the tastes without season; whoever changed for good goes on from a new beginning."""
        change_day = self._change.taste_change_day
        if change_day is None or day < change_day:
            return self._between("", day)
        return np.where(self._changes[:, None], self._between(" changed", day - change_day), self._between("", day))

    def _between(self, way: str, days: int) -> Floats:
        gone = self._pace * self._change.drift_per_day * days
        last = gone.astype(np.int64)
        left = (last + 1 - gone)[:, None]
        out = np.empty_like(self._first)
        for number in np.unique(last):
            rows = last == number
            here, there = self._station(way, int(number))[rows], self._station(way, int(number) + 1)[rows]
            out[rows] = left[rows] * here + (1.0 - left[rows]) * there
        return out

    def _station(self, way: str, number: int) -> Floats:
        """Draw the tastes that the profiles reach one after the other on their way."""
        if (way, number) == ("", 0):
            return self._first
        if (way, number) not in self._stations:
            rng = generator(self._spec.seed, f"taste{way} {number}")
            self._stations[way, number] = draw_tastes(rng, len(self._first), self._spec.n_cast)
        return self._stations[way, number]

    def _season(self, day: int) -> Floats:
        """Weigh genres by the day of the year, and leave the cast as it is: `(d,)`."""
        date = self._spec.first_day_at + timedelta(days=day)
        angle = 2 * np.pi / _DAYS_A_YEAR * (date.timetuple().tm_yday - PEAK_DAY)
        weights = np.ones(self._first.shape[1])
        weights[: len(GENRES)] += self._change.season_swing * np.cos(angle)
        return weights
