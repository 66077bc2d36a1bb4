"""Answers what is known at the end of each data interval.

Reads the event log of one data interval and the lake before it; writes that interval of the lake tables and feature
tables, and the online store. Each step overwrites its interval with the same bytes, so that a rerun or a backfill
(`marquee airflow backfill create --dag-id refresh_features`) changes nothing that was right.

Order: features wait, by a NotReadyError that is tried again, for every interval since the newest built of which the
event log may hold something; the first may be any. What is built in the past after all, or built otherwise, leaves
later intervals on a state that is gone: no next one is built, and nothing trained, until they are rebuilt. Each task
runs once at a time over all runs, even in a backfill, which overrides `max_active_runs`. Not `depends_on_past`: behind
a past run that failed, `airflow dags test` would wait for ever. (The date of `dags test` is its interval's end, not the
start; a second past it keeps the run from taking the place of the scheduled one whose interval begins there.)
"""

from datetime import timedelta

from airflow.sdk import Asset, CronDataIntervalTimetable, dag, task

from pipelines import steps
from pipelines.timetable import timetable

WHEN = timetable()
FEATURES = Asset("marquee_features", uri="marquee://features")


@dag(
    schedule=CronDataIntervalTimetable(WHEN.interval_cron, timezone="UTC"),
    start_date=WHEN.start_at,
    catchup=WHEN.catchup,
    max_active_runs=1,
    default_args={"retries": 6, "retry_delay": timedelta(minutes=5), "max_active_tis_per_dag": 1},
    tags=["marquee"],
    doc_md=__doc__,
)
def refresh_features():  # noqa: D103 - the file says it
    @task(outlets=[FEATURES])
    def materialize(data_interval_start=None, data_interval_end=None, outlet_events=None):
        outlet_events[FEATURES].extra = steps.materialize(data_interval_start, data_interval_end)

    ingest, attribute, build_features = (task(step)() for step in (steps.ingest, steps.attribute, steps.build_features))
    ingest >> attribute >> build_features >> materialize()


refresh_features()
