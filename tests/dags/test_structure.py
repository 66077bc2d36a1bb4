"""DAG files are timetables: light, exact, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = (
    "pandas",
    "feast",
    "vowpal_wabbit_next",
    "sklearn",
    "duckdb",
    "ibis",
    "pyarrow",
    "deltalake",
    "mlflow",
    "scipy",
)

# A process of its own, as Airflow's DAG processor is one: what it has loaded is what a parse loads.
# The second parse is under the settings of a service that runs hourly.
_PARSE = """
import json, os, sys
from pathlib import Path
from pipelines.airflow_run import point
from pipelines.settings import Settings

point(Settings(home=Path(sys.argv[1])))
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

def timetable_of(dag):
    timetable = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    return type(timetable).__name__, getattr(timetable, "timetable", timetable).summary

def tell(bag):
    dags = {}
    for dag_id, dag in bag.dags.items():
        name, cron = timetable_of(dag)
        dags[dag_id] = {
            "edges": sorted([task.task_id, after] for task in dag.tasks for after in task.downstream_task_ids),
            "tasks": {task.task_id: type(task).__name__ for task in dag.tasks},
            "limits": {task.task_id: task.max_active_tis_per_dag for task in dag.tasks},
            "outlets": [asset.name for task in dag.tasks for asset in task.outlets],
            "timetable": name,
            "cron": cron,
            "catchup": dag.catchup,
            "start_date": dag.start_date.isoformat(),
            "max_active_runs": dag.max_active_runs,
            "file": Path(dag.fileloc).stem,
        }
    return {"errors": bag.import_errors, "dags": dags}

usual = tell(DagBag("dags"))
heavy = sorted(set(sys.argv[2:]) & set(sys.modules))
os.environ |= {"MARQUEE_INTERVAL_HOURS": "1", "MARQUEE_FIRST_INTERVAL_AT": "2026-11-01T00:00:00Z"}
print(json.dumps(usual | {"heavy": heavy, "hourly": tell(DagBag("dags"))}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Parse the DAG files in a process of their own and tell what it saw."""
    ran = subprocess.run(
        [sys.executable, "-c", _PARSE, str(tmp_path_factory.mktemp("structure")), *HEAVY],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def test_every_dag_file_parses_and_is_named_as_its_dag(parsed: dict) -> None:
    assert parsed["errors"] == {}
    assert {dag_id: found["file"] for dag_id, found in parsed["dags"].items()} == {
        path.stem: path.stem for path in DAG_FILES
    }


def test_parsing_loads_nothing_heavy(parsed: dict) -> None:
    assert parsed["heavy"] == []


def test_refresh_features_runs_its_four_steps_in_order_one_at_a_time(parsed: dict) -> None:
    found = parsed["dags"]["refresh_features"]
    assert found["edges"] == [
        ["attribute", "build_features"],
        ["build_features", "materialize"],
        ["ingest", "attribute"],
    ]
    assert found["limits"] == dict.fromkeys(("ingest", "attribute", "build_features", "materialize"), 1)
    assert found["outlets"] == ["marquee_features"]
    assert (found["timetable"], found["cron"]) == ("CronDataIntervalTimetable", "0 0 * * *")
    assert found["max_active_runs"] == 1


def test_train_and_promote_publishes_last_and_only_through_the_gate(parsed: dict) -> None:
    found = parsed["dags"]["train_and_promote"]
    assert found["edges"] == sorted([
        ["choose_window", "choose_candidates"],
        ["choose_window", "build_training_set"],
        ["choose_candidates", "train_candidate"],
        ["build_training_set", "train_candidate"],
        ["build_training_set", "evaluate_candidates"],
        ["train_candidate", "evaluate_candidates"],
        ["evaluate_candidates", "gate"],
        ["evaluate_candidates", "promote"],
        ["evaluate_candidates", "publish"],
        ["gate", "promote"],
        ["promote", "publish"],
    ])
    assert found["tasks"]["gate"] == "_ShortCircuitDecoratedOperator"
    assert found["tasks"]["train_candidate"] == "DecoratedMappedOperator"
    assert found["timetable"] == "AssetOrTimeSchedule"
    assert (found["catchup"], found["max_active_runs"]) == (False, 1)


def test_the_schedule_follows_the_settings(parsed: dict) -> None:
    refresh = parsed["hourly"]["dags"]["refresh_features"]
    assert (refresh["cron"], refresh["catchup"]) == ("0 */1 * * *", True)
    assert refresh["start_date"] == "2026-11-01T00:00:00+00:00"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_a_dag_file_is_short_and_says_what_it_answers_reads_and_writes(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    for word in ("Answers", "Reads", "writes", "rerun"):
        assert word in text.split('"""')[1], f"{path.name} does not say {word}"


def test_dag_files_follow_airflows_own_rules() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "AIR", "--preview", *map(str, DAG_FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
