"""`marquee airflow`: Airflow's own command line over this home's Airflow, its tasks under this process's settings."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipelines.airflow_run import DAGS_DIR, migrate, migration_marker, point
from pipelines.settings import Settings, environment_of

_LEVEL = "AIRFLOW__LOGGING__LOGGING_LEVEL"


def run_airflow(settings: Settings, words: Sequence[str]) -> NoReturn:
    """Become Airflow's command with these words, after making its database where there is none; exit as it does.

    Raises:
        MarqueeError: if the DAG files are not there, or the environment names others.
    """
    command = Path(sys.executable).with_name("airflow")
    os.execvpe(command, ["airflow", *words], airflow_environment(settings))  # noqa: S606 - no shell is wanted


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
