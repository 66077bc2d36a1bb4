"""A Spark to test against: local, in this process; where Java 17 or pyspark is missing, tests are skipped."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec

import pytest

OLDEST_JAVA = 17
MASTER = "local[2]"


@pytest.fixture(scope="session")
def spark_master() -> str:
    """The address of a Spark with two workers; where services are required, one that is missing fails."""
    missing = _missing()
    if missing and os.environ.get("MARQUEE_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    from pyspark.sql import SparkSession

    # Whoever opens Spark later in this process gets this session: 200 tasks a shuffle would be for a real cluster.
    quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    sized = {"spark.sql.shuffle.partitions": "2", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.master(MASTER)
    for name, value in (quiet | sized).items():
        builder = builder.config(name, value)
    builder.getOrCreate()
    return MASTER


def _missing() -> str:
    if find_spec("pyspark") is None:
        return "pyspark is not installed: `make test` brings it where Java 17 is on the machine"
    program = shutil.which("java")
    if program is None:
        return "Spark needs Java 17, and there is no java on this machine"
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"Spark needs Java {OLDEST_JAVA}, and this machine's says: {said.splitlines()[:1]}"
    return ""
