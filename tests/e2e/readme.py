"""README's commands as they are printed: tests take them from here, so that none is run otherwise or left out."""

import re
from datetime import datetime

from tests.e2e.console import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = [line.removeprefix("$ ") for line in README.splitlines() if line.startswith("$ ")]

SCHEDULED = (
    "dags test",
    "standalone",
    "dags unpause refresh_features",
    "dags unpause train_and_promote",
    "backfill create",
)
"""How Airflow's commands in README begin. tests/e2e/test_scheduler.py runs every one of them, and insists on it."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def airflow(words: str) -> str:
    """Find the one command of README that has these words for Airflow."""
    (found,) = (line for line in COMMANDS if f"{line} ".startswith(f"marquee airflow {words} "))
    return found


def dated(command: str, *days: datetime) -> str:
    """Put other days in the place of a command's own, one for each."""
    left = [f"{day:%Y-%m-%d}" for day in days]
    assert len(_DATE.findall(command)) == len(left), command
    return _DATE.sub(lambda _: left.pop(0), command)
