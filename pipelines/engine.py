"""Where joins and counts run: DuckDB in this process, or Spark. One ibis expression serves both.

DuckDB is handed rows, in memory or as a stream that it lays out on disk. Spark is handed the parquet files of the lake,
which its workers read themselves: Delta's log is read here, and a file that it does not name is never looked at.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any, Protocol

import ibis
import pyarrow as pa

from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.spark import spark_session
from pipelines.table import Table
from pipelines.workspace import Workspace, workspace


class Engine(Protocol):
    """What runs ibis expressions over the tables that it hands out."""

    def rows(self, rows: pa.Table) -> ibis.Table:
        """Hand out rows that are in memory."""

    def files(self, paths: Sequence[str], schema: pa.Schema) -> ibis.Table:
        """Hand out the columns of `schema` of parquet files, local paths or URLs."""

    def stored(
        self, lake: Lake, table: Table, start_at: datetime, end_at: datetime, columns: Sequence[str]
    ) -> ibis.Table:
        """Hand out columns of the intervals of a lake's table that start in [start_at, end_at)."""

    def to_arrow(self, expression: ibis.Table, schema: pa.Schema) -> pa.Table:
        """Run an expression; rows come in no particular order, with the columns of `schema`."""


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Open the engine that the settings name. A Spark session, once started, stays for the life of the process.

    Raises:
        MarqueeError: if Spark is asked for and cannot be started.
    """
    if settings.engine == "spark":
        yield _Spark(spark_session(settings.spark_master))
        return
    with workspace(settings) as space:
        yield _DuckDb(space)


class _DuckDb:
    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._backend = ibis.duckdb.from_connection(space.connection)
        self._names = count()

    def rows(self, rows: pa.Table) -> ibis.Table:
        return ibis.memtable(rows)

    def files(self, paths: Sequence[str], schema: pa.Schema) -> ibis.Table:
        if not paths:
            return self.rows(schema.empty_table())
        return self._backend.read_parquet(list(paths), hive_partitioning=False).select(schema.names)

    def stored(
        self, lake: Lake, table: Table, start_at: datetime, end_at: datetime, columns: Sequence[str]
    ) -> ibis.Table:
        name = f"stored_{next(self._names)}"
        self._space.create(name, pa.schema([table.schema.field(column) for column in columns]))
        self._space.insert(name, lake.reader(table, start_at, end_at, columns))
        return self._backend.table(name)

    def to_arrow(self, expression: ibis.Table, schema: pa.Schema) -> pa.Table:
        return self._backend.to_pyarrow(expression).select(schema.names).cast(schema)


class _Spark:
    _names = count()

    def __init__(self, session: Any) -> None:
        self._session = session
        self._backend = ibis.pyspark.connect(session)

    def rows(self, rows: pa.Table) -> ibis.Table:
        return self._named(self._session.createDataFrame(rows))

    def files(self, paths: Sequence[str], schema: pa.Schema) -> ibis.Table:
        if not paths:
            return self.rows(schema.empty_table())
        return self._named(self._session.read.parquet(*paths).select(*schema.names))

    def stored(
        self, lake: Lake, table: Table, start_at: datetime, end_at: datetime, columns: Sequence[str]
    ) -> ibis.Table:
        schema = pa.schema([table.schema.field(name) for name in columns])
        return self.files(lake.files(table, start_at, end_at), schema)

    def to_arrow(self, expression: ibis.Table, schema: pa.Schema) -> pa.Table:
        found = self._session.sql(str(ibis.to_sql(expression, dialect="pyspark"))).toArrow()
        return found.select(schema.names).cast(schema)

    def _named(self, frame: Any) -> ibis.Table:
        name = f"marquee_{next(self._names)}"
        frame.createOrReplaceTempView(name)
        return self._backend.table(name)
