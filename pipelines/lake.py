"""The lake: one Delta table for each record, written and rebuilt an interval at a time.

Every write is one atomic overwrite of one interval, and writing what is there already commits nothing. An interval is
one parquet file whose bytes are a function of its rows, written as a stream whatever its length. It lies in a partition
of the column `interval_key`, the interval's key, which is no part of a table's schema and which nobody else needs to
name. (Not `interval`: that is a word of SQL.)
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow import fs as pa_fs

from models.error import ContractError, NotReadyError
from models.interval import Interval
from pipelines.content import conform, conform_stream, content_hash, n_differing
from pipelines.lake_file import StagedFile, same_bytes, write_rows
from pipelines.lake_log import (
    broken_data_file,
    broken_log_file,
    file_system,
    first_line,
    refuse_torn_commits,
    transaction_of,
    written_intervals,
)
from pipelines.table import Table

_PARTITION = "interval_key"
_LENGTH = "marquee.intervalSeconds"
_ATTEMPTS = 50
_HASH_DIGITS = 15
_AHEAD = 2
"""Batches read before they are asked for; sixteen, of each of four files, are a gigabyte of decisions."""


@dataclass(frozen=True, slots=True)
class Written:
    """What an overwrite left and did: rows now in the interval, and rows added plus rows removed, by content."""

    n_rows: int
    n_changed: int


class Lake:
    """The Delta tables below one root.

    Args:
        root: a path, or a URL of an object store; its credentials come from the environment, as delta-rs reads it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        text = os.fspath(root)
        path = url2pathname(urlsplit(text).path) if text.startswith("file://") else text
        self.root = path.rstrip("/") if "://" in path else str(Path(path).absolute())

    def overwrite(self, table: Table, interval: Interval, rows: pa.Table) -> Written:
        """Replace an interval's rows by some that are in memory, in any order (see `replace`).

        Raises:
            ContractError: also if a key repeats.
        """
        return self.replace(table, interval, conform(table, rows).to_batches())

    def replace(self, table: Table, interval: Interval, rows: Iterable[pa.RecordBatch]) -> Written:
        """Replace an interval's rows, all or nothing; no rows at all still mark the interval as written.

        Writers of other intervals never disturb each other; writers of the same one take turns.

        Args: rows, a stream of them, in the table's order and unique by its key.

        Raises:
            ContractError: if the rows break the table's contract (see `conform_stream`), the interval has another
                length than the table's others, or a file of the table is broken. Nothing is changed then.
            NotReadyError: if others kept writing the same interval.
        """
        self._refuse_other_length(table, interval, self._open(table))
        folder = f"{_PARTITION}={interval.key}"
        staged = write_rows(self._folder(table), folder, table.schema, conform_stream(table, rows))
        committed = False
        try:
            for _ in range(_ATTEMPTS):
                try:
                    written, committed = self._commit(table, interval, staged)
                    return written
                except CommitFailedError:
                    continue
        finally:
            if not committed:
                self._drop_unlisted(table, interval, staged)
        raise NotReadyError(f"{table.name}: others keep writing interval {interval.key}")

    def read(
        self,
        table: Table,
        start_at: datetime,
        end_at: datetime,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """Read the rows of all intervals that start in [start_at, end_at), sorted by interval and the table's order.

        Args:
            columns: names to read; None for all.
            where: which rows, as an expression over the table's columns.

        Raises:
            ContractError: naming the file that cannot be read.
        """
        names = list(columns) if columns is not None else table.schema.names
        order = [_PARTITION, *table.order]
        extra = [name for name in table.order if name not in names]
        scanned = pa.Table.from_batches(
            self._scan(self._open(table), table, (start_at, end_at), [*names, *extra, _PARTITION], where),
            _schema(table, [*names, *extra, _PARTITION]),
        )
        return scanned.sort_by([(name, "ascending") for name in order]).select(names)

    def reader(
        self,
        table: Table,
        start_at: datetime,
        end_at: datetime,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.RecordBatchReader:
        """Stream the same rows as `read` in no particular order, with memory bounded by a few batches."""
        names = list(columns) if columns is not None else table.schema.names
        batches = self._scan(self._open(table), table, (start_at, end_at), names, where)
        return pa.RecordBatchReader.from_batches(_schema(table, names), batches)

    def files(self, table: Table, start_at: datetime, end_at: datetime) -> list[str]:
        """List the parquet files of all intervals that start in [start_at, end_at), as paths or URLs.

        Raises:
            ContractError: naming a file of the table's log that cannot be read.
        """
        delta = self._open(table)
        if delta is None:
            return []
        return sorted(delta.file_uris(file_pruning_predicate=_between(start_at, end_at)))

    def intervals(self, table: Table) -> list[str]:
        """List the keys of the intervals that were written, in order, also those without rows: the watermark."""
        return written_intervals(self._location(table)) if self._open(table) is not None else []

    def version(self, table: Table) -> int:
        """Tell the table's Delta version, which names exactly the data that a reader sees now; -1 before any write."""
        delta = self._open(table)
        return -1 if delta is None else int(delta.version())

    def content_hash(self, table: Table, interval: Interval) -> str:
        """Hash what an interval says: equal for equal rows, whatever files hold them."""
        return content_hash(self._rows(table, interval))

    def _location(self, table: Table) -> str:
        return f"{self.root}/{table.name}"

    def _folder(self, table: Table) -> pa_fs.FileSystem:
        if "://" not in self.root:
            Path(self._location(table)).mkdir(parents=True, exist_ok=True)
        return file_system(self._location(table))

    def _open(self, table: Table) -> DeltaTable | None:
        location = self._location(table)
        try:
            delta = DeltaTable(location)
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise ContractError(f"{table.name}: {broken_log_file(location) or first_line(error)}") from error
        refuse_torn_commits(location)
        return delta

    def _create(self, table: Table, interval: Interval) -> DeltaTable:
        DeltaTable.create(
            self._location(table),
            pa.schema([*table.schema, (_PARTITION, pa.string())]),
            mode="ignore",
            partition_by=[_PARTITION],
            configuration={_LENGTH: _seconds(interval)},
            raise_if_key_not_exists=False,
        )
        return DeltaTable(self._location(table))

    def _refuse_other_length(self, table: Table, interval: Interval, delta: DeltaTable | None) -> None:
        length = delta.metadata().configuration.get(_LENGTH) if delta else _seconds(interval)
        if length != _seconds(interval):
            raise ContractError(
                f"{table.name} is kept in intervals of {length} seconds, got one of {_seconds(interval)}"
                f" ({interval.key}): interval_hours cannot change under a lake that exists"
            )

    def _commit(self, table: Table, interval: Interval, staged: StagedFile) -> tuple[Written, bool]:
        """Put the staged file in place of what the interval holds; False, and nothing done, where it says the same."""
        delta = self._open(table) or self._create(table, interval)
        self._refuse_other_length(table, interval, delta)
        n_changed = self._n_differing(delta, table, interval, staged)
        transaction = transaction_of(interval.key)
        if n_changed == 0 and delta.transaction_version(transaction) is not None:
            return Written(staged.n_rows, 0), False
        version = int(staged.content_hash[:_HASH_DIGITS], 16)
        delta.create_write_transaction(
            [staged.add_action({_PARTITION: interval.key})] if staged.n_rows else [],
            mode="overwrite",
            schema=delta.schema(),
            partition_by=[_PARTITION],
            partition_filters=[(_PARTITION, "=", interval.key)],
            commit_properties=CommitProperties(app_transactions=[Transaction(transaction, version)]),
        )
        return Written(staged.n_rows, n_changed), staged.n_rows > 0

    def _drop_unlisted(self, table: Table, interval: Interval, staged: StagedFile) -> None:
        """Delete a staged file, unless a commit lists it after all: one may be durable and still end in an error."""
        try:
            delta = self._open(table)
            if delta is not None and staged.path in _stored(delta, interval).files:
                return
        except (ContractError, DeltaError, pa.ArrowException, OSError):
            return  # nobody can tell: a file too many does no harm, one too few would lose the interval
        self._folder(table).delete_file(staged.path)

    def _n_differing(self, delta: DeltaTable, table: Table, interval: Interval, staged: StagedFile) -> int:
        """Count rows that differ from the stored ones; files of the same bytes, the usual case, are not decoded."""
        files = self._folder(table)
        stored = _stored(delta, interval)
        try:
            if len(stored.files) == 1 and same_bytes(files, stored.files[0], staged.path):
                return 0
            return n_differing(stored, staged.dataset(files), table.schema.names)
        except (pa.ArrowException, OSError, duckdb.Error) as error:
            broken = broken_data_file(self._location(table), stored.files)
            raise ContractError(f"{table.name}: {broken or first_line(error)}") from error

    def _rows(self, table: Table, interval: Interval) -> pa.Table:
        between = interval.start_at, interval.start_at + timedelta(seconds=1)
        batches = self._scan(self._open(table), table, between, table.schema.names)
        order = [(name, "ascending") for name in table.order]
        return pa.Table.from_batches(batches, table.schema).sort_by(order)

    def _scan(
        self,
        delta: DeltaTable | None,
        table: Table,
        between: tuple[datetime, datetime],
        names: list[str],
        where: pc.Expression | None = None,
    ) -> Iterator[pa.RecordBatch]:
        if delta is None:
            return
        try:
            dataset = delta.to_pyarrow_dataset(file_pruning_predicate=_between(*between))
            schema = _schema(table, names)
            scanner = dataset.scanner(columns=names, filter=where, batch_readahead=_AHEAD, fragment_readahead=1)
            for batch in scanner.to_batches():
                if batch.num_rows:
                    yield batch.cast(schema)
        except (pa.ArrowException, OSError) as error:
            broken = broken_data_file(self._location(table), dataset.files)
            raise ContractError(f"{table.name}: {broken or first_line(error)}") from error


def _stored(delta: DeltaTable, interval: Interval) -> ds.FileSystemDataset:
    return delta.to_pyarrow_dataset(file_pruning_predicate=[(_PARTITION, "=", interval.key)])


def _schema(table: Table, names: Sequence[str]) -> pa.Schema:
    unknown = [name for name in names if name != _PARTITION and name not in table.schema.names]
    if unknown:
        raise ContractError(f"{table.name} has no column {unknown[0]!r}; it has {table.schema.names}")
    return pa.schema([(name, pa.string()) if name == _PARTITION else table.schema.field(name) for name in names])


def _between(start_at: datetime, end_at: datetime) -> list[tuple[str, str, str]]:
    return [(_PARTITION, ">=", _key_from(start_at)), (_PARTITION, "<", _key_from(end_at))]


def _seconds(interval: Interval) -> str:
    return str((interval.end_at - interval.start_at).total_seconds())


def _key_from(moment: datetime) -> str:
    """Find the least key of any interval that starts at `moment` or later: keys have whole seconds."""
    up = moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)
    return Interval(up, up + timedelta(seconds=1)).key
