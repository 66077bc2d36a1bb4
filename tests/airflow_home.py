"""Airflow reads its environment once a process: every test that imports it shares one home, and one migration."""

import os
import sys
from collections.abc import Iterator

import pytest

from pipelines.airflow_run import point
from pipelines.settings import Settings


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = dict(os.environ)
    point(Settings(home=tmp_path_factory.mktemp("airflow")))
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def airflow_knows_its_home() -> Iterator[None]:
    """Fail the test that imports Airflow before it is pointed at a home, and not a later one that then has another."""
    yield
    if "airflow" in sys.modules and "AIRFLOW_HOME" not in os.environ:
        pytest.fail("imported Airflow without the fixture airflow_home")
