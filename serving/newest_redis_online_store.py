"""An online store for Feast in Redis: a hash for each entity, in which each view has one packed row.

A page's views are one HMGET, on a connection that neither waits nor tries for longer than a look-up may take; Feast's
own reads and writes take their time. Which row is the newer one is decided in Redis, by a script for each batch. It is
for one Redis, not for Redis Cluster, where a script's keys would lie in different slots.

Feast finds the class by its path and wants a name that ends in `OnlineStore`, beside a config class of that name.
"""

import inspect
import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

from feast.repo_config import FeastConfigBaseModel
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from models.error import ContractError
from serving.packed_online_store import PackedOnlineStore, PackedReader, view_name
from serving.redis_pipe import RedisPipe

_CHUNK = 500
"""Keys in one command: Redis does nothing else meanwhile."""

_OURS = {"self", "host", "port", "socket_timeout", "socket_connect_timeout", "retry"}
_OPTIONS = frozenset(inspect.signature(Redis.__init__).parameters) - _OURS
"""Of the client, but for those that are set here."""

_PATTERN = re.compile(rb"[\\*?\[\]^-]")
"""What has a meaning of its own in a pattern of Redis."""

_WRITE = """
for number, key in ipairs(KEYS) do
  local row = ARGV[number + 2]
  local old = redis.call('HGET', key, ARGV[1])
  local newer = true
  if old then
    local event, created = struct.unpack('<i8i8', row)
    local old_event, old_created = struct.unpack('<i8i8', old)
    newer = event > old_event or (event == old_event and created >= old_created)
  end
  if newer then
    redis.call('HSET', key, ARGV[1], row)
    if ARGV[2] ~= '0' then redis.call('EXPIRE', key, ARGV[2]) end
  end
end
"""
"""Lua's numbers hold a whole microsecond until the year 2255."""

_READ = """
local found = {}
for number, key in ipairs(KEYS) do
  local row = redis.pcall('HGET', key, ARGV[1])
  if type(row) == 'table' then row = row.err end
  found[number] = row
end
return found
"""
"""One command for many keys: a pipeline of as many commands costs its client six times as much.

A key that somebody made of another type has what Redis says of it as its row, which no reader takes for one: it is one
of many, and the others are not to blame.
"""


class NewestRedisOnlineStoreConfig(FeastConfigBaseModel):
    """Where Redis is, `host:port,db=0,password=…` as Feast writes it, and how long to wait for it.

    `lookup_timeout_ms` is for a page's look-up by a thread (one on the event loop is told its time), `timeout_seconds`
    for everything else. Entities that are not written for `key_ttl_seconds` are forgotten; 0 for never.
    """

    type: Literal["serving.newest_redis_online_store.NewestRedisOnlineStore"] = (
        "serving.newest_redis_online_store.NewestRedisOnlineStore"
    )
    connection_string: str = "localhost:6379"
    lookup_timeout_ms: float = 50.0
    timeout_seconds: float = 10.0
    key_ttl_seconds: int = 0


class NewestRedisOnlineStore(PackedOnlineStore):
    """A Redis online store that an older write cannot roll back and a correction reaches."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[float, Any] = {}

    def write_packed(self, config: Any, view: str, rows: dict[bytes, bytes]) -> None:
        """Write rows by entity key, some hundreds in one step each."""
        write = self._patient(config).register_script(_WRITE)
        entries = iter(rows.items())
        while chunk := list(islice(entries, _CHUNK)):
            keys = [_key(config, key) for key, _ in chunk]
            write(keys, [view, config.online_store.key_ttl_seconds, *(row for _, row in chunk)])

    def read_packed(self, config: Any, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the rows of entity keys, some hundreds a round trip."""
        read, prefix = self._patient(config).register_script(_READ), _prefix(config)
        found: list[bytes | None] = []
        for first in range(0, len(keys), _CHUNK):
            found += read([prefix + key for key in keys[first : first + _CHUNK]], [view])
        return found

    def packed_rows(self, config: Any, views: Sequence[str], key: bytes) -> list[bytes | None]:
        """Read one entity's row of each view in one round trip, or fail within `lookup_timeout_ms` a step."""
        seconds = config.online_store.lookup_timeout_ms / 1000
        found: list[bytes | None] = self._client(config, seconds).hmget(_key(config, key), list(views))
        return found

    def ping(self, config: Any) -> None:
        """Ask Redis for an answer."""
        self._patient(config).ping()

    def reader(self, config: Any, views: Sequence[str], *, within_seconds: float) -> PackedReader | None:
        """Read as `packed_rows` does, but on the event loop; None where the connection takes more than a password."""
        address = _address(config.online_store.connection_string)
        if not set(address) <= {"host", "port", "password", "db"}:
            return None
        pipe = RedisPipe(**address, timeout_seconds=within_seconds)
        return _Reader(pipe, _prefix(config), [view.encode() for view in views])

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Forget the rows of views that are gone."""
        if tables_to_delete:
            self._forget(config, [view_name(config, view) for view in tables_to_delete])

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Forget the rows of all views, and close the connections."""
        self._forget(config, [view_name(config, view) for view in tables])
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _forget(self, config: Any, views: Sequence[str]) -> None:
        client = self._patient(config)
        pattern = _PATTERN.sub(rb"\\\g<0>", _prefix(config)) + b"*"
        with client.pipeline(transaction=False) as pipe:
            for number, key in enumerate(client.scan_iter(pattern, count=1_000), 1):
                pipe.hdel(key, *views)
                if number % 1_000 == 0:
                    pipe.execute()
            pipe.execute()

    def _patient(self, config: Any) -> Any:
        return self._client(config, config.online_store.timeout_seconds)

    def _client(self, config: Any, seconds: float) -> Any:
        """Hold a client for each time-out. A connection that Redis has closed is opened anew once, at once."""
        if seconds not in self._clients:
            self._clients[seconds] = Redis(
                **_address(config.online_store.connection_string),
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            )
        return self._clients[seconds]


class _Reader:
    """Reads rows of some views through a pipe."""

    def __init__(self, pipe: RedisPipe, prefix: bytes, views: list[bytes]) -> None:
        self._pipe, self._prefix, self._views = pipe, prefix, views

    async def read(self, key: bytes) -> list[bytes | None]:
        """Read one entity's row of each view, in their order, in time."""
        try:
            return await self._pipe.hmget(self._prefix + key, self._views)
        except RedisTimeoutError as error:
            raise TimeoutError(str(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._pipe.close()


def _prefix(config: Any) -> bytes:
    return f"{config.project}/".encode()


def _key(config: Any, entity_key: bytes) -> bytes:
    return _prefix(config) + entity_key


def _address(connection_string: str) -> dict[str, Any]:
    """Read `host:port,name=value,…`; a value is what JSON makes of it, or text.

    Raises:
        ContractError: if the port is no number, or an option has no value or is none of the client's, without quoting
            what may be a part of a password.
    """
    address, *options = connection_string.split(",")
    host, _, port = address.partition(":")
    if port and not port.isdecimal():
        raise ContractError("the connection_string of Redis must begin with host:port, where the port is a number")
    found: dict[str, Any] = {"host": host, "port": int(port or 6379)}
    for option in options:
        name, is_told, value = option.partition("=")
        if not is_told or name not in _OPTIONS:
            raise ContractError(
                "the connection_string of Redis must be host:port,name=value,… without a comma in a value, and with "
                "options of its client, such as password, username, db and ssl"
            )
        try:
            told = json.loads(value)
        except json.JSONDecodeError:
            told = value
        found[name] = value if name == "password" and not isinstance(told, str) else told  # 0123 and 1e5 are passwords
    return found
