"""Rebuild a stretch of past intervals, in order, by the same DAG: `airflow backfill create` without a scheduler."""

from datetime import datetime

from models.error import ContractError, NotReadyError
from models.interval import Interval
from pipelines.airflow_run import DagRun, Progress, run_dag
from pipelines.settings import Settings
from serving.service import Clock, utc_now


def backfill(
    settings: Settings,
    start_at: datetime,
    end_at: datetime,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> list[DagRun]:
    """Run `refresh_features` over each data interval of [start_at, end_at), the oldest first.

    A backfill never publishes: that is another DAG's, which goes by the watermark.

    Raises:
        ContractError: if the bounds are not aware UTC and boundaries of intervals, in order.
        NotReadyError: if the last interval has not ended; no interval is built then. What is still to come would count
            as if it had not happened.
        MarqueeError: naming the interval and task that failed; earlier intervals are done, later ones untouched.
    """
    stretch = Interval(start_at, end_at)
    for bound in (stretch.start_at, stretch.end_at):
        boundary = Interval.containing(bound, settings.interval_hours).start_at
        if boundary != bound:
            raise ContractError(
                f"a backfill begins and ends at boundaries of {settings.interval_hours} h, got {bound.isoformat()}, "
                f"the one before is {boundary.isoformat()}"
            )
    if stretch.end_at > (now := clock()):
        raise NotReadyError(
            f"an interval is built once it has ended: {stretch.end_at.isoformat()} is after {now:%FT%TZ}"
        )
    return [
        run_dag(settings, "refresh_features", interval=interval, progress=progress)
        for interval in stretch.split(settings.interval_hours)
    ]
