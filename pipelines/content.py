"""What rows say, whatever they are stored in: contracts at a table's door, differences and hashes of content."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from tempfile import TemporaryDirectory
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Dataset

from models.error import ContractError
from pipelines.contract import refuse_broken
from pipelines.table import Table

BLOCK_ROWS = 65_536
_MEMORY_LIMIT = "1GiB"


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def conform(table: Table, rows: pa.Table) -> pa.Table:
    """Cast rows to a table's schema and sort them by its order.

    Raises:
        ContractError: naming table, column and id, if a column is missing, unknown or of another kind, a value breaks
            the table's contract (see `CONTRACTS`), or a key is null or repeats.
    """
    cast = _conforming(table, rows)
    _refuse_repeated_keys(table, cast)
    return cast.sort_by([(name, "ascending") for name in table.order])


def conform_stream(table: Table, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cast a stream of rows, already in the table's order and unique by key, to its schema.

    Raises:
        ContractError: naming table, column and id, if a row breaks the table's contract or the order.
    """
    last: pa.Table | None = None
    for batch in rows:
        cast = _conforming(table, pa.Table.from_batches([batch]))
        if not len(cast):
            continue
        joined = cast.select(table.order) if last is None else pa.concat_tables([last, cast.select(table.order)])
        _refuse_disorder(table, joined.combine_chunks())
        last = cast.select(table.order).slice(len(cast) - 1)
        yield from cast.to_batches()


def n_differing(before: Dataset, after: Dataset, columns: Sequence[str]) -> int:
    """Count the rows that were removed or added, by content; a row that repeats counts as often as it does."""
    n_rows = [rows.count_rows() for rows in (before, after)]
    if 0 in n_rows:
        return sum(n_rows)
    names = ", ".join(f'"{name}"' for name in columns)
    with TemporaryDirectory(prefix="marquee-") as spill, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = '{spill}'")
        connection.register("before_rows", before)
        connection.register("after_rows", after)
        count = "SELECT count(*) FROM (SELECT {names} FROM {} EXCEPT ALL SELECT {names} FROM {})"
        sides = (("before_rows", "after_rows"), ("after_rows", "before_rows"))
        answers = [connection.execute(count.format(*side, names=names)).fetchone() for side in sides]
    return sum(int(answer[0]) for answer in answers if answer is not None)


class ContentHash:
    """The hash of rows in their order, 32 hexadecimal digits, the same however they are chunked or were encoded."""

    def __init__(self, schema: pa.Schema) -> None:
        self._digest = blake2b(str(schema.remove_metadata()).encode(), digest_size=16)

    def update(self, block: pa.RecordBatch) -> None:
        """Add the next `BLOCK_ROWS` rows; only the last block may have fewer."""
        for column in block.columns:
            _digest_array(self._digest, column)

    def hexdigest(self) -> str:
        """Give the hash of all rows so far."""
        return self._digest.hexdigest()


def content_hash(rows: pa.Table) -> str:
    """Hash rows in their order (see `ContentHash`)."""
    found = ContentHash(rows.schema)
    for block in rebatched(rows.to_batches(), rows.schema, BLOCK_ROWS):
        found.update(block)
    return found.hexdigest()


def rebatched(batches: Iterable[pa.RecordBatch], schema: pa.Schema, n_rows: int) -> Iterator[pa.RecordBatch]:
    """Cut a stream anew, so that every batch but the last has `n_rows`, whatever sizes they came in."""
    pending: list[pa.RecordBatch] = []
    n_pending = 0
    for batch in batches:
        pending.append(batch)
        n_pending += batch.num_rows
        while n_pending >= n_rows:
            whole = pa.Table.from_batches(pending, schema)
            yield _one_batch(whole.slice(0, n_rows))
            pending = whole.slice(n_rows).to_batches()
            n_pending -= n_rows
    if n_pending:
        yield _one_batch(pa.Table.from_batches(pending, schema))


def _one_batch(rows: pa.Table) -> pa.RecordBatch:
    return rows.combine_chunks().to_batches()[0]


def _conforming(table: Table, rows: pa.Table) -> pa.Table:
    unknown = sorted(set(rows.column_names) - set(table.schema.names))
    missing = [name for name in table.schema.names if name not in rows.column_names]
    if unknown or missing:
        raise ContractError(f"{table.name} must have the columns of its schema, {missing=} {unknown=}")
    columns = [_cast(table, field, rows[field.name]) for field in table.schema]
    cast = pa.Table.from_arrays(columns, schema=table.schema)
    _refuse_null_keys(table, cast)
    refuse_broken(table.name, cast, table.key[0])
    return cast


def _refuse_disorder(table: Table, rows: pa.Table) -> None:
    """Refuse rows that do not rise strictly in the table's order; `rows` has its columns."""
    rises = np.zeros(max(len(rows) - 1, 0), dtype=bool)
    ties = np.ones_like(rises)
    for name in table.order:
        column = rows[name].combine_chunks()
        rises |= ties & pc.greater(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
        ties &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    if not rises.all():
        row = rows.slice(int(np.argmin(rises)) + 1, 1).to_pylist()[0]
        shown = ", ".join(f"{name}={value}" for name, value in row.items())
        raise ContractError(f"{table.name} must rise in the order {table.order}, got {shown} out of it")


def _cast(table: Table, field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
        raise ContractError(f"{table.name}.{field.name} must be aware UTC, got {column.type}")
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise ContractError(
            f"{table.name}.{field.name} must be {field.type}, got {column.type}: {str(error).splitlines()[0]}"
        ) from error


def _refuse_null_keys(table: Table, rows: pa.Table) -> None:
    for name in table.key:
        if rows[name].null_count:
            row = pc.index(pc.is_null(rows[name]), pa.scalar(value=True)).as_py()
            others = {other: rows[other][row].as_py() for other in table.key if other != name}
            raise ContractError(f"{table.name}.{name} must not be null, got null in row {row} {others or ''}".rstrip())


def _refuse_repeated_keys(table: Table, rows: pa.Table) -> None:
    counts = rows.select(table.key).group_by(list(table.key)).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        first = repeated.sort_by([(name, "ascending") for name in table.key]).slice(0, 1).to_pylist()[0]
        n_times = first.pop("count_all")
        shown = ", ".join(f"{name}={value}" for name, value in first.items())
        raise ContractError(f"{table.name}: key {table.key} must be unique, got {n_times} rows of {shown}")


def _digest_array(digest: _Digest, array: pa.Array) -> None:
    digest.update(np.packbits(pc.is_valid(array).to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_list(array.type):
        digest.update(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).tobytes())
        _digest_array(digest, array.flatten())
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        filled = pc.fill_null(array, b"" if pa.types.is_binary(array.type) else "")
        digest.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).tobytes())
        offsets = np.frombuffer(filled.buffers()[1], dtype=np.int32)[filled.offset : filled.offset + len(filled) + 1]
        if len(offsets):
            digest.update(bytes(memoryview(filled.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])]))
    else:
        plain = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
        digest.update(pc.fill_null(plain, 0).to_numpy(zero_copy_only=False).tobytes())
