"""Both DAGs, run for real in this process: the loop from event log to live policy, and what a kill or a rerun does."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from evaluation.audit import decode_audit
from models.bundle import read_bundle, read_pointer
from models.error import NotReadyError
from models.interval import moment_key
from models.pointer import Pointer
from pipelines.airflow_run import DagRun, TaskProgress, run_dag
from pipelines.backfill import backfill
from pipelines.promotion import promote, publish
from pipelines.registry import Registered, Registry
from pipelines.replay import Round, evaluate_candidates
from pipelines.rollback import rollback
from pipelines.settings import Settings
from pipelines.training import train_candidate
from pipelines.training_set import build_training_set
from pipelines.watermark import refreshed_through
from tests.dags.home import ALL_DAYS, FIRST_TWO_DAYS, Home, environment_of
from tests.dags.log_world import contents
from tests.pipelines.feature_world import ROOT, day

pytestmark = pytest.mark.usefixtures("airflow_home")

REFRESH = ("ingest", "attribute", "build_features", "materialize")
TRAIN = (
    "choose_window", "choose_candidates", "build_training_set", "train_candidate[0]", "train_candidate[1]",
    "evaluate_candidates", "gate", "promote", "publish",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a home holds once all is done."""

    live: Pointer | None
    champion: Registered | None
    evaluation: bytes
    audit: bytes
    report: str
    learned_through_at: datetime
    contents: dict[str, str]

    @classmethod
    def of(cls, settings: Settings) -> "Outcome":
        live = read_pointer(settings.policies_url)
        assert live is not None
        reports = settings.reports_dir / moment_key(ALL_DAYS)
        return cls(
            live=live,
            champion=Registry(settings.registry_uri).champion(),
            evaluation=(reports / "evaluation.json").read_bytes(),
            audit=(reports / "audit.json").read_bytes(),
            report=(reports / "report.html").read_text(),
            learned_through_at=read_bundle(settings.policies_url, live.version).manifest.learned_through_at,
            contents=contents(settings),
        )


@pytest.fixture(scope="module")
def undisturbed(two_days: Home) -> tuple[DagRun, Outcome]:
    """Give an undisturbed run of everything and what it left."""
    settings = two_days.set_back("undisturbed")
    run_dag(settings, "refresh_features", interval=day(2))
    run = run_dag(settings, "train_and_promote", as_of=ALL_DAYS)
    return run, Outcome.of(settings)


@pytest.fixture(scope="module")
def tables(undisturbed: tuple[DagRun, Outcome]) -> dict[str, str]:
    """What a home holds after an undisturbed refresh of all three days."""
    found = undisturbed[1].contents
    return {name: content for name, content in found.items() if not name.startswith(("training", "policies"))}


class Stopper:
    """Interrupt the process, as Ctrl-C does, once a task has ended."""

    def __init__(self, task: str) -> None:
        self._task = task

    def __call__(self, progress: TaskProgress) -> None:
        if (progress.task, progress.state) == (self._task, "success"):
            raise KeyboardInterrupt


def test_a_backfill_refreshes_every_interval_and_again_changes_nothing(two_days: Home) -> None:
    settings = two_days.set_back()
    assert refreshed_through(settings) == FIRST_TWO_DAYS
    environment = dict(os.environ)
    before, seen = contents(settings), []

    runs = backfill(settings, day(0).start_at, FIRST_TWO_DAYS, progress=seen.append)

    assert [run.run_key for run in runs] == [day(0).key, day(1).key]
    assert all(run.tasks == dict.fromkeys(REFRESH, "success") for run in runs)
    assert [(one.run_key, one.task) for one in seen if one.state == "running"] == [
        (day(number).key, task) for number in (0, 1) for task in REFRESH
    ]
    assert contents(settings) == before
    assert dict(os.environ) == environment


def test_a_backfill_reaches_back_before_the_first_interval_that_is_scheduled(two_days: Home) -> None:
    settings = two_days.set_back().model_copy(update={"first_interval_at": datetime(2100, 1, 1, tzinfo=UTC)})
    (run,) = backfill(settings, FIRST_TWO_DAYS, ALL_DAYS)
    assert run.tasks == dict.fromkeys(REFRESH, "success")
    assert refreshed_through(settings) == ALL_DAYS


def test_an_interval_is_built_once_it_has_ended_and_no_sooner(two_days: Home) -> None:
    settings = two_days.set_back()
    before = contents(settings)
    with pytest.raises(NotReadyError, match=r"2026-11-04T00:00:00\S* is after 2026-11-03T23:59:59"):
        backfill(settings, day(0).start_at, ALL_DAYS, clock=lambda: ALL_DAYS - timedelta(seconds=1))
    assert contents(settings) == before


def test_the_loop_ends_with_a_better_policy_live(undisturbed: tuple[DagRun, Outcome]) -> None:
    run, outcome = undisturbed
    assert run.tasks == dict.fromkeys(TRAIN, "success")
    assert outcome.live is not None
    assert outcome.champion is not None
    assert outcome.live.version == outcome.champion.bundle_version
    assert outcome.learned_through_at == ALL_DAYS
    judged = msgspec.json.decode(outcome.evaluation, type=Round)
    assert judged.champion == "uniform"
    assert {result.name for result in judged.evaluation.policies} == {"uniform", "best-artwork", "vw-epsilon"}
    assert "Verdict" in outcome.report


@pytest.mark.parametrize("task", REFRESH)
def test_a_refresh_stopped_after_any_task_and_run_again_ends_with_identical_tables(
    two_days: Home, tables: dict[str, str], task: str
) -> None:
    settings = two_days.set_back()
    with pytest.raises(KeyboardInterrupt):
        run_dag(settings, "refresh_features", interval=day(2), progress=Stopper(task))
    run_dag(settings, "refresh_features", interval=day(2))

    assert contents(settings) == tables


@pytest.mark.slow
def test_a_training_stopped_after_any_task_and_run_again_ends_identical_and_so_does_one_more_run(
    two_days: Home, undisturbed: tuple[DagRun, Outcome]
) -> None:
    settings = two_days.set_back("stopped")
    run_dag(settings, "refresh_features", interval=day(2))
    for task in TRAIN:  # each attempt starts on what the one before it left
        with pytest.raises(KeyboardInterrupt):
            run_dag(settings, "train_and_promote", as_of=ALL_DAYS, progress=Stopper(task))
    stopped = Outcome.of(settings)
    assert stopped.contents == undisturbed[1].contents

    run_dag(settings, "train_and_promote", as_of=ALL_DAYS)
    assert Outcome.of(settings) == stopped


_KILLED = """
import os, signal, sys
from pipelines.airflow_run import run_dag
from pipelines.settings import Settings
from tests.pipelines.feature_world import day

dag_id, task, state = sys.argv[1:]

def kill(progress):
    if (progress.task, progress.state) == (task, state):
        os.kill(os.getpid(), signal.SIGKILL)

moment = {"interval": day(2)} if dag_id == "refresh_features" else {"as_of": day(2).end_at}
run_dag(Settings(), dag_id, progress=kill, **moment)
"""


def _kill(settings: Settings, dag_id: str, task: str, state: str) -> None:
    """Run a DAG in a process that is killed, as by power cut, the moment a task is in a state."""
    command = [sys.executable, "-c", _KILLED, dag_id, task, state]
    killed = subprocess.run(command, cwd=ROOT, env=environment_of(settings), check=False)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_a_rerun_by_airflows_own_command_does_not_put_right(
    two_days: Home, tables: dict[str, str]
) -> None:
    settings = two_days.set_back()
    _kill(settings, "refresh_features", "attribute", "running")
    assert refreshed_through(settings) == FIRST_TWO_DAYS

    again = subprocess.run(  # Airflow's own command runs the interval that ends at its date
        [sys.executable, "-m", "pipelines", "airflow", "dags", "test", "refresh_features", ALL_DAYS.isoformat()],
        cwd=ROOT,
        env=environment_of(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr[-2000:]
    assert contents(settings) == tables


@pytest.mark.slow
@pytest.mark.parametrize("task", ["gate", "promote"])
def test_a_training_that_was_killed_after_a_task_and_is_run_again_ends_identical(
    two_days: Home, undisturbed: tuple[DagRun, Outcome], task: str
) -> None:
    settings = two_days.set_back(f"killed-{task}")
    run_dag(settings, "refresh_features", interval=day(2))
    _kill(settings, "train_and_promote", task, "success")
    run_dag(settings, "train_and_promote", as_of=ALL_DAYS)
    assert Outcome.of(settings).contents == undisturbed[1].contents


def test_a_policy_learned_from_older_data_than_the_live_one_is_neither_promoted_nor_published(two_days: Home) -> None:
    settings = two_days.set_back("stale").model_copy(update={"candidates": ("best-artwork",)})
    run_dag(settings, "refresh_features", interval=day(2))
    newest = build_training_set(settings, ALL_DAYS)
    version = train_candidate(settings, newest.uri, "uniform")  # easy to beat, and learned from all three days
    evaluation = evaluate_candidates(settings, newest.uri, [version])
    promote(settings, evaluation, version, by_hand=True)
    live = publish(settings, evaluation, version)

    run = run_dag(settings, "train_and_promote", as_of=FIRST_TWO_DAYS)

    audit = decode_audit((settings.reports_dir / run.run_key / "audit.json").read_bytes())
    assert audit.promoted is not None, audit.reason
    assert audit.rollback_to == version
    assert run.state == "success"
    assert (run.tasks["promote"], run.tasks["publish"]) == ("skipped", "skipped")
    assert read_pointer(settings.policies_url) == live
    champion = Registry(settings.registry_uri).champion()
    assert champion is not None
    assert champion.bundle_version == version


def test_a_run_does_not_bring_back_what_a_rollback_withdrew(two_days: Home) -> None:
    settings = two_days.set_back("withdrawn").model_copy(update={"candidates": ("best-artwork",)})
    run_dag(settings, "train_and_promote", as_of=FIRST_TWO_DAYS)
    published = read_pointer(settings.policies_url)
    assert published is not None
    rollback(settings)
    live = read_pointer(settings.policies_url)

    run = run_dag(settings, "train_and_promote", as_of=FIRST_TWO_DAYS)

    audit = decode_audit((settings.reports_dir / run.run_key / "audit.json").read_bytes())
    assert run.state == "success"
    assert run.tasks["promote"] == run.tasks["publish"] == "skipped"
    assert f"{published.version} was withdrawn by a rollback" in audit.reason
    assert read_pointer(settings.policies_url) == live
