"""The ASOF store answers what Feast's own duckdb store answers, cell for cell, and takes what that cannot."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Array, Float32, Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.error import NotReadyError
from pipelines.asof_offline_store import AsofOfflineStore

OURS = "pipelines.asof_offline_store.AsofOfflineStore"
START = datetime(2026, 11, 1, tzinfo=UTC)
UTC_TIME, NAIVE_TIME = pa.timestamp("us", tz="UTC"), pa.timestamp("us")
MICROSECOND = timedelta(microseconds=1)

TASTE = pa.schema({
    "profile_id": pa.string(),
    "vector": pa.list_(pa.float32()),
    "event_timestamp": UTC_TIME,
    "created": UTC_TIME,
})
PAIR = pa.schema({"profile_id": pa.string(), "title_id": pa.int64(), "raw": pa.float32(), "at": NAIVE_TIME})
SCORE = pa.schema({"profile_id": pa.string(), "score": pa.int64(), "event_timestamp": NAIVE_TIME, "created": UTC_TIME})
SCHEMAS = {"taste": TASTE, "pair": PAIR, "score": SCORE}


class Stores:
    """Feast's own store and ours over the same files: one view of each kind."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._numbers = count()
        self.ours, self.theirs = (self._open(kind) for kind in (OURS, "duckdb"))
        profile = Entity(name="profile", join_keys=["profile_id"], value_type=ValueType.STRING)
        title = Entity(name="title", join_keys=["title_id"], value_type=ValueType.INT64)
        taste = self._view("taste", [profile], {"vector": Array(Float32)}, ttl=timedelta(hours=6), created="created")
        mapping = {"raw": "amount"}
        pair = self._view("pair", [profile, title], {"amount": Float32}, ttl=None, at="at", field_mapping=mapping)
        score = self._view("score", [profile], {"score": Int64}, ttl=timedelta(days=2), created="created")
        friend = score.with_name("friend").with_join_key_map({"profile_id": "friend_id"})
        # Feast cannot compare a service that names a view both with and without an alias.
        service = FeatureService(name="all", features=[taste, pair, score.with_name("own"), friend])
        for store in (self.ours, self.theirs):
            store.apply([profile, title, taste, pair, score, service])

    def put(self, view: str, rows: list[dict[str, Any]]) -> None:
        """Give a view other rows, in two files of new names: engines remember what they read of a file."""
        shutil.rmtree(self.home / view, ignore_errors=True)
        for half in (rows[::2], rows[1::2]):
            path = self.home / view / str(next(self._numbers)) / "part.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(half, schema=SCHEMAS[view]), path)

    def _open(self, kind: str) -> FeatureStore:
        config = RepoConfig(
            project="marquee",
            provider="local",
            registry=str(self.home / f"{kind}.db"),
            offline_store={"type": kind},
            online_store={"type": "sqlite", "path": str(self.home / f"{kind}-online.db")},
            entity_key_serialization_version=3,
        )
        config.repo_path = self.home
        return FeatureStore(config=config)

    def _view(
        self,
        name: str,
        entities: list[Entity],
        features: dict[str, Any],
        *,
        ttl: timedelta | None,
        at: str = "event_timestamp",
        created: str = "",
        field_mapping: dict[str, str] | None = None,
    ) -> FeatureView:
        source = FileSource(
            name=f"{name}_source",
            path=f"{self.home}/{name}/*/part.parquet",
            file_format=ParquetFormat(),
            timestamp_field=at,
            created_timestamp_column=created,
            field_mapping=field_mapping,
        )
        fields = [Field(name=feature, dtype=kind) for feature, kind in features.items()]
        return FeatureView(name=name, entities=entities, ttl=ttl, schema=fields, source=source)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("stores"))


def rows_of(table: pa.Table) -> list[str]:
    """Spell a table's rows, sorted: neither store promises an order. Moments are compared in UTC."""
    at = table.column_names.index("event_timestamp")
    same = table.set_column(at, "event_timestamp", table["event_timestamp"].cast(UTC_TIME))
    return sorted(repr(sorted(row.items())) for row in same.to_pylist())


def ask(store: FeatureStore, entities: Any, *, created_filter: bool = True, features: Any = None) -> pa.Table:
    return store.get_historical_features(
        entity_df=entities,
        features=features or store.get_feature_service("all"),
        full_feature_names=True,
        filter_by_created_timestamp=created_filter,
    ).to_arrow()


KEYS = st.sampled_from(["a", "a", "b", "it's", None])
TITLES = st.sampled_from([1, 1, 2, None])
HOURS = st.integers(0, 12).map(lambda number: START + timedelta(hours=number))
LATE = st.sampled_from([0, 0, 0, 1, 3, 30, -2]).map(lambda number: timedelta(hours=number))


@st.composite
def known_rows(draw: st.DrawFn, view: str) -> list[dict[str, Any]]:
    """Draw rows of a view on an hourly grid: ties of event time, late and early creation, nulls in keys and features.

    No two rows share key, event and created time: which of them wins is undefined in Feast's own store.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for _ in range(draw(st.integers(0, 14))):
        event = draw(HOURS)
        created = draw(st.one_of(st.none(), LATE.map(lambda late, event=event: event + late)))
        value = draw(st.one_of(st.none(), st.integers(-9, 9)))
        key, title = draw(KEYS), draw(TITLES)
        row = {
            "taste": {"profile_id": key, "vector": None if value is None else [value, None, value / 4]},
            "pair": {"profile_id": key, "title_id": title, "raw": value, "at": event.replace(tzinfo=None)},
            "score": {"profile_id": key, "score": value},
        }[view]
        if view != "pair":
            naive = event.replace(tzinfo=None) if view == "score" else event
            row |= {"event_timestamp": naive, "created": created}
        found[key, title if view == "pair" else None, event, created if view != "pair" else None] = row
    return list(found.values())


@st.composite
def asked_rows(draw: st.DrawFn) -> pd.DataFrame:
    """Draw entity rows on the grid and a microsecond off it, duplicates among them, in one of several time zones."""
    off = st.sampled_from([-MICROSECOND, timedelta(0), timedelta(0), MICROSECOND])
    at = st.builds(lambda hour, by: hour + by, st.integers(-1, 60).map(lambda n: START + timedelta(hours=n)), off)
    near = st.builds(lambda hour, by: hour + by, HOURS, off)
    row = st.tuples(KEYS, TITLES, KEYS, st.one_of(near, near, at))
    rows = draw(st.lists(row, min_size=1, max_size=12))
    rows += draw(st.lists(st.sampled_from(rows), max_size=4))
    names = ["profile_id", "title_id", "friend_id", "event_timestamp"]
    asked = pd.DataFrame(rows, columns=names).astype({"title_id": "Int64"})
    zone = draw(st.sampled_from([None, "UTC", "Asia/Tokyo"]))
    asked["event_timestamp"] = pd.to_datetime(asked["event_timestamp"], utc=True).dt.tz_convert(zone)
    if draw(st.booleans()):
        asked["row"] = range(len(asked))
    return asked


def as_query(asked: pa.Table, home: Path) -> str:
    path = home / "asked.parquet"
    pq.write_table(asked, path)
    return f"SELECT * FROM read_parquet('{path}')"


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    taste=known_rows("taste"),
    pair=known_rows("pair"),
    score=known_rows("score"),
    asked=asked_rows(),
    created_filter=st.booleans(),
)
def test_every_cell_equals_that_of_feasts_own_store(stores, tmp_path, taste, pair, score, asked, created_filter):
    for view, rows in (("taste", taste), ("pair", pair), ("score", score)):
        stores.put(view, rows)
    expected = ask(stores.theirs, asked.copy(), created_filter=created_filter)
    table = pa.Table.from_pandas(asked, preserve_index=False)
    for entities in (asked, table, as_query(table, tmp_path)):
        found = ask(stores.ours, entities, created_filter=created_filter)
        assert found.column_names == expected.column_names
        assert len(found) == len(asked)
        assert rows_of(found) == rows_of(expected)


def hours(number: float) -> datetime:
    return START + timedelta(hours=number)


def taste_row(value: float, event: float, created: float, key: str = "a") -> dict[str, Any]:
    return {"profile_id": key, "vector": [value], "event_timestamp": hours(event), "created": hours(created)}


def tastes_at(store: FeatureStore, *moments: datetime) -> list[Any]:
    asked = pa.table({"profile_id": ["a"] * len(moments), "event_timestamp": pa.array(moments, UTC_TIME)})
    found = ask(store, asked, features=["taste:vector"]).sort_by("event_timestamp")
    return [vector and vector[0] for vector in found["taste__vector"].to_pylist()]


def test_a_row_that_is_late_and_older_than_what_is_known_changes_nothing(stores):
    stores.put("taste", [taste_row(1, 0, 5), taste_row(2, 1, 1), taste_row(3, 3, 4), taste_row(4, 3, 6)])
    assert tastes_at(stores.ours, hours(0), hours(1), hours(4), hours(5), hours(6)) == [None, 2, 3, 3, 4]


def test_an_expired_row_does_not_bring_an_older_one_back(stores):
    stores.put("taste", [taste_row(1, 0, 0), taste_row(2, 1, 1)])
    assert tastes_at(stores.ours, hours(1), hours(7), hours(7) + MICROSECOND) == [2, 2, None]


def test_a_file_that_is_rewritten_before_the_join_is_done_is_named(stores):
    stores.put("taste", [taste_row(1, 0, 0), taste_row(2, 1, 1)])
    asked = pa.table({"profile_id": ["a"], "event_timestamp": pa.array([hours(2)], UTC_TIME)})
    job = stores.ours.get_historical_features(entity_df=asked, features=["taste:vector"])
    (path, *_) = sorted((stores.home / "taste").glob("*/part.parquet"))
    pq.write_table(pa.Table.from_pylist([taste_row(3, 1, 1)], schema=TASTE), path)
    with pytest.raises(NotReadyError, match=str(path)):
        job.to_arrow()


def test_moments_finer_than_a_microsecond_are_refused(stores):
    stores.put("taste", [taste_row(1, 0, 0)])
    at = pa.array([1], pa.timestamp("ns", tz="UTC"))
    with pytest.raises(ValueError, match="would lose data"):
        ask(stores.ours, pa.table({"profile_id": ["a"], "event_timestamp": at}), features=["taste:vector"])


def test_a_column_that_the_answer_would_have_twice_is_named(stores):
    stores.put("taste", [taste_row(1, 0, 0)])
    asked = pa.table({"profile_id": ["a"], "taste__vector": [0], "event_timestamp": pa.array([START], UTC_TIME)})
    with pytest.raises(ValueError, match="taste__vector"):
        ask(stores.ours, asked, features=["taste:vector"])


def test_a_moment_in_text_and_one_under_another_name_are_taken_as_feast_takes_them(stores):
    stores.put("taste", [taste_row(1, 0, 0)])
    text = pd.DataFrame({"profile_id": ["a"], "event_timestamp": [hours(1).isoformat()]})
    for store in (stores.ours, stores.theirs):
        assert ask(store, text.copy(), features=["taste:vector"])["taste__vector"].to_pylist() == [[1]]
    named = pa.table({"profile_id": ["a"], "seen": pa.array([hours(1)], UTC_TIME)})
    assert ask(stores.ours, named, features=["taste:vector"]).column_names == ["profile_id", "seen", "taste__vector"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=known_rows("taste"), start=HOURS, length=st.integers(0, 8), latest=st.booleans())
def test_what_is_pulled_to_be_materialised_is_what_feasts_own_store_pulls(stores, rows, start, length, latest):
    stores.put("taste", rows)
    found = [pull(store, latest, start, start + timedelta(hours=length)) for store in (stores.ours, stores.theirs)]
    assert rows_of(found[0]) == rows_of(found[1])


def pull(store: FeatureStore, latest: bool, start: datetime, end: datetime) -> pa.Table:
    offline = store._get_provider().offline_store
    method: Callable[..., Any] = (
        offline.pull_latest_from_table_or_query if latest else offline.pull_all_from_table_or_query
    )
    return method(
        config=store.config,
        data_source=store.get_feature_view("taste").batch_source,
        join_key_columns=["profile_id"],
        feature_name_columns=["vector"],
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        start_date=start,
        end_date=end,
    ).to_arrow()


def test_an_answer_can_be_kept_as_a_saved_dataset(stores, tmp_path):
    stores.put("taste", [taste_row(1, 0, 0)])
    asked = pa.table({"profile_id": ["a"], "event_timestamp": pa.array([hours(1)], UTC_TIME)})
    job = stores.ours.get_historical_features(entity_df=asked, features=["taste:vector"])
    path = tmp_path / "kept.parquet"
    job.persist(SavedDatasetFileStorage(path=str(path)))
    assert pq.read_table(path)["vector"].to_pylist() == [[1]]
    assert "ASOF" in job.to_sql()
    assert job.to_df()["vector"][0].tolist() == [1]


def test_a_join_larger_than_its_memory_spills_to_its_folder(stores, tmp_path):
    n = 400_000
    path = tmp_path / "taste" / "part.parquet"
    path.parent.mkdir()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([0.5] * n * 16, pa.float32()), 16).cast(TASTE.field(1).type)
    moments = pa.array([START] * n, UTC_TIME)
    ids = pa.array([f"profile-{number}" for number in range(n)])
    pq.write_table(pa.table([ids, vectors, moments, moments], schema=TASTE), path)
    view = stores.ours.get_feature_view("taste")
    view.batch_source = FileSource(
        path=str(path), timestamp_field="event_timestamp", created_timestamp_column="created"
    )
    asked = pa.table({"profile_id": ids, "event_timestamp": moments})

    def joined(folder: Path, memory_limit: str = "60MB") -> pa.Table:
        config = stores.ours.config.model_copy(deep=True)
        config.offline_store.memory_limit = memory_limit
        config.offline_store.temp_directory = str(folder)
        return AsofOfflineStore.get_historical_features(
            config, [view], ["taste:vector"], asked, stores.ours.registry, "marquee", filter_by_created_timestamp=True
        ).to_arrow()

    no_folder = path
    assert len(joined(no_folder, memory_limit="4GB")) == n
    with pytest.raises(duckdb.Error, match="create directory"):
        joined(no_folder)
    found = joined(tmp_path / "spill")
    assert len(found) == n
    assert found["vector"].null_count == 0
