"""A Spark to test against: local, in this process; where Java 17 or pyspark is missing, tests are skipped."""

import os

import pytest

from pipelines.spark import missing_for_spark

MASTER = "local[2]"


@pytest.fixture(scope="session")
def spark_master() -> str:
    """The address of a Spark with two workers; where services are required, one that is missing fails."""
    missing = missing_for_spark()
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
