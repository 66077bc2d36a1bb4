"""An online store for Feast in PostgreSQL: a table for each view, a packed row for each entity.

Each thread has a connection of its own, opened anew when the server has closed it. Feast finds the class by its path
and wants a name that ends in `OnlineStore`, beside a config class of that name. The package `psycopg` comes with the
extra `postgres`.
"""

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import psycopg
from feast.repo_config import FeastConfigBaseModel
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier

from models.error import ContractError
from serving.packed_online_store import PackedOnlineStore, view_name
from serving.packed_row import stamps

_CHUNK = 5_000
"""Rows in one statement."""

_PORTS = re.compile(r"[0-9,]*")

T = TypeVar("T")


class NewestPostgresOnlineStoreConfig(FeastConfigBaseModel):
    """Where the database is, `postgresql://user:password@host:port/name` or any other libpq string.

    A page's look-up is given up after `lookup_timeout_ms`.
    """

    type: Literal["serving.newest_postgres_online_store.NewestPostgresOnlineStore"] = (
        "serving.newest_postgres_online_store.NewestPostgresOnlineStore"
    )
    connection_string: str
    lookup_timeout_ms: float = 50.0


class NewestPostgresOnlineStore(PackedOnlineStore):
    """A PostgreSQL online store that an older write cannot roll back and a correction reaches."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def write_packed(self, config: Any, view: str, rows: dict[bytes, bytes]) -> None:
        """Write rows by entity key in one transaction: all of them or, if the process dies, none."""
        upsert = SQL(
            "INSERT INTO {table} AS held SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bigint[], %b::bigint[]) "
            "ON CONFLICT (entity_key) DO UPDATE SET row = excluded.row, event_ts = excluded.event_ts, "
            "created_ts = excluded.created_ts "
            "WHERE (excluded.event_ts, excluded.created_ts) >= (held.event_ts, held.created_ts)"
        ).format(table=_table(config, view))
        # In one order, so that two writers of the same rows wait for each other instead of for ever.
        keys = sorted(rows)

        def write(connection: Any) -> None:
            with connection.transaction():
                for first in range(0, len(keys), _CHUNK):
                    chunk = keys[first : first + _CHUNK]
                    packed = [rows[key] for key in chunk]
                    events, created = zip(*map(stamps, packed), strict=True)
                    connection.execute(upsert, (chunk, packed, list(events), list(created)))

        self._run(config, write)

    def read_packed(self, config: Any, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the rows of entity keys in one statement."""
        query = SQL("SELECT entity_key, row FROM {table} WHERE entity_key = ANY(%b)").format(table=_table(config, view))
        rows = self._run(config, lambda connection: connection.execute(query, (list(keys),), binary=True).fetchall())
        found = {bytes(key): bytes(row) for key, row in rows}
        return [found.get(key) for key in keys]

    def packed_rows(self, config: Any, views: Sequence[str], key: bytes) -> list[bytes | None]:
        """Read one entity's row of each view in one statement."""
        each = [
            SQL("(SELECT row FROM {table} WHERE entity_key = %(key)b)").format(table=_table(config, view))
            for view in views
        ]
        query = SQL("SELECT {each}").format(each=SQL(", ").join(each))
        row = self._run(
            config, lambda connection: connection.execute(query, {"key": key}, binary=True).fetchone(), hurried=True
        )
        return [None if value is None else bytes(value) for value in row]

    def ping(self, config: Any) -> None:
        """Ask PostgreSQL for an answer."""
        self._run(config, lambda connection: connection.execute("SELECT 1"))

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Make the tables of views that are kept and drop those of views that are gone."""
        make = SQL(
            "CREATE TABLE IF NOT EXISTS {table} (entity_key bytea PRIMARY KEY, row bytea NOT NULL, "
            "event_ts bigint NOT NULL, created_ts bigint NOT NULL)"
        )
        statements = [make.format(table=_table(config, view_name(config, view))) for view in tables_to_keep]
        self._execute(config, statements + self._drops(config, tables_to_delete))

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Drop the tables of all views, and close this thread's connections."""
        self._execute(config, self._drops(config, tables))
        vars(self._local).clear()

    def _drops(self, config: Any, views: Sequence[Any]) -> list[Composed]:
        drop = SQL("DROP TABLE IF EXISTS {table}")
        return [drop.format(table=_table(config, view_name(config, view))) for view in views]

    def _execute(self, config: Any, statements: Sequence[Composed]) -> None:
        def run(connection: Any) -> None:
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement)

        self._run(config, run)

    def _run(self, config: Any, step: Callable[[Any], T], *, hurried: bool = False) -> T:
        """Do a step on this thread's connection, once more on a new one if the server had closed it meanwhile."""
        name = "hurried" if hurried else "patient"
        held: _Held | None = vars(self._local).get(name)
        if held is not None:
            try:
                return step(held.connection)
            except psycopg.OperationalError:
                if not held.connection.closed:
                    raise
        held = vars(self._local)[name] = _Held(_connect(config.online_store, hurried=hurried))
        return step(held.connection)


class _Held:
    """A connection that is closed when the thread that holds it ends."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


def _refuse_unreadable(connection_string: str) -> None:
    """Refuse what libpq would take apart in wrong places: it quotes the parts, and one of them is a password then.

    Raises:
        ContractError: without quoting anything.
    """
    try:
        told = conninfo_to_dict(connection_string)
        is_readable = "@" not in str(told.get("host", "")) and _PORTS.fullmatch(str(told.get("port", "")))
    except psycopg.Error:
        is_readable = None
    if not is_readable:
        raise ContractError(
            "the connection_string of PostgreSQL must be postgresql://user:password@host:port/name, where a password "
            "has %40 for @, %2F for /, %23 for #, %3A for : and %25 for %, or words like host=… password='…'"
        ) from None


def _connect(settings: Any, *, hurried: bool) -> Any:
    _refuse_unreadable(settings.connection_string)
    # libpq waits in whole seconds, two at the least, for a server that does not even refuse.
    options = f"-c statement_timeout={round(settings.lookup_timeout_ms)}" if hurried else ""
    return psycopg.connect(settings.connection_string, autocommit=True, connect_timeout=2, options=options)


def _table(config: Any, view: str) -> Identifier:
    return Identifier(f"{config.project}_{view}_packed")
