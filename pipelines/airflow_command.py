"""`marquee airflow`: Airflow's own command line over this home's Airflow, its tasks under this process's settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pipelines.airflow_run import DAGS_DIR, migrate, migration_marker, point
from pipelines.settings import Settings, environment_of

_LEVEL = "AIRFLOW__LOGGING__LOGGING_LEVEL"


def run_airflow(settings: Settings, words: Sequence[str]) -> NoReturn:
    """Become Airflow's command with these words, after making its database where there is none; exit as it does.

    `standalone` runs as a child, which hears of Ctrl-C from here alone.

    Raises:
        MarqueeError: if the DAG files are not there, or the environment names others.
    """
    command = Path(sys.executable).with_name("airflow")
    env = airflow_environment(settings)
    if words[:1] == ["standalone"]:
        raise SystemExit(_run_apart([str(command), *words], env))
    os.execvpe(command, ["airflow", *words], env)  # noqa: S606 - no shell is wanted


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Make this home's Airflow ready; give the environment in which its processes find it, and Marquee's settings.

    Relative paths become absolute, because Airflow's processes may run anywhere.
    """
    absolute = {"home": settings.home.absolute(), "feature_repo": settings.feature_repo.absolute()}
    settings = settings.model_copy(update=absolute)
    level = os.environ.get(_LEVEL)
    if not migration_marker(point(settings)).exists():  # to ask Airflow itself takes seconds
        migrate(settings)
    env = os.environ | environment_of(settings)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(DAGS_DIR.parent), os.environ.get("PYTHONPATH")]))
    # A run in process is quiet because errors reach its caller; here Airflow's log is all that tells.
    if level is None:
        del env[_LEVEL]
    return env


def _run_apart(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command where the terminal's Ctrl-C does not reach it, and pass that on to it; give its exit code.

    Airflow's standalone stops its components when it is interrupted; a scheduler that the terminal interrupts as well
    is stopped twice, and hangs. Being terminated or hung up on is passed on as Ctrl-C too: it ends by nothing else.
    """
    running: list[subprocess.Popen[bytes]] = []

    def interrupt(*_: object) -> None:
        for each in running:
            each.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    running.append(subprocess.Popen(command, env=env, start_new_session=True))
    code = running[0].wait()
    return code if code >= 0 else 128 - code
