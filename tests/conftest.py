"""Fixtures that every room's tests share."""

import os
from pathlib import Path

# Feast makes it share its counts between all applications, by a variable that workers of xdist inherit.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
import prometheus_client  # noqa: F401
import pytest

from tests.airflow_home import airflow_home, airflow_knows_its_home  # noqa: F401
from tests.feast_home import applied_settings, scratch_store  # noqa: F401
from tests.spark import spark_master  # noqa: F401

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data and golden values; where it is absent, tests that need it are skipped with the reason."""
    found = Path(os.environ.get("MARQUEE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not found.is_dir():
        message = f"real data not found at {found}: MARQUEE_SHARED_DATA names the folder of obd/, upworthy/ and golden/"
        if os.environ.get("MARQUEE_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found
