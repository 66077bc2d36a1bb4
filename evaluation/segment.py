"""Segments of a log: what is told apart, and candidate less champion in each, with intervals that hold all at once.

With 95 % intervals for each of twenty segments, one would miss by chance alone. Here the chance that *any* interval of
a comparison misses is 5 %: each gets an equal share of the error (Bonferroni; Dunn 1961), by Student's distribution
over groups of profiles, because a segment may be small.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import stdtrit

from evaluation.group import N_GROUPS, Places, group_of, places_of, sums_by_group
from evaluation.interval import Estimate, normal
from evaluation.keyed_totals import DistinctCount
from evaluation.record import SegmentResult
from evaluation.score import Ratio, pool
from models.batch import Floats, LoggedBatch
from models.context import device_place
from models.layout import DEVICES, SHARED
from models.vector import log_scaled

MAX_COUNTRIES = 8
"""Countries with a segment of their own, those with most decisions; the rest is `other`."""
MIN_PROFILES = 30
"""A segment of fewer profiles gets no interval: it would rest on a handful of people."""
_MAX_NAMES = 10_000

_SEEN = SHARED.index("familiarity/seen_before")
_AGE = SHARED.index("title/log_age_days")
_KNOWN_TITLE = SHARED.index("title/log_artworks")  # a title without features is a row of zeros
_ACTIVITY = SHARED.index("profile/log_impressions")
_AGE_EDGES = log_scaled([7.0, 28.0, 365.0]).astype(np.float32)
_ACTIVITY_EDGES = log_scaled([0.5, 49.5, 499.5]).astype(np.float32)

_INTERACTION = ("none", "some")
_AGES = ("under 7 days", "7 to 27 days", "28 to 364 days", "a year or more", "unknown")
_ACTIVITIES = ("nothing seen", "1 to 49 seen", "50 to 499 seen", "500 or more seen")


class CountryCount:
    """Which countries a log has most decisions of, in bounded memory."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, logged: LoggedBatch) -> None:
        """Count one batch."""
        self._counts.update(logged.country.tolist())
        if len(self._counts) > _MAX_NAMES:  # such a log is not sound; its commonest names survive
            self._counts = Counter(dict(self._counts.most_common(_MAX_NAMES // 2)))

    def top(self) -> tuple[str, ...]:
        """Name at most `MAX_COUNTRIES`, the commonest first."""
        named = sorted((-count, name) for name, count in self._counts.items() if name)
        return tuple(name for _, name in named[:MAX_COUNTRIES])


class SegmentTally:
    """Doubly robust differences of every candidate, by segment and group of profiles."""

    def __init__(self, countries: Sequence[str], candidates: Iterable[str]) -> None:
        dimensions = {
            "earlier interaction": _INTERACTION,
            "device": DEVICES,
            "country": (*countries, "other", "unknown"),
            "title age": _AGES,
            "profile activity": _ACTIVITIES,
        }
        self._segments = [(dimension, name) for dimension, names in dimensions.items() for name in names]
        self._first = np.cumsum([0, *(len(names) for names in dimensions.values())])[:-1]
        self._countries = {"": len(countries) + 1} | {name: place for place, name in enumerate(countries)}
        self._profiles = [DistinctCount() for _ in self._segments]
        self._counts = np.zeros((len(self._segments), N_GROUPS))
        self._sums = {name: np.zeros_like(self._counts) for name in candidates}

    def place(self, logged: LoggedBatch) -> Places:
        """Count decisions, and find the `(5, n)` segments of each, one a dimension."""
        shared, profiles = logged.batch.shared, logged.batch.profile_keys
        age = np.searchsorted(_AGE_EDGES, shared[:, _AGE], side="right")
        places = self._first[:, None] + np.stack((
            shared[:, _SEEN] > 0,
            places_of(logged.device, device_place),
            places_of(logged.country, lambda name: self._countries.get(name, len(self._countries) - 1)),
            np.where(shared[:, _KNOWN_TITLE] > 0, age, len(_AGES) - 1),
            np.searchsorted(_ACTIVITY_EDGES, shared[:, _ACTIVITY], side="right"),
        ))
        groups, ones = group_of(profiles), np.ones(len(logged))
        for row in places:
            self._counts += sums_by_group(row, groups, ones, len(self._counts))
            for segment in np.flatnonzero(np.bincount(row)):
                self._profiles[segment].add(profiles[row == segment])
        return np.asarray(places, dtype=np.int64)

    def add(self, candidate: str, places: Places, groups: Places, difference: Floats) -> None:
        """Add `(n,)` doubly robust scores, candidate less champion, of decisions in segments `(5, n)`."""
        for row in places:
            self._sums[candidate] += sums_by_group(row, groups, difference, len(self._counts))

    def results(self, candidate: str, confidence: float) -> tuple[SegmentResult, ...]:
        """Give every segment that has a decision; `low` and `high` hold all at once at `confidence`."""
        profiles = [count.value for count in self._profiles]
        n_groups = (self._counts > 0).sum(axis=1)
        judged = (np.array(profiles) >= MIN_PROFILES) & (n_groups > 1)
        tail = (1 - confidence) / 2 / max(int(judged.sum()), 1)
        found = []
        for place, (dimension, name) in enumerate(self._segments):
            estimate: Estimate | None = None
            low = high = None
            if judged[place]:
                used = self._counts[place] > 0
                scores = Ratio(self._sums[candidate][place, used], self._counts[place, used])
                estimate = normal(pool((scores,)), confidence)
                half = float(stdtrit(n_groups[place] - 1, 1 - tail)) * estimate.standard_error
                low, high = estimate.value - half, estimate.value + half
            n_decisions = round(float(self._counts[place].sum()))
            if n_decisions:
                found.append(SegmentResult(dimension, name, n_decisions, profiles[place], estimate, low, high))
        return tuple(found)
