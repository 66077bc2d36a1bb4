"""An interval's rows as one parquet file of a table's folder: the same rows give the same bytes."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake.transaction import AddAction
from pyarrow import fs as pa_fs

from pipelines.content import BLOCK_ROWS, ContentHash, rebatched

_COMPARED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that no table knows yet: its path below the table's folder, what it holds, and the hash of its rows."""

    path: str
    schema: pa.Schema
    size: int
    n_rows: int
    content_hash: str

    def add_action(self, partition: Mapping[str, str]) -> AddAction:
        """Say that the file belongs to a partition, as Delta's log does."""
        stats = json.dumps({"numRecords": self.n_rows})
        return AddAction(self.path, self.size, partition, round(time.time() * 1000), True, stats)

    def dataset(self, files: pa_fs.FileSystem) -> ds.Dataset:
        """Open the file's rows."""
        return ds.dataset(self.path, schema=self.schema, format="parquet", filesystem=files)


def write_rows(files: pa_fs.FileSystem, folder: str, schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> StagedFile:
    """Write a stream of rows to a file of its own; where that fails no file is left.

    The file's row groups are cut anew, so that its bytes do not depend on how the stream was chunked.
    """
    path = f"{folder}/part-{uuid4().hex}.parquet"
    content, n_rows = ContentHash(schema), 0
    sink = files.open_output_stream(path)
    try:
        with sink, pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer:
            for block in rebatched(rows, schema, BLOCK_ROWS):
                content.update(block)
                writer.write_batch(block)
                n_rows += block.num_rows
    except BaseException:
        _drop(files, path)
        raise
    return StagedFile(path, schema, files.get_file_info(path).size, n_rows, content.hexdigest())


def same_bytes(files: pa_fs.FileSystem, one: str, other: str) -> bool:
    """Tell whether two files hold the same bytes."""
    first, second = files.get_file_info([one, other])
    if first.size != second.size:
        return False
    with files.open_input_stream(one) as left, files.open_input_stream(other) as right:
        while block := left.read(_COMPARED_BYTES):
            if block != right.read(_COMPARED_BYTES):
                return False
    return True


def _drop(files: pa_fs.FileSystem, path: str) -> None:
    if files.get_file_info(path).type is not pa_fs.FileType.NotFound:
        files.delete_file(path)
