"""Airflow in this process, without scheduler or api-server; the only module of ours that imports Airflow.

Airflow reads its environment once, at its first import, so that nothing here imports it before `point` has run, and
one process has one Airflow home: the first one asked for. A second home's runs use it too and lose nothing: whatever
they make lies in their own home, and Airflow only remembers how its tasks ended.
"""

import fcntl
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from models.error import ContractError, DivergedModelError, MarqueeError, StaleModelError, WorseThanUniformError
from models.interval import Interval, moment_key
from pipelines.settings import Settings, environment_of
from pipelines.spark import refuse_without_spark

P = ParamSpec("P")
R = TypeVar("R")

DAGS_DIR = Path(__file__).parents[1] / "dags"
_OFF_THE_GRID = timedelta(microseconds=1)
"""A run in process is dated just off every boundary, so that it never takes the place of a scheduled run."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """A task of a run began or ended: `state` is running, success, skipped or failed."""

    dag_id: str
    run_key: str
    task: str
    state: str


@dataclass(frozen=True, slots=True)
class DagRun:
    """How a run ended: the state of each task by its name, mapped ones as `train_candidate[0]`."""

    dag_id: str
    run_key: str
    state: str
    tasks: Mapping[str, str]


Progress = Callable[[TaskProgress], None]


def task_edge(step: Callable[P, R]) -> Callable[P, R]:
    """Tell Airflow what to do about Marquee's errors: the one place where the two meet.

    Broken input is not tried again; a policy that came too late, diverged or is worse than chance is skipped and leaves
    the run green; all else, NotReadyError above all, is tried again as the DAG says.
    """

    @functools.wraps(step)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return step(*args, **kwargs)
        except ContractError as error:
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException(str(error)) from error
        except (StaleModelError, DivergedModelError, WorseThanUniformError) as error:
            from airflow.sdk.exceptions import AirflowSkipException

            raise AirflowSkipException(str(error)) from error

    return guarded


def point(settings: Settings) -> Path:
    """Point this process's Airflow at a home below the settings' own, unless the environment names one; give that home.

    Raises:
        MarqueeError: if the DAG files are not there, or the environment names others.
    """
    if not DAGS_DIR.is_dir():
        raise MarqueeError(f"no DAG files at {DAGS_DIR}: run from a checkout, or install it editable")
    home = Path(os.environ.setdefault("AIRFLOW_HOME", str((settings.home / "airflow").absolute())))
    for name, value in _environment().items():
        os.environ.setdefault(name, value)
    _refuse_other_dags(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    return home


def migration_marker(home: Path) -> Path:
    """Name the file that says that this home's database fits the installed Airflow; to look takes no Airflow import."""
    return home / f"migrated-{version('apache-airflow')}"


def migrate(settings: Settings) -> None:
    """Make Airflow's database, once for each home and Airflow version; it takes seconds, and then nothing.

    Raises:
        MarqueeError: if Airflow reads other DAG files than ours: it was told so, or imported before `point`.
    """
    home = point(settings)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "migrate.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # also over the import, which writes the configuration of a new home
        from airflow.settings import DAGS_FOLDER

        _refuse_other_dags(DAGS_FOLDER)
        marker = migration_marker(home)
        if not marker.exists():
            from airflow.utils.db import initdb

            initdb()
            marker.touch()


def run_dag(
    settings: Settings,
    dag_id: str,
    *,
    interval: Interval | None = None,
    as_of: datetime | None = None,
    progress: Progress | None = None,
) -> DagRun:
    """Run a DAG once in this process, over a data interval or as of a moment.

    It takes 5 s at first and then about 1.2 s beside its work. Nothing is tried again here: whoever waits at a terminal
    wants to be told. Running the same interval or `as_of` again replaces the run.

    Raises:
        MarqueeError: naming the task that failed; its own error is the cause; or if the engine cannot run, at once.
        KeyboardInterrupt: if that error is one.
    """
    if (interval is None) == (as_of is None):
        raise ContractError(f"run_dag wants an interval or as_of, one of the two, got {interval} and {as_of}")
    refuse_without_spark(settings)
    migrate(settings)
    moment = interval.end_at if interval else as_of
    assert moment is not None  # noqa: S101 - for the type checker
    watch = _Watch(dag_id, moment_key(interval.start_at if interval else moment), progress)
    with _environ_of(settings), _listening(watch):
        run = _load(dag_id).test(
            logical_date=moment + _OFF_THE_GRID, run_conf={"as_of": as_of.isoformat()} if as_of else None
        )
    if interval and (run.data_interval_start, run.data_interval_end) != (interval.start_at, interval.end_at):
        got = f"[{run.data_interval_start}, {run.data_interval_end})"
        raise ContractError(f"{dag_id} must run over [{interval.start_at}, {interval.end_at}), got {got}")
    tasks = {_name(found): str(found.state) for found in run.get_task_instances()}
    if str(run.state) != "success":
        if watch.was_interrupted:  # Airflow takes Ctrl-C for a task's failure
            raise KeyboardInterrupt
        raise watch.failure(tasks)
    if not tasks:
        raise MarqueeError(f"{dag_id} {watch.run_key}: Airflow ended the run without any task")
    return DagRun(dag_id, watch.run_key, str(run.state), tasks)


def _refuse_other_dags(folder: str) -> None:
    if Path(folder).resolve() != DAGS_DIR.resolve():
        raise MarqueeError(f"Airflow reads its DAG files from {folder}, ours are in {DAGS_DIR}")


def _environment() -> dict[str, str]:
    """Say what an embedded Airflow is told where the environment says nothing."""
    port = os.environ.get("AIRFLOW__API__PORT", "8081")  # 8080 is the scorer's
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_DIR),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "utc",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",  # errors reach the caller as exceptions; stdout stays ours
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",  # tasks report there: it must name the port too
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _load(dag_id: str) -> Any:
    """Parse the DAG files afresh: `run_conf` of an earlier `test` would stick to an old object."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS_DIR)
    if bag.import_errors:
        raise MarqueeError(f"DAG files that do not parse: {bag.import_errors}")
    if dag_id not in bag.dags:
        raise ContractError(f"dag_id must be one of {sorted(bag.dags)}, got {dag_id!r}")
    found = bag.dags[dag_id]
    found.start_date = None  # the schedule's first date: a run before it would be green without any task
    for each in found.tasks:
        if each.is_mapped:
            each.partial_kwargs |= {"retries": 0, "start_date": None}
        else:
            each.retries, each.start_date = 0, None
    return found


@contextmanager
def _environ_of(settings: Settings) -> Iterator[None]:
    """Give the tasks the settings of the caller, through the door by which every process gets them."""
    before = dict(os.environ)
    os.environ.update(environment_of(settings))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _name(instance: Any) -> str:
    return f"{instance.task_id}[{instance.map_index}]" if instance.map_index >= 0 else str(instance.task_id)


@dataclass(slots=True)
class _Watch:
    """Hears from Airflow how each task goes."""

    dag_id: str
    run_key: str
    progress: Progress | None
    failures: list[tuple[str, BaseException | str | None]] = field(default_factory=list)

    def tell(self, instance: Any, state: str) -> None:
        if self.progress:
            self.progress(TaskProgress(self.dag_id, self.run_key, _name(instance), state))

    @property
    def was_interrupted(self) -> bool:
        return any(isinstance(error, KeyboardInterrupt) for _, error in self.failures)

    def failure(self, tasks: Mapping[str, str]) -> MarqueeError:
        """Say which task failed and why, as far as Airflow told: one that broke around the task tells its log alone."""
        failed = sorted(task for task, state in tasks.items() if state == "failed")
        task, error = self.failures[0] if self.failures else (", ".join(failed), "see Airflow's log of the task")
        cause = error.__cause__ if isinstance(error, BaseException) and error.__cause__ else error
        told = MarqueeError(f"{self.dag_id} {self.run_key}: {task} failed: {cause}")
        told.__cause__ = cause if isinstance(cause, BaseException) else None
        return told


@contextmanager
def _listening(watch: _Watch) -> Iterator[None]:
    """Hang the watch on Airflow's listener hooks for one run."""
    from airflow.listeners import hookimpl
    from airflow.sdk.listener import get_listener_manager

    class Listener:
        def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
            watch.tell(task_instance, "running")

        def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
            watch.tell(task_instance, "success")

        def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
            watch.tell(task_instance, "skipped")

        def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
            watch.failures.append((_name(task_instance), error))
            watch.tell(task_instance, "failed")

    for hook in (
        Listener.on_task_instance_running,
        Listener.on_task_instance_success,
        Listener.on_task_instance_skipped,
        Listener.on_task_instance_failed,
    ):
        hookimpl(hook)
    manager, listener = get_listener_manager(), Listener()
    manager.add_listener(listener)
    try:
        yield
    finally:
        manager.pm.unregister(listener)
