"""Spark, where it is the engine: told at the start of work where it is missing, started when it is first needed."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from typing import Any

from models.error import MarqueeError
from pipelines.settings import Settings

OLDEST_JAVA = 17
_NOT_INSTALLED = "pyspark is not installed: install the extra `spark`"


def refuse_without_spark(settings: Settings) -> None:
    """Find out, before any work begins, whether Spark can be started, if it is the engine; takes a fifth of a second.

    Raises:
        MarqueeError: saying what is missing and how to go on without it.
    """
    missing = missing_for_spark() if settings.engine == "spark" else ""
    if missing:
        raise MarqueeError(f"engine is spark, but {missing}, or set MARQUEE_ENGINE=duckdb")


def missing_for_spark() -> str:
    """Say what Spark lacks on this machine, and how to bring it; empty where it lacks nothing."""
    if find_spec("pyspark") is None:
        return _NOT_INSTALLED
    home = os.environ.get("JAVA_HOME")
    program = f"{home}/bin/java" if home else "java"  # where Spark itself looks
    need = f"install Java {OLDEST_JAVA} or newer, or let JAVA_HOME name it"
    if shutil.which(program) is None:
        return f"there is no Java at {program}: {need}"
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"{program} says {said.partition(os.linesep)[0]!r}: {need}"
    return ""


def spark_session(master: str) -> Any:
    """Start Spark, or give the session that this process has; it stays for the life of the process.

    Raises:
        MarqueeError: if it cannot be started.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MarqueeError(f"engine is spark, but {_NOT_INSTALLED}") from error
    options = {
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.appName("marquee").master(master)
    for name, value in options.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except PySparkException as error:
        raise MarqueeError(f"cannot start Spark at {master}: it needs Java {OLDEST_JAVA}, and {error}") from error
