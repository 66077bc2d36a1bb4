"""What our online stores for Feast share: one packed row for each entity of a view, and the newest row wins.

Feast's own stores keep a value for each feature; its SQLite and PostgreSQL stores let an older backfill overwrite newer
values, and its Redis store ignores a correction. Here a row replaces another of the same entity unless it is older: by
event time, then by created time, so that an equal one is taken too, which is how the correction of the newest interval
arrives when created times are functions of the data. Each database decides that by itself, whoever writes at once.

Beside Feast's interface there is a way past it for a page: `packed_rows` reads the same rows without Feast's answer
objects. Feast's entity keys and view names are spelled by its `serialize_entity_key` and `compute_versioned_name`,
which it does not promise to keep: Feast is pinned.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from serving.packed_row import microseconds, moment_of, pack, stamps, unpack

Row = tuple[Any, dict[str, Any], datetime, datetime | None]
Read = tuple[datetime | None, dict[str, Any] | None]


class PackedReader(Protocol):
    """Reads packed rows on one event loop; it raises what the database's client raises."""

    async def read(self, key: bytes) -> list[bytes | None]:
        """Read one entity's row of each of the reader's views, in their order.

        Raises:
            TimeoutError: if they are not there within the reader's time.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class PackedOnlineStore(OnlineStore):
    """An online store of packed rows; a database has to read and to write them."""

    @abstractmethod
    def write_packed(self, config: Any, view: str, rows: dict[bytes, bytes]) -> None:
        """Write rows by entity key, each unless a newer one is there."""

    @abstractmethod
    def read_packed(self, config: Any, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the rows of entity keys, in their order; None where there is none."""

    @abstractmethod
    def packed_rows(self, config: Any, views: Sequence[str], key: bytes) -> list[bytes | None]:
        """Read one entity's row of each view, in their order, in one round trip and within the time of a look-up."""

    def ping(self, config: Any) -> None:
        """Ask the database for an answer, where it is a server; it raises what the database's client raises."""
        return

    def reader(self, config: Any, views: Sequence[str], *, within_seconds: float) -> PackedReader | None:
        """Make a reader for the event loop, where the database has a way that needs no thread; None where it has none.

        What it gives is bound to one event loop: one for each. It keeps the time itself, `within_seconds` of a reading.
        """
        return None

    def online_write_batch(
        self, config: Any, table: Any, data: Sequence[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows; of several of one entity, the newest, and of equal ones the last."""
        self.write_packed(config, view_name(config, table), _newest(data, config.entity_key_serialization_version))
        if progress:
            progress(len(data))

    def online_read(
        self, config: Any, table: Any, entity_keys: Sequence[Any], requested_features: Sequence[str] | None = None
    ) -> list[Read]:
        """Read the rows of `entity_keys`, in their order; `(None, None)` where there is none."""
        version = config.entity_key_serialization_version
        keys = [serialize_entity_key(key, entity_key_serialization_version=version) for key in entity_keys]
        wanted = None if requested_features is None else frozenset(requested_features)
        found = self.read_packed(config, view_name(config, table), keys)
        return [(None, None) if row is None else (moment_of(stamps(row)[0]), unpack(row, wanted)) for row in found]


def view_name(config: Any, view: Any) -> str:
    """Name a view as online stores do: with its version where Feast is told to keep versions apart."""
    return str(compute_versioned_name(view, config.registry.enable_online_feature_view_versioning))


def key_of(config: Any, join_key: str, value: str) -> bytes:
    """Spell the key of an entity with one join key, a string."""
    key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val=value)])
    version = config.entity_key_serialization_version
    return bytes(serialize_entity_key(key, entity_key_serialization_version=version))


def _newest(data: Iterable[Row], version: int) -> dict[bytes, bytes]:
    newest: dict[bytes, tuple[tuple[int, int], dict[str, Any]]] = {}
    for entity_key, values, event_at, created_at in data:
        key = serialize_entity_key(entity_key, entity_key_serialization_version=version)
        known = (microseconds(event_at), microseconds(created_at))
        if key not in newest or known >= newest[key][0]:
            newest[key] = (known, values)
    return {key: pack(values, *known) for key, (known, values) in newest.items()}
