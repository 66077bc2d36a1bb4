"""What Airflow's tasks call: each reads the settings of its process, calls one step and returns a small record.

Imported at every parse of a DAG file, so that everything heavy is imported inside the functions. Each function is the
edge of a task process: `task_edge` turns Marquee's errors into what Airflow should do about them.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from models.error import ContractError
from models.interval import Interval
from pipelines.airflow_run import task_edge
from pipelines.settings import Settings

Record = dict[str, object]
"""What goes into XCom: counts, keys and URIs, never a frame."""


@task_edge
def ingest(data_interval_start: datetime, data_interval_end: datetime) -> Record:
    """Take the interval's event log into the lake, once it has settled: a scheduler begins when it ends."""
    from pipelines.event_source import seconds_to_settle
    from pipelines.ingest import ingest as step

    settings, interval = Settings(), _interval(data_interval_start, data_interval_end)
    time.sleep(seconds_to_settle(interval, settings.settle_seconds, datetime.now(UTC)))
    return _record(step(settings, interval))


@task_edge
def attribute(data_interval_start: datetime, data_interval_end: datetime) -> Record:
    """Write the rewards that matured in the interval."""
    from pipelines.attribution import attribute as step

    return _record(step(Settings(), _interval(data_interval_start, data_interval_end)))


@task_edge
def build_features(data_interval_start: datetime, data_interval_end: datetime) -> Record:
    """Write the interval's feature tables."""
    from pipelines.feature_tables import build_features as step

    return _record(step(Settings(), _interval(data_interval_start, data_interval_end)))


@task_edge
def materialize(data_interval_start: datetime, data_interval_end: datetime) -> Record:
    """Bring the interval's features online; the answer is what the asset event carries."""
    from pipelines.materialize import materialize as step

    interval = _interval(data_interval_start, data_interval_end)
    step(Settings(), interval)
    return {"interval": interval.key, "refreshed_through": interval.end_at.isoformat()}


@task_edge
def choose_window(params: dict[str, str | None]) -> str:
    """Choose the watermark: the parameter `as_of`, or all that is refreshed."""
    from pipelines.training import choose_as_of

    asked = params.get("as_of")
    return choose_as_of(Settings(), _moment(asked) if asked else None).isoformat()


@task_edge
def choose_candidates(as_of: str) -> list[str]:
    """List the candidates to train."""
    from pipelines.training import candidate_names

    return list(candidate_names(Settings()))


@task_edge
def build_training_set(as_of: str) -> str:
    """Join the matured decisions up to `as_of` with their features, and refuse what was not served so."""
    from pipelines.skew import refuse_skew
    from pipelines.training_set import build_training_set as step

    settings = Settings()
    built = step(settings, datetime.fromisoformat(as_of))
    refuse_skew(built.skew, settings.max_skewed_share)
    return built.uri


@task_edge
def train_candidate(training_uri: str, name: str) -> str:
    """Train one candidate; the answer is its bundle's version."""
    from pipelines.training import logged_progress
    from pipelines.training import train_candidate as step

    return step(Settings(), training_uri, name, logged_progress(name))


@task_edge
def evaluate_candidates(training_uri: str, versions: Iterable[str]) -> str:
    """Replay every candidate that trained against the champion."""
    from pipelines.replay import evaluate_candidates as step

    return step(Settings(), training_uri, list(versions))


@task_edge
def gate(evaluation_uri: str) -> str | None:
    """Judge; the answer is the version to promote, or nothing, which ends the run green."""
    from pipelines.promotion import judge_candidates

    return judge_candidates(Settings(), evaluation_uri).version


@task_edge
def promote(evaluation_uri: str, version: str) -> str:
    """Make the winner the registry's champion."""
    from pipelines.promotion import promote as step

    return step(Settings(), evaluation_uri, version)


@task_edge
def publish(evaluation_uri: str, version: str) -> str:
    """Bring the champion's bundle to the scorers."""
    from pipelines.promotion import publish as step

    return step(Settings(), evaluation_uri, version).version


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"as_of must be an ISO time like 2026-11-01T00:00:00Z, got {text!r}") from error


def _interval(start_at: datetime, end_at: datetime) -> Interval:
    """Take Airflow's pendulum times as plain ones."""
    return Interval(*(datetime.fromtimestamp(moment.timestamp(), UTC) for moment in (start_at, end_at)))


def _record(result: object) -> Record:
    import msgspec

    built = msgspec.to_builtins(result)
    return built if isinstance(built, dict) else {"result": built}
