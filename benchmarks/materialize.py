"""Keys a second brought online by Feast, to SQLite and Redis: packed rows in our stores, a value a feature in its own.

Both materialise the same 64 features of the same keys: Feast's own stores as 64 scalar fields, as its documentation has
it, ours as one packed field. The Redis is one of our own, started for this, or the one at MARQUEE_REDIS.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.memory import own_peak_mib
from pipelines.column import TIME, lists

N_FEATURES = 64
KNOWN_AT = datetime(2026, 11, 1, tzinfo=UTC)
_OFFLINE = {"type": "pipelines.asof_offline_store.AsofOfflineStore"}
_STORES = {
    "sqlite": ("sqlite", "serving.newest_sqlite_online_store.NewestSqliteOnlineStore"),
    "redis": ("redis", "serving.newest_redis_online_store.NewestRedisOnlineStore"),
}


def run(full: bool) -> dict[str, float | int | str]:
    """Bring 5,000 keys online each way, with `full` 50,000."""
    n_keys = 50_000 if full else 5_000
    figures: dict[str, float | int | str] = {"n_features": N_FEATURES, "n_keys": n_keys}
    with TemporaryDirectory() as folder, redis(Path(folder)) as address:
        for kind in _STORES:
            ours = _measure(Path(folder), kind, "packed", n_keys, address)
            feast = _measure(Path(folder), kind, "scalar", n_keys, address)
            figures[f"keys_per_second_{kind}"] = ours["keys_per_second"]
            figures[f"keys_per_second_feast_{kind}"] = feast["keys_per_second"]
            figures[f"speedup_{kind}"] = ours["keys_per_second"] / feast["keys_per_second"]
            figures[f"peak_mib_{kind}"] = ours["peak_mib"]
    return figures


def _measure(home: Path, kind: str, layout: str, n_keys: int, address: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.materialize", str(home), kind, layout, str(n_keys)]
    ran = subprocess.run([*command, address], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def measure(home: Path, kind: str, layout: str, n_keys: int, address: str) -> dict[str, float]:
    """Materialise n keys in this process, and see that the last of them is online."""
    path, online = home / f"{layout}.parquet", home / f"{kind}-{layout}.db"
    where = {"path": str(online)} if kind == "sqlite" else {"connection_string": address}
    vectors = _write_rows(path, layout, n_keys)
    store, view = _store(home, path, layout, {"type": _STORES[kind][layout == "packed"], **where})
    began = perf_counter()
    store.materialize(start_date=KNOWN_AT, end_date=KNOWN_AT, feature_views=[view])
    seconds = perf_counter() - began
    _check(store, view, n_keys, vectors[-1])
    store.teardown()
    return {"keys_per_second": n_keys / seconds, "peak_mib": own_peak_mib()}


def _write_rows(path: Path, layout: str, n_keys: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = np.random.default_rng(n_keys).normal(size=(n_keys, N_FEATURES)).astype(np.float32)
    columns: dict[str, Any] = {"profile_id": [f"profile-{number:07d}" for number in range(n_keys)]}
    if layout == "packed":
        columns["vector"] = lists(vectors, pa.float32()).cast(pa.list_(pa.float32()))
    else:
        columns |= {f"f{number}": vectors[:, number] for number in range(N_FEATURES)}
    known_at = pa.array([KNOWN_AT] * n_keys, TIME)
    pq.write_table(pa.table(columns | {"event_timestamp": known_at, "created_timestamp": known_at}), path)
    return vectors


def _store(home: Path, path: Path, layout: str, online_store: dict[str, Any]) -> tuple[Any, str]:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Array, Float32

    config = RepoConfig(
        project=f"bench_{uuid4().hex[:12]}",
        provider="local",
        registry=str(home / f"{uuid4().hex}.db"),
        offline_store=_OFFLINE,
        online_store=online_store,
        entity_key_serialization_version=3,
        materialization={"online_write_batch_size": 20_000},
    )
    config.repo_path = home
    store = FeatureStore(config=config)
    names = {"vector": Array(Float32)} if layout == "packed" else {f"f{n}": Float32 for n in range(N_FEATURES)}
    profile = Entity(name="profile", join_keys=["profile_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name=layout,
        entities=[profile],
        ttl=timedelta(days=90),
        schema=[Field(name=name, dtype=kind) for name, kind in names.items()],
        source=FileSource(
            path=str(path), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
        ),
    )
    store.apply([profile, view])
    return store, layout


def _check(store: Any, view: str, n_keys: int, expected: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    names = ["vector"] if view == "packed" else [f"f{number}" for number in range(N_FEATURES)]
    rows = {"profile_id": [f"profile-{n_keys - 1:07d}"]}
    found = store.get_online_features(features=[f"{view}:{name}" for name in names], entity_rows=rows).to_dict()
    values = found["vector"][0] if view == "packed" else [found[name][0] for name in names]
    np.testing.assert_array_equal(np.array(values, np.float32), expected)


@contextmanager
def redis(home: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing on disk, or find the one that runs already; yield its host:port."""
    program = shutil.which("redis-server")
    if program is None:
        yield os.environ.get("MARQUEE_REDIS", "localhost:6379")
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, seconds: float = 20) -> None:
    until = monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if monotonic() > until:
                raise
            sleep(0.05)
        else:
            return


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])))
