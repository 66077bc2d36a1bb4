"""Seconds by one label, as a Prometheus histogram: six observations for the price of one of the client's."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class SecondsBy(Collector):
    """Counts on the event loop alone, and so without the client's lock; read from there too.

    Args: name and help of the family; label, its only one; bounds, rising upper bounds of the buckets, in seconds;
    known, values of the label that are told from the start, before anything is observed of them.
    """

    def __init__(self, name: str, help_: str, label: str, bounds: Sequence[float], known: Iterable[str] = ()) -> None:
        self._name, self._help, self._label = name, help_, label
        self._bounds = tuple(bounds)
        self._names = [*map(floatToGoString, self._bounds), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        for value in known:
            self._add(value)

    def observe(self, seconds_by_value: Iterable[tuple[str, float]]) -> None:
        """Count one observation of each value of the label."""
        bounds, counts, sums = self._bounds, self._counts, self._sums
        for value, seconds in seconds_by_value:
            if value not in counts:
                self._add(value)
            counts[value][bisect_left(bounds, seconds)] += 1
            sums[value] += seconds

    def collect(self) -> Iterator[Metric]:
        """Tell what was counted."""
        family = HistogramMetricFamily(self._name, self._help, labels=(self._label,))
        for value, counts in self._counts.items():
            buckets = list(zip(self._names, map(float, accumulate(counts)), strict=True))
            family.add_metric((str(value),), buckets, self._sums[value])
        yield family

    def _add(self, value: str) -> None:
        self._counts[value] = [0] * len(self._names)
        self._sums[value] = 0.0
