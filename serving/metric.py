"""What the scorer counts. Labels are closed sets of words: no id of anybody or anything ever becomes one."""

from collections import Counter as Counts
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from serving.seconds_by import SecondsBy
from serving.stage import Laps, Stage

_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STAGE_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_WRITE_SECONDS = (0.0003, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_SWAP_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry for each application, so that two of them in one process count apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "marquee_requests", "answers by route and status", ("route", "status"), registry=self.registry
        )
        self._seconds = SecondsBy("marquee_request_seconds", "seconds by route", "route", _LATENCIES)
        self.registry.register(self._seconds)
        # Bound once: finding a child by its labels costs more than the counting.
        self._answers: dict[tuple[str, int], Counter] = {}
        self._decisions = Counter(
            "marquee_decisions", "decisions by intent: live, or why not", ("intent",), registry=self.registry
        )
        self.events = Counter("marquee_events", "impressions and plays accepted", registry=self.registry)
        self.log_failures = Counter(
            "marquee_log_failures", "requests whose events could not be made durable", registry=self.registry
        )
        self.log_lag = Gauge(
            "marquee_log_lag_seconds", "age of the oldest line that the disk may not have yet", registry=self.registry
        )
        self.log_write_seconds = Histogram(
            "marquee_log_write_seconds",
            "seconds that one write of the log took, its sync included where pages wait for it",
            buckets=_WRITE_SECONDS,
            registry=self.registry,
        )
        self._stages = SecondsBy(
            "marquee_page_stage_seconds", "seconds of a page by stage", "stage", _STAGE_SECONDS, Stage
        )
        self.registry.register(self._stages)
        self.swap_seconds = Histogram(
            "marquee_policy_swap_seconds",
            "seconds from finding a policy to having it in force",
            buckets=_SWAP_SECONDS,
            registry=self.registry,
        )
        self.policy_swaps = Counter("marquee_policy_swaps", "policies that went live here", registry=self.registry)
        self.bundles_refused = Counter(
            "marquee_bundles_refused", "published policies that cannot be trusted", registry=self.registry
        )
        self.refresh_failures = Counter(
            "marquee_refresh_failures", "refreshes that kept what was there", ("of",), registry=self.registry
        )
        self.ready = Gauge("marquee_ready", "1 while the event log can be written", registry=self.registry)
        self.ready.set(1)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer of one of our own routes, or of `other`."""
        found = self._answers.get((route, status))
        if found is None:
            found = self._answers[route, status] = self._requests.labels(route, str(status))
        found.inc()
        self._seconds.observe(((route, seconds),))

    def staged(self, laps: Laps) -> None:
        """Count where a page's time went."""
        self._stages.observe(laps.seconds.items())

    def decided(self, intents: Iterable[str]) -> None:
        """Count decisions by the step of the ladder that made them."""
        for intent, n in Counts(intents).items():
            self._decisions.labels(intent).inc(n)
