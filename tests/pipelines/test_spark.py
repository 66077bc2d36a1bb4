"""Spark gives what DuckDB gives: rewards, features and training sets, row for row."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.error import MarqueeError
from pipelines.as_known import ExpressionPointInTime
from pipelines.attribution import attribute
from pipelines.engine import open_engine
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import build_features
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.point_in_time import PointInTime
from pipelines.settings import Settings
from pipelines.table import IMPRESSIONS, PLAYS, REWARDS
from pipelines.training_set import build_training_set
from serving.feature_store import apply_feature_repo, open_feature_store
from tests.dags.log_world import day_of_log
from tests.pipelines.event_log import write_segment
from tests.pipelines.feature_world import N_DAYS, START, catalogue, day, make_home, settings_of
from tests.pipelines.test_point_in_time import VIEW, hours, put


@pytest.fixture
def on_spark(spark_master: str) -> Any:
    """Let settings run on Spark."""
    return lambda settings: settings.model_copy(update={"engine": "spark", "spark_master": spark_master})


def test_features_of_every_interval_have_the_same_bytes(tmp_path, on_spark):
    settings = make_home(tmp_path, 3)
    made = [build_features(settings, day(number)) for number in range(3)]
    assert all(each.n_changed > 100 for each in made)
    assert [build_features(on_spark(settings), day(number)).n_changed for number in range(3)] == [0, 0, 0]


def test_rewards_are_the_same_whether_intervals_are_in_the_lake_or_only_logged(tmp_path, on_spark):
    settings = settings_of(tmp_path)
    for number in range(3):
        write_segment(settings.events_dir, day_of_log(number), writer=f"w{number}")
    for number in (0, 2):
        ingest(settings, day(number))
    lake, expected = Lake(settings.lake_dir), {}
    for number in range(3):
        assert attribute(settings, day(number)).n_rewards > 100
        expected[number] = lake.content_hash(REWARDS, day(number))
    for number in (2, 0, 1):
        assert attribute(on_spark(settings), day(number)).n_changed == 0
    assert {number: lake.content_hash(REWARDS, day(number)) for number in range(3)} == expected


def test_spark_reads_the_files_that_deltas_log_names_and_no_others(tmp_path, on_spark):
    settings = make_home(tmp_path, 2)
    lake = Lake(settings.lake_dir)
    plays = lake.read(PLAYS, day(0).start_at, day(1).end_at)
    lake.overwrite(PLAYS, day(0), plays.filter(pa.array([False] * len(plays))))
    assert len(list(Path(settings.lake_dir, "plays").rglob("*.parquet"))) > len(
        lake.files(PLAYS, day(0).start_at, day(1).end_at)
    )
    with open_engine(on_spark(settings)) as engine:
        found = engine.to_arrow(
            engine.stored(lake, PLAYS, day(0).start_at, day(1).end_at, PLAYS.schema.names), PLAYS.schema
        )
    assert found.sort_by([(name, "ascending") for name in PLAYS.order]).equals(
        lake.read(PLAYS, day(0).start_at, day(1).end_at)
    )
    assert lake.files(IMPRESSIONS, day(7).start_at, day(8).end_at) == []


def test_a_training_set_is_the_same_to_the_byte(feast_world, on_spark):
    as_of = day(N_DAYS - 1).end_at
    expected = build_training_set(feast_world, as_of)
    assert expected.n_decisions > 100
    found = build_training_set(on_spark(feast_world), as_of, feast_world.training_dir / "spark")
    assert (found.data_version, found.n_decisions) == (expected.data_version, expected.n_decisions)
    shutil.rmtree(feast_world.training_dir / "spark")


@pytest.mark.parametrize("ttl", [timedelta(hours=20), timedelta(days=3650)])
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_the_expression_joins_what_feast_joins(scratch_store, request, engine, ttl):
    settings, store = scratch_store(ttl)
    settings = request.getfixturevalue("on_spark")(settings) if engine == "spark" else settings
    rng = np.random.default_rng(13)
    for part in range(6):
        rows = [
            (f"k{key}", float(rng.normal()), hours(12 * (part // 2)), hours(12 * (part // 2) + float(late)))
            for key, late in enumerate(rng.choice([0, 0.5, 1, 7, 40], size=5, replace=False) + part % 2 / 4)
        ]
        put(settings, rows, str(part))
    at = np.datetime64(START.replace(tzinfo=None), "us") + rng.integers(-10, 150, size=200).astype("timedelta64[h]")
    at += rng.integers(-1, 2, size=200).astype("timedelta64[us]")
    names = pa.array(rng.choice([f"k{key}" for key in range(6)], size=200))
    found, expected = (each(settings, store, VIEW).ask(names, at) for each in (ExpressionPointInTime, PointInTime))
    assert found["vector"].to_pylist() == expected["vector"].to_pylist()
    assert 40 < expected["vector"].null_count < 190


def test_feasts_own_spark_store_gives_what_its_default_store_gives(feast_world, spark_master, tmp_path):
    settings = feast_world.model_copy(
        update={"home": tmp_path / "home", "feature_store_file": "feature_store.spark.yaml"}
    )
    shutil.copytree(feast_world.features_dir, settings.features_dir)
    assert apply_feature_repo(settings)
    rng = np.random.default_rng(5)
    asked = pd.DataFrame({
        "profile_id": rng.choice([f"profile-{number}" for number in range(14)], 120),
        "title_id": rng.choice(sorted(catalogue().titles), 120),
        "artwork_id": rng.choice(sorted(catalogue().artworks), 120),
        "event_timestamp": pd.to_datetime(START + rng.integers(-5, 24 * N_DAYS, 120) * timedelta(hours=1)),
        "asked": np.arange(120),
    })
    answers = []
    for home in (settings, feast_world):
        store = open_feature_store(home)
        job = store.get_historical_features(
            entity_df=asked,
            features=store.get_feature_service("artwork_ranker_v1"),
            full_feature_names=True,
            filter_by_created_timestamp=True,
        )
        answers.append(job.to_df().sort_values("asked").reset_index(drop=True))
    features = [
        f"{view}__{name}"
        for view, schema in VIEWS.items()
        for name in schema.names[1:]
        if not name.endswith("_timestamp")
    ]
    for name in features:
        found, expected = (_plain(answer[name]) for answer in answers)
        assert found == expected, name
        assert 20 < sum(value is not None for value in found) < 120


def _plain(column: pd.Series) -> list[Any]:
    return [np.asarray(value).tolist() if np.ndim(value) or pd.notna(value) else None for value in column]


def test_a_spark_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pyspark.sql", None)
    with (
        pytest.raises(MarqueeError, match="install the extra `spark`"),
        open_engine(Settings(home=tmp_path, engine="spark")),
    ):
        pass
