"""A real scheduler, api-server and DAG processor, as `marquee airflow` starts them: what a backfill there ends with."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

import httpx
import pytest

from pipelines.backfill import backfill
from pipelines.settings import Settings
from tests.dags.log_world import contents, make_home
from tests.e2e.console import ROOT, done, environment, marquee, until
from tests.pipelines.feature_world import day

FIRST, LAST = day(0), day(1)
COMPONENTS = (("api-server",), ("dag-processor",), ("scheduler", "--skip-serve-logs"))
REFRESH, TRAIN = "refresh_features", "train_and_promote"
BACKFILL = (
    "backfill", "create", "--dag-id", REFRESH,
    "--from-date", f"{FIRST.start_at:%Y-%m-%d}", "--to-date", f"{LAST.start_at:%Y-%m-%d}",
    "--max-active-runs", "1", "--reprocess-behavior", "completed",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("airflow_home")
def test_a_backfill_by_a_real_scheduler_ends_with_the_same_bytes_and_sets_training_off(tmp_path: Path) -> None:
    settings = _settings(tmp_path)

    def wait(holds: Callable[[], object], seconds: float) -> None:
        until(holds, seconds, lambda: _logs(settings), pause_seconds=1.0)

    with _airflow(settings) as (env, api):
        backfill(settings, FIRST.start_at, LAST.end_at)  # in this process, while the others come up
        built_in_process = contents(settings)
        _empty(settings)
        wait(lambda: _log_in(api), 120)
        wait(lambda: {found["dag_id"] for found in _get(api, "dags")["dags"]} >= {REFRESH, TRAIN}, 60)
        _pause(api, REFRESH, False)
        _pause(api, TRAIN, False)
        done(marquee(env, "airflow", *BACKFILL))
        # Begun, and not only queued: Airflow's API cannot tell the cause of a run that has no start yet.
        wait(lambda: [run for run in _runs(api, TRAIN) if run["start_date"]], 240)
        _pause(api, TRAIN, True)  # that it begins is enough: what it does is shown elsewhere
        wait(lambda: [run["state"] for run in _runs(api, REFRESH)] == ["success"] * 2, 240)
        refreshed, trainings = _runs(api, REFRESH), [run for run in _runs(api, TRAIN) if run["start_date"]]
        cause = _get(api, f"dags/{TRAIN}/dagRuns/{trainings[0]['dag_run_id']}/upstreamAssetEvents")["asset_events"][0]

    assert [(run["run_type"], run["data_interval_start"], run["data_interval_end"]) for run in refreshed] == [
        ("backfill", _iso(interval.start_at), _iso(interval.end_at)) for interval in (FIRST, LAST)
    ]
    assert {"features/_refreshed", "rewards"} <= {str(Path(name).parent) for name in built_in_process}
    assert _refreshed(settings) == built_in_process
    assert {run["run_type"] for run in trainings} == {"asset_triggered"}
    assert cause["source_dag_id"] == REFRESH
    assert cause["extra"] == {"interval": FIRST.key, "refreshed_through": FIRST.end_at.isoformat()}


def _settings(home: Path) -> Settings:
    """Make a home of two days; the schedule begins tomorrow, so that the scheduler has nothing to do of its own."""
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return make_home(home, n_days=2).model_copy(update={"first_interval_at": tomorrow})


@contextmanager
def _airflow(settings: Settings) -> Iterator[tuple[dict[str, str], httpx.Client]]:
    """Run Airflow's components until the block ends; give their environment and a client of their API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {name: value for name, value in environment(settings).items() if not name.startswith("AIRFLOW_")}
    env = own | {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    with ExitStack() as stack:
        for words in COMPONENTS:
            stack.enter_context(_component(env, settings.home / f"{words[0]}.log", words))
        api = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v2", timeout=30))
        yield env, api


@contextmanager
def _component(env: dict[str, str], log: Path, words: tuple[str, ...]) -> Iterator[None]:
    """Run one component in a process group of its own, so that nothing it starts outlives the block."""
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "airflow", *words],
            cwd=ROOT,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(timeout=10)
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _log_in(api: httpx.Client) -> bool:
    try:
        answer = api.get(f"http://{api.base_url.netloc.decode()}/auth/token")
    except httpx.TransportError:
        return False
    if not answer.is_success:
        return False
    api.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    return True


def _get(api: httpx.Client, path: str) -> dict[str, Any]:
    return dict(api.get(path).raise_for_status().json())


def _runs(api: httpx.Client, dag_id: str) -> list[dict[str, Any]]:
    return list(_get(api, f"dags/{dag_id}/dagRuns")["dag_runs"])


def _pause(api: httpx.Client, dag_id: str, paused: bool) -> None:
    api.patch(f"dags/{dag_id}", json={"is_paused": paused}).raise_for_status()


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _empty(settings: Settings) -> None:
    """Take away all that a refresh made, but for Feast's registry: it takes long to make and knows absolute paths."""
    rmtree(settings.lake_dir)
    rmtree(settings.features_dir)
    assert contents(settings) == {}


def _refreshed(settings: Settings) -> dict[str, str]:
    """Name what refreshing made: training may be under way."""
    return {name: found for name, found in contents(settings).items() if not name.startswith(("training", "policies"))}


def _logs(settings: Settings) -> str:
    return "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in sorted(settings.home.glob("*.log")))
