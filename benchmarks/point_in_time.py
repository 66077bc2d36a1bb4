"""How long the point-in-time join of four views takes, beside a bare DuckDB ASOF query and Feast's own duckdb store.

Every measurement is a process of its own, so that each one's peak memory is its own. The bare query does less: it knows
no time to live, no created times and no ties.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.feature_history import write_history, write_impressions
from benchmarks.memory import own_peak_mib
from pipelines.feature_rows import VIEWS

SIZES = {"100k": 100_000, "1m": 1_000_000}
_OURS = "pipelines.asof_offline_store.AsofOfflineStore"
_TTL = timedelta(days=90)


def run(full: bool) -> dict[str, float | int | str]:
    """Join 100,000 and 1,000,000 impressions; Feast's own store joins the smaller number, with `full` both."""
    figures: dict[str, float | int | str] = {}
    with TemporaryDirectory() as folder:
        home = Path(folder)
        write_history(home / "features")
        for size, n in SIZES.items():
            write_impressions(home / f"{size}.parquet", n)
            ours, bare = (_measure(home, size, way) for way in ("asof", "bare"))
            figures[f"seconds_{size}"] = ours["seconds"]
            figures[f"seconds_bare_asof_{size}"] = bare["seconds"]
            figures[f"ratio_bare_asof_{size}"] = ours["seconds"] / bare["seconds"]
            figures[f"ratio_cpu_bare_asof_{size}"] = ours["cpu_seconds"] / bare["cpu_seconds"]
            figures[f"peak_mib_{size}"], figures[f"peak_mib_bare_asof_{size}"] = ours["peak_mib"], bare["peak_mib"]
            if full or size == "100k":
                feast = _measure(home, size, "duckdb")
                figures[f"seconds_feast_duckdb_{size}"] = feast["seconds"]
                figures[f"speedup_feast_duckdb_{size}"] = feast["seconds"] / ours["seconds"]
                figures[f"peak_mib_feast_duckdb_{size}"] = feast["peak_mib"]
    figures["ratio_bare_asof"] = figures["ratio_bare_asof_1m"]
    figures["speedup_feast_duckdb"] = figures["speedup_feast_duckdb_1m" if full else "speedup_feast_duckdb_100k"]
    return figures


def _measure(home: Path, size: str, way: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.point_in_time", str(home), size, way]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measure(home: Path, size: str, way: str) -> dict[str, float]:
    """Join one way, in this process, after Feast has joined a single row."""
    join = {"bare": _bare, "asof": _feast(home, _OURS), "duckdb": _feast(home, "duckdb")}[way]
    asked = home / f"{size}.parquet"
    if way != "bare":
        join(home, _first_row(asked))
    began, began_cpu = perf_counter(), process_time()
    answer = join(home, asked)
    seconds, cpu_seconds = perf_counter() - began, process_time() - began_cpu
    expected = pq.read_metadata(asked).num_rows
    if len(answer) != expected:
        raise ValueError(f"{way} must give {expected} rows, got {len(answer)}")
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": own_peak_mib(),
    }


def _first_row(asked: Path) -> Path:
    path = asked.with_name("first-row.parquet")
    pq.write_table(pq.read_table(asked).slice(0, 1), path)
    return path


def _bare(home: Path, asked: Path) -> pa.Table:
    """Ask DuckDB alone for the same columns, as Arrow, in whatever order is quickest."""
    columns, joins = ["e.*"], ""
    for view, schema in VIEWS.items():
        columns += [f"{view}.{name} AS {view}__{name}" for name in schema.names[1:-2]]
        joins += (
            f" ASOF LEFT JOIN read_parquet('{home}/features/{view}/*/part.parquet') {view} "
            f"ON e.{schema.names[0]} = {view}.{schema.names[0]} AND e.event_timestamp >= {view}.event_timestamp"
        )
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        query = f"SELECT {', '.join(columns)} FROM read_parquet('{asked}') e{joins}"  # noqa: S608 - our own names
        return connection.sql(query).to_arrow_table()


def _feast(home: Path, kind: str) -> Callable[[Path, Path], pa.Table]:
    """Open a store with the four views; entity rows go to it as it takes them best."""
    store: Any = None

    def join(_: Path, asked: Path) -> pa.Table:
        nonlocal store
        store = store or _opened(home, kind)
        ours = f"SELECT * FROM read_parquet('{asked}')"  # noqa: S608 - a path of our own
        rows = ours if kind == _OURS else pq.read_table(asked).to_pandas()
        features = [f"{view}:{name}" for view, schema in VIEWS.items() for name in schema.names[1:-2]]
        job = store.get_historical_features(
            entity_df=rows, features=features, full_feature_names=True, filter_by_created_timestamp=True
        )
        return job.to_arrow()

    return join


def _opened(home: Path, kind: str) -> Any:
    """Open a Feast store with the four views, as feature_repo/ defines them."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.data_format import ParquetFormat
    from feast.types import Array, Float32, Int64

    floats, counts = pa.list_(pa.float32()), pa.list_(pa.int64())
    types = {floats: Array(Float32), counts: Array(Int64), pa.float32(): Float32, pa.int64(): Int64}
    config = RepoConfig(
        project="marquee",
        provider="local",
        registry=str(home / f"{kind}.db"),
        offline_store={"type": kind},
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        entity_key_serialization_version=3,
    )
    config.repo_path = home
    store = FeatureStore(config=config)
    for view, schema in VIEWS.items():
        key, *features = list(schema)[:-2]
        entity = Entity(name=key.name, join_keys=[key.name], value_type=ValueType.STRING)
        source = FileSource(
            name=f"{view}_source",
            path=f"{home}/features/{view}/*/part.parquet",
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        fields = [Field(name=feature.name, dtype=types[feature.type]) for feature in features]
        store.apply([entity, FeatureView(name=view, entities=[entity], schema=fields, source=source, ttl=_TTL)])
    return store


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
