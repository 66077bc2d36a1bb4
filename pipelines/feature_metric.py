"""Drift, freshness and skew as Prometheus metrics, for a scrape or a text file collector."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pipelines.drift import stability
from pipelines.settings import Settings
from pipelines.status import Status


def feature_metrics(settings: Settings, found: Status) -> str:
    """Write the figures of a status in Prometheus' text format, with the PSI of every column.

    Raises:
        ContractError: naming histograms that cannot be read.
    """
    registry = CollectorRegistry()
    age = Gauge("marquee_feature_age_seconds", "age of a view's newest rows", ("view",), registry=registry)
    told = "population stability index; ages and counts so far grow by themselves and never count as drifted"
    psi = Gauge("marquee_feature_psi", told, ("view", "column"), registry=registry)
    drifted = Gauge("marquee_feature_drifted_columns", "columns past the warning level", ("view",), registry=registry)
    for view, health in found.views.items():
        age.labels(view).set(health.age_hours * 3600.0)
        drifted.labels(view).set(len(health.drifted))
        for column, (index, _) in stability(settings, view).items():
            psi.labels(view, column).set(index)
    if found.share_equal is not None:
        Gauge("marquee_served_as_joined_share", "share of equal decisions", registry=registry).set(found.share_equal)
        causes = Gauge("marquee_skewed_share", "share of decisions served otherwise", ("cause",), registry=registry)
        for cause, share in found.skew_causes.items():
            causes.labels(cause).set(share)
    return generate_latest(registry).decode()
