"""Both DAGs, run for real in this process: the loop from event log to live policy, and what a kill or a rerun does."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree, rmtree

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.audit import decode_audit
from models.bundle import read_bundle, read_pointer
from models.error import ContractError, MarqueeError, NotReadyError, SkewError
from models.interval import moment_key
from models.layout import ARTWORK, FAMILIARITY, PROFILE, TITLE
from models.pointer import Pointer
from pipelines import steps
from pipelines.airflow_run import DagRun, TaskProgress, run_dag
from pipelines.backfill import backfill
from pipelines.feature_tables import view_path
from pipelines.lake import Lake
from pipelines.promotion import promote, publish
from pipelines.registry import Registered, Registry
from pipelines.replay import Round, evaluate_candidates
from pipelines.rollback import rollback
from pipelines.settings import Settings
from pipelines.settings import environment_of as variables_of
from pipelines.status import status
from pipelines.table import DECISIONS
from pipelines.training import train_candidate
from pipelines.training_set import build_training_set
from pipelines.watermark import refreshed_through
from tests.dags.log_world import contents, make_home
from tests.pipelines.feature_world import ROOT, day

pytestmark = pytest.mark.usefixtures("airflow_home")

REFRESH = ("ingest", "attribute", "build_features", "materialize")
TRAIN = (
    "choose_window", "choose_candidates", "build_training_set", "train_candidate[0]", "train_candidate[1]",
    "evaluate_candidates", "gate", "promote", "publish",
)  # fmt: skip
FIRST_TWO_DAYS, ALL_DAYS = day(1).end_at, day(2).end_at


class Home:
    """A home that can be set back in place: Feast's registry holds absolute paths, so that a copy would not do."""

    def __init__(self, path: Path) -> None:
        self.settings = make_home(path / "home", n_days=3)
        self._saved = path / "saved"

    def save(self) -> None:
        copytree(self.settings.home, self._saved)

    def set_back(self, registry: str = "registry") -> Settings:
        """Set the home back to what was saved, with a registry of its own: MLflow holds on to a file it has opened."""
        rmtree(self.settings.home)
        copytree(self._saved, self.settings.home)
        url = f"sqlite:///{self.settings.home / registry}.db"
        return self.settings.model_copy(update={"registry_url": url})


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose first two days are refreshed and whose third is not."""
    home = Home(tmp_path_factory.mktemp("two-days"))
    backfill(home.settings, day(0).start_at, FIRST_TWO_DAYS)
    home.save()
    return home


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


def environment_of(settings: Settings) -> dict[str, str]:
    """Give another process the settings of a home."""
    return os.environ | variables_of(settings) | {"PYTHONPATH": str(ROOT)}


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
    live = rollback(settings)

    run = run_dag(settings, "train_and_promote", as_of=FIRST_TWO_DAYS)

    audit = decode_audit((settings.reports_dir / run.run_key / "audit.json").read_bytes())
    assert run.state == "success"
    assert run.tasks["promote"] == run.tasks["publish"] == "skipped"
    assert f"{published.version} was withdrawn by a rollback" in audit.reason
    assert read_pointer(settings.policies_url) == live


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
