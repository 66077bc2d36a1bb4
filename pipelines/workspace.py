"""Room for an interval that is larger than memory: a DuckDB database and files on disk, gone when the work is done.

Sorts, joins and groupings hold at most `batch_memory_gib` in memory; what does not fit goes to HOME/spill.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import Settings

BATCH_ROWS = 65_536
_LOCK = "lock"
_DRAFT = "lock-"


class Workspace:
    """A database whose tables may be larger than memory.

    Args: directory, an empty folder of its own; memory_gib, what one query may hold in memory.
    """

    def __init__(self, directory: Path, memory_gib: float) -> None:
        self._directory = directory
        self._n_spills = 0
        self.connection = duckdb.connect(directory / "work.duckdb")
        self.connection.execute(f"SET memory_limit = '{round(memory_gib * 1024)}MiB'")
        self.connection.execute(f"SET temp_directory = '{str(directory / 'temporary').replace(chr(39), chr(39) * 2)}'")
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET preserve_insertion_order = false")

    def spill(self, schema: pa.Schema) -> "Spill":
        """Open a file for rows of a schema."""
        self._n_spills += 1
        return Spill(self._directory / f"spill-{self._n_spills}.parquet", schema)

    def do(self, sql: str) -> None:
        """Run a statement."""
        self.connection.execute(sql).fetchall()

    def count(self, sql: str) -> int:
        """Ask for one number."""
        return int(self.connection.execute(sql).fetchall()[0][0])

    def batches(self, sql: str) -> pa.RecordBatchReader:
        """Stream a query's rows; other queries may run meanwhile."""
        return self.connection.cursor().sql(sql).to_arrow_reader(BATCH_ROWS)

    def table(self, sql: str) -> pa.Table:
        """Read a query's rows at once: those that are known to be few."""
        return self.connection.sql(sql).to_arrow_table()

    def choose(self, rows: pa.RecordBatchReader, which: str) -> Iterator[pa.RecordBatch]:
        """Stream those of some rows that a clause after FROM leaves."""
        cursor = self.connection.cursor()
        cursor.register("offered_rows", rows)
        yield from cursor.sql(f"FROM offered_rows {which}").to_arrow_reader(BATCH_ROWS)

    def insert(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Append rows to a table by the names of their columns."""
        self.connection.register("inserted_rows", rows)
        try:
            self.connection.execute(f"INSERT INTO {name} BY NAME FROM inserted_rows").fetchall()
        finally:
            self.connection.unregister("inserted_rows")

    def create(self, name: str, schema: pa.Schema) -> None:
        """Make an empty table."""
        self.connection.register("empty_rows", schema.empty_table())
        self.connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM empty_rows").fetchall()
        self.connection.unregister("empty_rows")


class Spill:
    """Rows on disk, written a chunk at a time and read back by DuckDB."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="lz4", write_statistics=False)

    def add(self, batch: pa.RecordBatch) -> None:
        """Append a chunk."""
        if batch.num_rows:
            self._writer.write_batch(batch)

    def close(self) -> None:
        """Complete the file, so that it can be read."""
        self._writer.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows of a completed file back as they were added, a few at a time."""
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(BATCH_ROWS)

    @property
    def sql(self) -> str:
        """Name the rows in a query."""
        return f"read_parquet('{str(self.path).replace(chr(39), chr(39) * 2)}')"


@contextmanager
def workspace(settings: Settings) -> Iterator[Workspace]:
    """Make a workspace below HOME until the block ends; what a killed process left there is removed."""
    root = settings.home / "spill"
    root.mkdir(parents=True, exist_ok=True)
    directory, draft = root / uuid4().hex, root / f"{_DRAFT}{uuid4().hex}"
    with draft.open("wb") as lock:
        # Held before anybody can find it: a lock that is nobody's marks a folder to be removed.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_abandoned(root)
        directory.mkdir()
        draft.rename(directory / _LOCK)
        found = Workspace(directory.absolute(), settings.batch_memory_gib)
        try:
            yield found
        finally:
            found.connection.close()
            shutil.rmtree(directory)


def _remove_abandoned(root: Path) -> None:
    for lock in root.glob(f"*/{_LOCK}"):
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue
