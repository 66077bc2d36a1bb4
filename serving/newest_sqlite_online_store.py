"""An online store for Feast in SQLite: a table for each view, a packed row for each entity.

Each thread has a connection of its own (WAL, busy timeout), where Feast's own store shares one between threads, and a
trigger in the database keeps the newest row, whoever writes. Feast finds the class by its path and wants a name that
ends in `OnlineStore`, beside a config class of that name.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from feast.repo_config import FeastConfigBaseModel

from serving.packed_online_store import PackedOnlineStore, view_name
from serving.packed_row import stamps

BUSY_TIMEOUT_MS = 30_000
_MAX_KEYS = 5_000
"""SQLite takes at most 32,766 parameters in a statement."""


class NewestSqliteOnlineStoreConfig(FeastConfigBaseModel):
    """Where the database is; a relative path is in the feature repository."""

    type: Literal["serving.newest_sqlite_online_store.NewestSqliteOnlineStore"] = (
        "serving.newest_sqlite_online_store.NewestSqliteOnlineStore"
    )
    path: str = "data/online.db"


class NewestSqliteOnlineStore(PackedOnlineStore):
    """A SQLite online store that an older write cannot roll back and a correction reaches."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def write_packed(self, config: Any, view: str, rows: dict[bytes, bytes]) -> None:
        """Write rows by entity key in one transaction: all of them or, if the process dies, none."""
        upsert = (
            f"INSERT INTO {_table(config, view)} (entity_key, row, event_ts, created_ts) "  # noqa: S608 - quoted there
            "VALUES (?, ?, ?, ?) ON CONFLICT (entity_key) DO UPDATE "
            "SET row = excluded.row, event_ts = excluded.event_ts, created_ts = excluded.created_ts"
        )
        connection = self._connection(config)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(upsert, ((key, row, *stamps(row)) for key, row in rows.items()))

    def read_packed(self, config: Any, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the rows of entity keys, in their order."""
        found: dict[bytes, bytes] = {}
        connection = self._connection(config)
        for first in range(0, len(keys), _MAX_KEYS):
            chunk = keys[first : first + _MAX_KEYS]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT entity_key, row FROM {_table(config, view)} WHERE entity_key IN ({marks})"  # noqa: S608 - quoted
            found.update(connection.execute(query, chunk).fetchall())
        return [found.get(key) for key in keys]

    def packed_rows(self, config: Any, views: Sequence[str], key: bytes) -> list[bytes | None]:
        """Read one entity's row of each view in one statement."""
        tables = (_table(config, view) for view in views)
        each = ", ".join(f"(SELECT row FROM {table} WHERE entity_key = :key)" for table in tables)  # noqa: S608 - quoted
        return list(self._connection(config).execute(f"SELECT {each}", {"key": key}).fetchone())

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
        with closing(_connect(_path(config))) as connection, connection:
            for view in tables_to_keep:
                for statement in _definition(config, view_name(config, view)):
                    connection.execute(statement)
            for view in tables_to_delete:
                connection.execute(f"DROP TABLE IF EXISTS {_table(config, view_name(config, view))}")

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Close this thread's connection and delete the database."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None
        for suffix in ("", "-wal", "-shm"):
            Path(f"{_path(config)}{suffix}").unlink(missing_ok=True)

    def _connection(self, config: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _connect(_path(config))
        return connection


def _path(config: Any) -> Path:
    return Path(config.repo_path or ".").joinpath(config.online_store.path)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _definition(config: Any, view: str) -> Iterator[str]:
    """Yield what makes one view's table, and the trigger that keeps the newest row."""
    yield (
        f"CREATE TABLE IF NOT EXISTS {_table(config, view)} (entity_key BLOB NOT NULL PRIMARY KEY, row BLOB NOT NULL, "
        "event_ts INTEGER NOT NULL, created_ts INTEGER NOT NULL) WITHOUT ROWID"
    )
    yield (
        f"CREATE TRIGGER IF NOT EXISTS {_table(config, view, '_newest')} BEFORE UPDATE ON {_table(config, view)} "
        "WHEN (NEW.event_ts, NEW.created_ts) < (OLD.event_ts, OLD.created_ts) BEGIN SELECT RAISE(IGNORE); END"
    )


def _table(config: Any, view: str, suffix: str = "") -> str:
    name = f"{config.project}_{view}_packed{suffix}"
    return '"' + name.replace('"', '""') + '"'
