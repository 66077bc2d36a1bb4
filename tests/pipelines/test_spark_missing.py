"""Where Spark is the engine and something of it is missing, that is told before any work begins."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.error import MarqueeError
from pipelines.backfill import backfill
from pipelines.cli import app
from pipelines.compare import compare
from pipelines.demo import run_demo
from pipelines.doctor import examine
from pipelines.settings import Settings
from pipelines.spark import missing_for_spark, refuse_without_spark
from pipelines.train import train
from pipelines.watermark import mark_refreshed
from tests.pipelines.feature_world import day

needs_pyspark = pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not installed")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", engine="spark")


@pytest.fixture
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which there is no Java, and the folder of programs that it has."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return programs


@needs_pyspark
@pytest.mark.parametrize(
    "work",
    [
        lambda settings: backfill(settings, day(0).start_at, day(1).end_at),
        lambda settings: compare(settings, "champion", "uniform", day(0).start_at, day(1).end_at),
        lambda settings: run_demo(settings, n_days=3, n_pages_a_day=20, fresh=False, serve=False),
    ],
)
@pytest.mark.usefixtures("no_java")
def test_a_missing_java_is_told_before_anything_is_written(settings: Settings, work: Callable[..., object]) -> None:
    with pytest.raises(MarqueeError, match="there is no Java at java: install Java 17 or newer, or let JAVA_HOME name"):
        work(settings)
    assert not settings.home.exists()


@needs_pyspark
@pytest.mark.usefixtures("no_java")
def test_a_training_is_refused_before_airflow_begins(settings: Settings) -> None:
    mark_refreshed(settings, day(0))
    with pytest.raises(MarqueeError, match="or set MARQUEE_ENGINE=duckdb"):
        train(settings)
    assert [path.name for path in settings.home.iterdir()] == ["features"]


@needs_pyspark
def test_a_java_that_is_too_old_is_told_with_its_version(
    settings: Settings, no_java: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = no_java / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    with pytest.raises(MarqueeError, match=r"java says 'openjdk version \"11\.0\.2\" 2019-01-15': install Java 17"):
        refuse_without_spark(settings)
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    assert missing_for_spark() == ""
    monkeypatch.setenv("JAVA_HOME", str(no_java / "gone"))
    assert missing_for_spark().startswith(f"there is no Java at {no_java}/gone/bin/java")


def test_the_doctor_tells_it_and_the_default_engine_needs_nothing(
    settings: Settings, no_java: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(settings: Settings) -> tuple[bool, str]:
        return next((each.ok, each.detail) for each in examine(settings).findings if each.what == "engine")

    assert engine(settings)[0] is False
    assert engine(Settings(home=settings.home)) == (True, "DuckDB, in this process")
    monkeypatch.setitem(sys.modules, "pyspark", None)  # as Python itself notes a module that is not to be found
    assert engine(settings)[1].startswith("engine is spark, but pyspark is not installed: install the extra `spark`")


@pytest.mark.usefixtures("no_java")
def test_a_command_is_refused_before_it_makes_a_home(tmp_path: Path) -> None:
    environment = {"MARQUEE_HOME": str(tmp_path / "home"), "MARQUEE_ENGINE": "spark"}
    ran = CliRunner().invoke(app, ["refresh", "2026-11-01"], env=environment)
    assert isinstance(ran.exception, MarqueeError)  # which `main` tells in a sentence
    assert not (tmp_path / "home").exists()
