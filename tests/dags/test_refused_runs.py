"""What a run refuses, and what it leaves when a step fails."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.bundle import read_pointer
from models.error import ContractError, MarqueeError, NotReadyError, SkewError
from models.layout import ARTWORK, FAMILIARITY, PROFILE, TITLE
from pipelines import steps
from pipelines.airflow_run import TaskProgress, run_dag
from pipelines.feature_tables import view_path
from pipelines.lake import Lake
from pipelines.registry import Registry
from pipelines.status import status
from pipelines.table import DECISIONS
from pipelines.watermark import refreshed_through
from tests.dags.home import ALL_DAYS, FIRST_TWO_DAYS, Home, environment_of
from tests.pipelines.feature_world import ROOT, day

pytestmark = pytest.mark.usefixtures("airflow_home")


@pytest.mark.parametrize("as_of", ["2026-11-03", "yesterday"])
def test_a_moment_that_is_none_or_says_no_offset_is_broken_input(
    two_days: Home, monkeypatch: pytest.MonkeyPatch, as_of: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("MARQUEE_HOME", str(two_days.set_back().home))
    with pytest.raises(AirflowFailException, match="as_of must"):
        steps.choose_window({"as_of": as_of})


def test_a_moment_of_another_offset_is_taken_as_utc(two_days: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARQUEE_HOME", str(two_days.set_back().home))
    assert steps.choose_window({"as_of": "2026-11-03T02:00:00+02:00"}) == "2026-11-03T00:00:00+00:00"


def test_a_candidate_that_does_not_convince_ends_a_green_run_and_leaves_the_live_policy(two_days: Home) -> None:
    settings = two_days.set_back("held")
    strict = settings.model_copy(update={"gate_min_profiles": 10_000, "candidates": ("best-artwork",)})
    run = run_dag(strict, "train_and_promote", as_of=FIRST_TWO_DAYS)

    assert run.state == "success"
    assert (run.tasks["gate"], run.tasks["promote"], run.tasks["publish"]) == ("success", "skipped", "skipped")
    assert read_pointer(settings.policies_url) is None
    assert Registry(settings.registry_uri).champion() is None
    assert b"fewer than" in (settings.reports_dir / run.run_key / "audit.json").read_bytes()


def test_a_step_that_fails_is_named_with_its_reason_and_the_ones_after_it_do_not_run(two_days: Home) -> None:
    settings = two_days.set_back()
    seen: list[TaskProgress] = []
    segment = max(settings.events_dir.iterdir())
    segment.rename(segment.with_name("not-a-segment-name.jsonl"))

    with pytest.raises(MarqueeError, match=r"refresh_features 20261103T000000Z: ingest failed: .*not-a-segment-name"):
        run_dag(settings, "refresh_features", interval=day(2), progress=seen.append)
    assert [(one.task, one.state) for one in seen] == [("ingest", "running"), ("ingest", "failed")]


def test_ctrl_c_within_a_step_ends_the_run_as_an_interruption(two_days: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def attribute() -> None:
        raise KeyboardInterrupt

    settings = two_days.set_back()
    monkeypatch.setattr(steps, "attribute", attribute)
    with pytest.raises(KeyboardInterrupt):
        run_dag(settings, "refresh_features", interval=day(2))


def test_features_that_were_not_served_so_stop_a_training_before_any_candidate(two_days: Home) -> None:
    settings = two_days.set_back()
    lake, newest = Lake(settings.lake_dir), day(1)
    decisions = lake.read(DECISIONS, newest.start_at, newest.end_at)
    for name, width in (("profile_features", len(PROFILE)), ("features", len(TITLE) + len(FAMILIARITY) + len(ARTWORK))):
        vectors = pa.array([b"\x00\x00\x80?" * width] * len(decisions), pa.binary())
        decisions = decisions.set_column(decisions.schema.get_field_index(name), name, vectors)
    lake.overwrite(DECISIONS, newest, decisions)
    with pytest.raises(
        MarqueeError, match=r"build_training_set failed: features must be served as .*unexplained"
    ) as caught:
        run_dag(settings, "train_and_promote", as_of=FIRST_TWO_DAYS)
    assert isinstance(caught.value.__cause__, SkewError)
    assert not list(settings.training_dir.glob("*/candidates"))
    assert status(settings).skew_causes


@pytest.mark.parametrize("bad", ["another layout", "a truncated table"])
def test_broken_input_fails_the_run_by_name_and_leaves_tables_and_online_store_as_they_were(
    two_days: Home, bad: str
) -> None:
    settings = two_days.set_back()
    if bad == "another layout":
        path, reason = view_path(settings, "title_profile", day(1).key), r"build_features failed: title_profile\.vector"
        table = pq.read_table(path, partitioning=None)
        place = table.schema.get_field_index("vector")
        wider = pa.array([[*vector, 0.0] for vector in table["vector"].to_pylist()], table.schema.field(place).type)
        pq.write_table(table.set_column(place, table.schema.field(place), wider), path)
    else:
        (path,) = Path(settings.lake_dir, "impressions").glob(f"*{day(1).key}/*.parquet")
        path.write_bytes(path.read_bytes()[:-100])
        reason = "failed: impressions: "
    online = {file: file.read_bytes() for file in (settings.home / "feast").glob("online*")}
    features = {file: file.read_bytes() for file in settings.features_dir.rglob("*.parquet")}

    with pytest.raises(MarqueeError, match=rf"{reason}.*{re.escape(path.name)}"):
        run_dag(settings, "refresh_features", interval=day(2))
    assert online
    assert {file: file.read_bytes() for file in (settings.home / "feast").glob("online*")} == online
    assert {file: file.read_bytes() for file in settings.features_dir.rglob("*.parquet")} == features
    assert refreshed_through(settings) == FIRST_TWO_DAYS


def test_nothing_is_tried_again_while_somebody_waits_not_even_in_mapped_tasks(two_days: Home) -> None:
    settings = two_days.set_back().model_copy(update={"holdout_share": 0.9999})
    with pytest.raises(
        MarqueeError, match=r"train_candidate\[\d\] failed: no decision of a training profile"
    ) as caught:
        run_dag(settings, "train_and_promote", as_of=FIRST_TWO_DAYS)
    assert isinstance(caught.value.__cause__, NotReadyError)


def test_a_training_waits_for_what_is_not_refreshed(two_days: Home) -> None:
    with pytest.raises(MarqueeError, match="choose_window failed: as_of must be refreshed"):
        run_dag(two_days.set_back(), "train_and_promote", as_of=ALL_DAYS)


def test_a_run_wants_an_interval_or_a_moment_and_a_dag_that_exists(two_days: Home) -> None:
    settings = two_days.settings
    with pytest.raises(ContractError, match="one of the two"):
        run_dag(settings, "refresh_features")
    with pytest.raises(ContractError, match=r"dag_id must be one of \['refresh_features', 'train_and_promote'\]"):
        run_dag(settings, "no_such_dag", interval=day(0))


def test_an_airflow_that_reads_other_dag_files_is_refused(two_days: Home, tmp_path: Path) -> None:
    program = "from pipelines.airflow_run import migrate; from pipelines.settings import Settings; migrate(Settings())"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment_of(two_days.settings) | {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"Airflow reads its DAG files from {tmp_path}" in ran.stderr
