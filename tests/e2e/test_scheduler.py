"""README's Airflow, command by command as it is printed: a real scheduler, and what a backfill there ends with.

Two days in CI, over Airflow's own SQLite; `MARQUEE_BACKFILL_DAYS=30` asks for as many. More than a few days are over
PostgreSQL: of SQLite README says that a backfill's command and the scheduler lock each other out there.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from time import sleep
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pipelines.backfill import backfill
from pipelines.settings import Settings
from tests.dags.log_world import contents, make_home
from tests.e2e.console import ROOT, done, environment, free_port, started, until
from tests.e2e.readme import SCHEDULED, airflow, dated
from tests.pipelines.feature_world import day
from tests.serving.conftest import postgres_url  # noqa: F401 - a fixture

MOST_DAYS_ON_SQLITE = 5
N_DAYS = int(os.environ.get("MARQUEE_BACKFILL_DAYS", "2"))
FIRST_DAY = 2 - N_DAYS
DAYS = [day(n) for n in range(FIRST_DAY, 2)]
FIRST, LAST = DAYS[0], DAYS[-1]
REFRESH, TRAIN = "refresh_features", "train_and_promote"
PASSWORDS = "simple_auth_manager_passwords.json.generated"

pytestmark = pytest.mark.slow


@dataclass
class Shell:
    """A shell in the checkout whose `marquee` is this Python's; it knows which of README's commands it ran."""

    env: dict[str, str]
    ran: list[str] = field(default_factory=list)

    def command(self, words: str, *days: datetime) -> list[str]:
        """Make the command that README prints, for other days."""
        printed = airflow(words)
        self.ran.append(printed)
        return ["bash", "-c", f"exec {dated(printed, *days)}"]

    def run(self, words: str, *days: datetime, **env: str) -> None:
        """Run the command to its end, in an environment with some variables more; insist on success."""
        command = self.command(words, *days)
        env = self.env | env
        done(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False))


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables that name Airflow's database; none for its own SQLite."""
    if N_DAYS <= MOST_DAYS_ON_SQLITE:
        yield {}
        return
    import psycopg

    server, name = request.getfixturevalue("postgres_url"), f"airflow_{uuid4().hex}"
    url = f"{server.rpartition('/')[0]}/{name}".replace("postgresql://", "postgresql+psycopg://")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url}
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.timeout(1_000 + 100 * N_DAYS)
@pytest.mark.usefixtures("airflow_home")
def test_the_readmes_commands_end_with_the_same_bytes_and_set_training_off(
    tmp_path: Path, database: dict[str, str]
) -> None:
    settings = _settings(tmp_path)
    shell = Shell(_environment(settings) | database)

    def wait(holds: Callable[[], object], seconds: float) -> None:
        until(holds, seconds, lambda: _logs(settings), pause_seconds=1.0)

    # Nothing is run by hand before the schedule's first interval.
    shell.run("dags test", FIRST.end_at, MARQUEE_FIRST_INTERVAL_AT=FIRST.start_at.isoformat())
    first_by_hand = contents(settings)
    _empty(settings)
    with _standalone(shell, settings) as api:
        backfill(settings, FIRST.start_at, FIRST.end_at)  # in this process, while the scheduler comes up
        first_in_process = contents(settings)
        backfill(settings, FIRST.end_at, LAST.end_at)
        built_in_process = contents(settings)
        _empty(settings)
        wait(lambda: _log_in(api, settings), 240)
        wait(lambda: _starts(api) == dict.fromkeys((REFRESH, TRAIN), settings.first_interval_at), 120)
        shell.run(f"dags unpause {REFRESH}")
        shell.run(f"dags unpause {TRAIN}")
        shell.run("backfill create", FIRST.start_at, LAST.start_at)
        # Begun, and not only queued: Airflow's API cannot tell the cause of a run that has no start yet.
        wait(lambda: [run for run in _runs(api, TRAIN) if run["start_date"]], 240)
        wait(lambda: _pause(api, TRAIN), 60)  # that it begins is enough: what it does is shown elsewhere
        wait(lambda: [run["state"] for run in _backfilled(api)] == ["success"] * N_DAYS, 120 * N_DAYS)
        refreshed, trainings = _backfilled(api), [run for run in _runs(api, TRAIN) if run["start_date"]]
        cause = _get(api, f"dags/{TRAIN}/dagRuns/{trainings[0]['dag_run_id']}/upstreamAssetEvents")["asset_events"][0]

    assert sorted(shell.ran) == sorted(map(airflow, SCHEDULED))
    assert first_by_hand == first_in_process
    assert [(run["run_type"], run["data_interval_start"], run["data_interval_end"]) for run in refreshed] == [
        ("backfill", _iso(interval.start_at), _iso(interval.end_at)) for interval in DAYS
    ]
    assert {"features/_refreshed", "rewards"} <= {str(Path(name).parent) for name in built_in_process}
    assert _refreshed(settings) == built_in_process
    assert {run["run_type"] for run in trainings} == {"asset_triggered"}
    assert cause["source_dag_id"] == REFRESH
    assert cause["extra"] == {"interval": FIRST.key, "refreshed_through": FIRST.end_at.isoformat()}


def _settings(home: Path) -> Settings:
    """Make a home of some days; the schedule begins tomorrow, so that the scheduler has nothing to do of its own."""
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return make_home(home, N_DAYS, FIRST_DAY).model_copy(update={"first_interval_at": tomorrow})


def _environment(settings: Settings) -> dict[str, str]:
    """Spell the environment of a user's shell, whose console has a free port."""
    own = {name: value for name, value in environment(settings).items() if not name.startswith("AIRFLOW_")}
    return own | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW__API__PORT": str(free_port()),
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }


@contextmanager
def _standalone(shell: Shell, settings: Settings) -> Iterator[httpx.Client]:
    """Run the scheduler with its console until Ctrl-C at the block's end; give a client of its API."""
    url = f"http://127.0.0.1:{shell.env['AIRFLOW__API__PORT']}/api/v2"
    with (
        started(shell.env, settings.home / "standalone", *shell.command("standalone")) as running,
        httpx.Client(base_url=url, timeout=30) as api,
    ):
        yield api
        assert running.interrupt() == 0, _logs(settings)
        with pytest.raises(httpx.TransportError):
            api.get("version")


def _log_in(api: httpx.Client, settings: Settings) -> bool:
    """Log in with the password that the first start made, once there is a console."""
    try:
        passwords = json.loads((settings.home / "airflow" / PASSWORDS).read_text())
        asked = {"username": "admin", "password": passwords["admin"]}
        answer = api.post(f"http://{api.base_url.netloc.decode()}/auth/token", json=asked)
    except (FileNotFoundError, json.JSONDecodeError, httpx.TransportError):
        return False
    if not answer.is_success:
        return False
    api.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    return True


def _starts(api: httpx.Client) -> dict[str, datetime]:
    """Tell from when on each DAG is scheduled, as far as the DAG processor has read it."""
    found = {each["dag_id"]: _get(api, f"dags/{each['dag_id']}/details") for each in _get(api, "dags")["dags"]}
    return {name: datetime.fromisoformat(known["start_date"]) for name, known in found.items()}


def _get(api: httpx.Client, path: str) -> dict[str, Any]:
    """Read from the API, a few times if its database is held."""
    answer = api.get(path)
    for _ in range(5):
        if not answer.is_server_error:
            break
        sleep(1.0)
        answer = api.get(path)
    return dict(answer.raise_for_status().json())


def _runs(api: httpx.Client, dag_id: str) -> list[dict[str, Any]]:
    return list(_get(api, f"dags/{dag_id}/dagRuns")["dag_runs"])


def _backfilled(api: httpx.Client) -> list[dict[str, Any]]:
    return [run for run in _runs(api, REFRESH) if run["run_type"] == "backfill"]


def _pause(api: httpx.Client, dag_id: str) -> bool:
    """Pause a DAG; Airflow's SQLite may be held by its other processes for longer than a request waits."""
    answer = api.patch(f"dags/{dag_id}", json={"is_paused": True})
    assert answer.is_success or answer.is_server_error, answer.text
    return answer.is_success


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
    return "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in sorted(settings.home.glob("standalone.std*")))
