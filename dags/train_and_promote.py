"""Answers whether there is a better policy than the live one, and brings it live.

Reads all matured days up to the watermark `as_of` (late and coalesced asset events do not matter); writes the
training set, candidates, evaluation, audit record, champion and live bundle. Versions are content hashes, so that a
rerun from any task ends with the same files. A verdict of hold or reject, or a policy learned from older data than the
live one, is a green run that publishes nothing; a candidate that diverged or is worse than chance is skipped, and the
others are judged.
"""

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, CronDataIntervalTimetable, Param, TriggerRule, dag, task

from pipelines import steps
from pipelines.timetable import timetable

WHEN = timetable()
FEATURES = Asset("marquee_features", uri="marquee://features")
SAFETY_NET = CronDataIntervalTimetable(WHEN.safety_net_cron, timezone="UTC")
AS_OF = Param(None, type=["null", "string"], description="ISO time of the watermark; empty: all that is refreshed")


@dag(
    schedule=AssetOrTimeSchedule(timetable=SAFETY_NET, assets=[FEATURES]),
    start_date=WHEN.start_at,
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={"as_of": AS_OF},
    tags=["marquee"],
    doc_md=__doc__,
)
def train_and_promote():  # noqa: D103 - the file says it
    as_of = task(steps.choose_window)()
    names = task(steps.choose_candidates)(as_of)
    training_uri = task(steps.build_training_set)(as_of)
    versions = task(steps.train_candidate).partial(training_uri=training_uri).expand(name=names)
    evaluate = task(steps.evaluate_candidates, trigger_rule=TriggerRule.NONE_FAILED)
    evaluation_uri = evaluate(training_uri, versions)
    winner = task.short_circuit(steps.gate)(evaluation_uri)
    promoted = task(steps.promote)(evaluation_uri, winner)
    task(steps.publish)(evaluation_uri, promoted)


train_and_promote()
