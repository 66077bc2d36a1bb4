"""Our histogram says what the client's own would say."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.seconds_by import SecondsBy
from serving.stage import Stage

_BOUNDS = (0.001, 0.01, 1.0)
_SECONDS = (0.0, 0.0005, 0.001, 0.0011, 0.01, 0.5, 1.0, 7.0)


def _samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_it_counts_as_the_client_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    known = (Stage.DECODE, Stage.ENCODE)
    found = SecondsBy("x_seconds", "help", "stage", _BOUNDS, known)
    ours.register(found)
    expected = Histogram("x_seconds", "help", ("stage",), buckets=_BOUNDS, registry=theirs)
    for stage in known:
        expected.labels(stage.value)
    for n, seconds in enumerate(_SECONDS):
        stages = (Stage.DECODE, Stage.LOG) if n % 2 else (Stage.SCORE,)
        found.observe((stage, seconds) for stage in stages)
        for stage in stages:
            expected.labels(stage.value).observe(seconds)
    assert _samples(ours) == _samples(theirs)
