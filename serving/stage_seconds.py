"""Seconds by stage of a page, as a Prometheus histogram: six observations for the price of one of the client's."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from serving.stage import Stage


class StageSeconds(Collector):
    """Counts on the event loop alone, and so without the client's lock; read from there too.

    Args: name and help of the family; bounds, rising upper bounds of the buckets, in seconds.
    """

    def __init__(self, name: str, help_: str, bounds: Sequence[float]) -> None:
        self._name, self._help = name, help_
        self._bounds = tuple(bounds)
        self._names = [*map(floatToGoString, self._bounds), "+Inf"]
        self._counts = {stage: [0] * len(self._names) for stage in Stage}
        self._sums = dict.fromkeys(Stage, 0.0)

    def observe(self, seconds_by_stage: Iterable[tuple[Stage, float]]) -> None:
        """Count one page."""
        bounds, counts, sums = self._bounds, self._counts, self._sums
        for stage, seconds in seconds_by_stage:
            counts[stage][bisect_left(bounds, seconds)] += 1
            sums[stage] += seconds

    def collect(self) -> Iterator[Metric]:
        """Tell what was counted, every stage from the start."""
        family = HistogramMetricFamily(self._name, self._help, labels=("stage",))
        for stage, counts in self._counts.items():
            buckets = list(zip(self._names, map(float, accumulate(counts)), strict=True))
            family.add_metric((stage.value,), buckets, self._sums[stage])
        yield family
