"""A Feast offline store that joins by DuckDB's ASOF: one sort a view, where Feast's own store compares every version.

It reads what Feast's `duckdb` store reads, answers what that answers, and inherits from it what is not a join. What
differs: entity rows may be an Arrow table or a DuckDB query as well as a pandas frame; a time to live may be of any
length; a view whose join keys are renamed in part is joined on all of them; memory has a limit, beyond which DuckDB
spills to a folder. Rows come back in no particular order, as from Feast's own.

Feast finds the class by its path and wants a name that ends in `OfflineStore`, beside a config class of that name.
Of Feast's private parts it uses `_read_data_source` and `_write_data_source` of its `duckdb` store, for sources that
are not parquet and for `persist`: Feast is pinned.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,
    _write_data_source,
)
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView

from models.error import NotReadyError
from pipelines.asof_query import Bounds, Source, View, asof_query, literal, quoted

_ENTITIES = "marquee_entities"
_PARQUET_ROW = "file_index * (1::BIGINT << 40) + file_row_number"
_TIME = pa.timestamp("us", tz="UTC")

Tables: TypeAlias = "dict[str, pa.Table | str]"
"""What a query refers to by name: Arrow tables, or queries themselves."""


class AsofOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """How much memory a join may take, as DuckDB writes it (`4GB`), and where it spills; DuckDB's defaults if empty."""

    type: Literal["pipelines.asof_offline_store.AsofOfflineStore"] = "pipelines.asof_offline_store.AsofOfflineStore"
    memory_limit: str = ""
    temp_directory: str = ""


class AsofOfflineStore(DuckDBOfflineStore):
    """An offline store that joins by DuckDB's ASOF."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: Sequence[Any],
        feature_refs: Sequence[str],
        entity_df: pd.DataFrame | pa.Table | str,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> "AsofJob":
        """Join features as they were known at each entity row's moment.

        Args: entity_df, a pandas frame, an Arrow table or a DuckDB query; naive moments are UTC.

        The job raises NotReadyError if a file that it reads is rewritten before it is done.

        Raises:
            ValueError: for moments that are no whole microseconds, or on-demand views in substrait.
        """
        on_demand = OnDemandFeatureView.get_requested_odfvs(list(feature_refs), project, registry)
        if any(view.mode == "substrait" for view in on_demand):
            raise ValueError("on-demand feature views in substrait are not joined by AsofOfflineStore")
        tables: Tables = {}
        entities = tables[_ENTITIES] = _entities(entity_df)
        views = [_view(config, view, feature_refs, tables, full_feature_names) for view in feature_views]
        with _connect(config.offline_store, {_ENTITIES: entities}) as connection:
            columns = connection.sql(f"FROM {_ENTITIES} LIMIT 0").to_arrow_table().schema
            at = _moment_column(columns)
            bounds = _bounds(connection, at)
        query = asof_query(_ENTITIES, columns.names, at, views, bounds, created_filter=filter_by_created_timestamp)
        keys = [name for name in columns.names if name != at]
        metadata = RetrievalMetadata(list(feature_refs), keys, bounds.first_at, bounds.last_at)
        files = [file for view in views for file in view.source.files]
        return AsofJob(config, query, tables, on_demand, full_feature_names, metadata, files)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> "AsofJob":
        """Pull each key's newest row between two moments, both inclusive; of two of one moment, the later created."""
        stamps = [name for name in (timestamp_field, created_timestamp_column) if name]
        order = ", ".join(f"{quoted(name)} DESC NULLS LAST" for name in stamps)
        keys = ", ".join(map(quoted, join_key_columns))
        tables: Tables = {}
        query = _select(config, data_source, [*join_key_columns, *feature_name_columns, *stamps], tables)
        query += _between(timestamp_field, start_date, end_date)
        return AsofJob(config, f"{query} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1", tables)

    @staticmethod
    def pull_all_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> "AsofJob":
        """Pull all rows between two moments, both inclusive; without a moment, there is no such end."""
        stamps = [name for name in (timestamp_field, created_timestamp_column) if name]
        tables: Tables = {}
        query = _select(config, data_source, [*join_key_columns, *feature_name_columns, *stamps], tables)
        return AsofJob(config, query + _between(timestamp_field, start_date, end_date), tables)


class AsofJob(RetrievalJob):
    """A query that runs when its answer is asked for, each time on a connection of its own.

    Args: config, of the repository; query, SQL; tables, what it refers to by name: Arrow tables, or queries; files,
    those that it reads more than once.
    """

    def __init__(
        self,
        config: Any,
        query: str,
        tables: Tables,
        on_demand_feature_views: Sequence[Any] = (),
        full_feature_names: bool = False,
        metadata: Any = None,
        files: Sequence[str] = (),
    ) -> None:
        self._files = _states(files)
        self._config = config
        self._query = query
        self._tables = tables
        self._on_demand = list(on_demand_feature_views)
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Tell whether a feature's column is named after its view too."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """List the views that Feast computes from the answer."""
        return self._on_demand

    @property
    def metadata(self) -> Any:
        """Tell what was asked for; None of a pull."""
        return self._metadata

    def to_sql(self) -> str:
        """Show the query."""
        return self._query

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the answer where a saved dataset lies."""
        rows, place = ibis.memtable(self.to_arrow()), storage.to_data_source()
        _write_data_source(rows, place, str(self._config.repo_path), "overwrite", allow_overwrite)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with _connect(self._config.offline_store, self._tables) as connection:
            answer = connection.sql(self._query).to_arrow_table()
        changed = [file for file, state in _states(self._files).items() if state != self._files[file]]
        if changed:
            raise NotReadyError(f"{changed[0]} was rewritten while it was joined: join again")
        return answer

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        rows: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return rows


def _connect(settings: Any, tables: Mapping[str, pa.Table | str]) -> duckdb.DuckDBPyConnection:
    """Open a database in memory, in UTC, with tables; rows need not stay in their files' order."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false; SET enable_progress_bar = false")
    for name in ("memory_limit", "temp_directory"):
        if value := getattr(settings, name):
            connection.execute(f"SET {name} = {_text(value)}")
    for name, table in tables.items():
        if isinstance(table, str):
            connection.execute(f"CREATE TEMP VIEW {name} AS {table}")
        else:
            connection.register(f"{name}_rows", table)
            connection.execute(f"CREATE TEMP VIEW {name} AS FROM {name}_rows")
    return connection


def _entities(rows: pd.DataFrame | pa.Table | str) -> pa.Table | str:
    """Take entity rows as an Arrow table, with the moments among them in whole microseconds of UTC, or as a query."""
    if isinstance(rows, str):
        return rows
    if isinstance(rows, pd.DataFrame):
        at = infer_event_timestamp_from_entity_df(dict(zip(rows.columns, rows.dtypes, strict=True)))
        if not pd.api.types.is_datetime64_any_dtype(rows[at]):
            rows = rows.assign(**{at: pd.to_datetime(rows[at], utc=True)})
        rows = pa.Table.from_pandas(rows, preserve_index=False)
    at = _moment_column(rows.schema)
    place = rows.column_names.index(at)
    moments = rows.column(place)
    # Arrow takes a naive moment that is cast to a zone as UTC, and refuses what is no whole microsecond.
    return rows.set_column(place, at, moments.cast(_TIME))


def _moment_column(columns: pa.Schema) -> str:
    return str(infer_event_timestamp_from_entity_df({field.name: field.type.to_pandas_dtype() for field in columns}))


def _bounds(connection: duckdb.DuckDBPyConnection, at: str) -> Bounds:
    moment = f"CAST({quoted(at)} AS TIMESTAMPTZ)"
    found = connection.sql(f"SELECT min({moment}) AS first_at, max({moment}) AS last_at FROM {_ENTITIES}")
    return Bounds(**found.to_arrow_table().to_pylist()[0])


def _view(config: Any, view: Any, feature_refs: Sequence[str], tables: Tables, full_names: bool) -> View:
    """Say how one feature view is joined, under the names that its source has for its columns."""
    source, renamed = view.batch_source, {new: old for old, new in view.batch_source.field_mapping.items()}
    asked = [ref.split(":", 1)[1] for ref in feature_refs if ref.startswith(f"{view.projection.name_to_use()}:")]
    prefix = f"{view.projection.name_alias or view.name}__" if full_names else ""
    aliases = view.projection.join_key_map
    keys = [column.name for column in view.entity_columns]
    return View(
        source=_source(config, source, tables),
        keys=tuple((renamed.get(key, key), aliases.get(key, key)) for key in keys),
        event=source.timestamp_field,
        created=source.created_timestamp_column or "",
        features=tuple((renamed.get(name, name), prefix + name) for name in asked),
        ttl=view.ttl or None,
    )


def _source(config: Any, source: Any, tables: Tables) -> Source:
    """Say where a source's rows are: parquet files are read in place, any other source by Feast, whole."""
    if isinstance(source, FileSource) and _is_plain_parquet(source):
        # A pattern is looked up once: a file that comes later would renumber those that are read again.
        found = duckdb.execute(f"SELECT file FROM glob({_text(source.path)}) ORDER BY file").fetchall()
        files = tuple(file for (file,) in found) or (source.path,)
        listed = ", ".join(map(_text, files))
        return Source(f"read_parquet([{listed}], file_row_number = true)", _PARQUET_ROW, files)
    held = f"marquee_source_{len(tables)}"
    rows = _read_data_source(source, str(config.repo_path)).to_pyarrow()
    tables[held] = rows.append_column("marquee_row", pa.array(range(len(rows)), pa.int64()))
    return Source(held, "marquee_row")


def _states(files: Iterable[str]) -> dict[str, tuple[int, int, int] | None]:
    """Tell one state of each local file from another: rows are found by number, and fetched by it afterwards."""
    states: dict[str, tuple[int, int, int] | None] = {}
    for file in files:
        try:
            found = Path(file).stat()
        except OSError:
            states[file] = None
        else:
            states[file] = (found.st_ino, found.st_size, found.st_mtime_ns)
    return states


def _is_plain_parquet(source: Any) -> bool:
    """Tell whether DuckDB reads a file source by its path alone."""
    described = source.file_format is None and source.path.endswith(".parquet")
    described = described or isinstance(source.file_format, ParquetFormat)
    return described and not source.s3_endpoint_override and not source.resolve_credentials()


def _select(config: Any, source: Any, columns: Sequence[str], tables: Tables) -> str:
    names = ", ".join(map(quoted, dict.fromkeys(columns)))
    return f"SELECT {names} FROM {_source(config, source, tables).rows}"


def _between(timestamp_field: str, start_date: datetime | None, end_date: datetime | None) -> str:
    """Write that a row's moment lies between two, both inclusive; naive ones are local, as in Feast's own store."""
    moment = f"CAST({quoted(timestamp_field)} AS TIMESTAMPTZ)"
    asked = [
        f"{moment} {sign} {literal(at.astimezone(UTC))}" for sign, at in ((">=", start_date), ("<=", end_date)) if at
    ]
    return f" WHERE {' AND '.join(asked)}" if asked else ""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
