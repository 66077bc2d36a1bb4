"""The online stores that must all keep one contract, each on a real server, and rows to fill them with."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.importer import import_class
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Int64List, Value
from feast.types import Array, Float32, Int64, String

from serving.packed_online_store import PackedOnlineStore
from tests.serving.example import free_port, wait_for

PROFILE = Entity(name="profile", join_keys=["profile_id"], value_type=ValueType.STRING)
SOURCE = FileSource(path="unused.parquet", timestamp_field="event_timestamp")
VIEW = FeatureView(
    name="view",
    entities=[PROFILE],
    schema=[
        Field(name="a", dtype=Float32),
        Field(name="vector", dtype=Array(Float32)),
        Field(name="title_keys", dtype=Array(Int64)),
        Field(name="note", dtype=String),
    ],
    source=SOURCE,
)
OTHER = FeatureView(name="other", entities=[PROFILE], schema=[Field(name="a", dtype=Float32)], source=SOURCE)


def config_of(name: str, home: Path, **where: Any) -> RepoConfig:
    """Configure one of our stores by the name of its class, in a project of its own: the server may be somebody's."""
    return RepoConfig(
        project=f"test_{uuid4().hex[:12]}",
        provider="local",
        registry=str(home / "registry.db"),
        online_store={"type": class_path(name), **where},
        entity_key_serialization_version=3,
    )


def class_path(name: str) -> str:
    return f"serving.{name}_online_store.{''.join(part.title() for part in name.split('_'))}OnlineStore"


def new_store(config: RepoConfig) -> PackedOnlineStore:
    """Make a store as another process would: it holds no connection yet."""
    module, name = config.online_store.type.rsplit(".", 1)
    store: PackedOnlineStore = import_class(module, name, "OnlineStore")()
    return store


def key(name: str) -> EntityKey:
    return EntityKey(join_keys=["profile_id"], entity_values=[Value(string_val=name)])


def values(value: float) -> dict[str, Value]:
    """Make a row of a number, two lists and a text; the text is null."""
    vector, keys = FloatList(val=[value, -value, 0.1]), Int64List(val=[int(value), -(2**63)])
    return {
        "a": Value(float_val=value),
        "vector": Value(float_list_val=vector),
        "title_keys": Value(int64_list_val=keys),
        "note": Value(),
    }


def rows(value: float, event_at: datetime, created_at: datetime | None = None, n: int = 1) -> list[Any]:
    return [(key(f"p{number}"), values(value), event_at, created_at or event_at) for number in range(n)]


def write(config: RepoConfig, *data: Any, view: FeatureView = VIEW) -> None:
    new_store(config).online_write_batch(config, view, list(data), None)


def read(
    config: RepoConfig, n: int = 1, store: PackedOnlineStore | None = None, view: FeatureView = VIEW
) -> list[tuple[Any, Any]]:
    found = (store or new_store(config)).online_read(config, view, [key(f"p{number}") for number in range(n)])
    return [(at, held and held["a"].float_val) for at, held in found]


@contextmanager
def redis_server(program: str, directory: Path, port: int | None = None) -> Iterator[str]:
    """Run a Redis of our own that forgets everything when it ends; yield its host:port."""
    port = port or free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with (directory / "redis.log").open("ab") as log:
        process = subprocess.Popen([program, *options, "--dir", str(directory)], stdout=log, stderr=log)
    try:
        address = f"127.0.0.1:{port}"
        wait_for(lambda: process.poll() is not None or redis_answers(address), seconds=30)
        assert process.poll() is None, (directory / "redis.log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait(20)


def redis_answers(address: str) -> bool:
    from redis import Redis
    from redis.exceptions import RedisError

    host, _, port = address.partition(":")
    try:
        with Redis(host, int(port or 6379), socket_connect_timeout=2) as client:
            return bool(client.ping())
    except RedisError:
        return False
