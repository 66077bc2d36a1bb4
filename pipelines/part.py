"""Parquet parts that are there whole or not at all, and whose bytes are a function of their rows."""

import os
from collections.abc import Iterable
from functools import lru_cache
from hashlib import file_digest, sha256
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from models.error import ContractError
from pipelines.content import BLOCK_ROWS, rebatched


def part_bytes(rows: pa.Table) -> bytes:
    """Encode rows; the same rows give the same bytes."""
    sink = BytesIO()
    pq.write_table(rows, sink, compression="zstd", coerce_timestamps="us")
    return sink.getvalue()


def write_whole(path: Path, content: bytes) -> bool:
    """Put `content` at `path` in one step; False, and nothing written, where it is there already."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def write_draft(path: Path, schema: pa.Schema, rows: Iterable[pa.RecordBatch]) -> Path:
    """Encode a stream of rows beside `path`, for the caller to put there; the same rows give the same bytes.

    Where that fails no file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd", coerce_timestamps="us") as writer:
                for block in rebatched(rows, schema, BLOCK_ROWS):
                    writer.write_batch(block)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def read_part(path: Path, schema: pa.Schema) -> pa.Table:
    """Read one part.

    Raises:
        ContractError: naming the file, and the column where one is not of its type.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow, schema)
            return file.read(columns=schema.names).select(schema.names).cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise ContractError(f"not a readable parquet file: {path}: {error}") from error


def refuse_altered(path: Path, expected: str) -> None:
    """Refuse a file whose digest is not the expected one; a file that has not changed since is read once a process.

    Raises:
        ContractError: naming the file, also where it cannot be read.
    """
    actual = known_digest(path)
    if actual != expected:
        raise ContractError(f"{path} was altered: its SHA-256 must be {expected or 'in the manifest'}, got {actual}")


def known_digest(path: Path) -> str:
    """Name a file's content by its SHA-256; a file that has not changed since is read once a process.

    Raises:
        ContractError: naming the file, if it cannot be read.
    """
    try:
        found = path.stat()
        return _digest_of(path, found.st_ino, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise ContractError(f"cannot read {path}: {error}") from error


def joint_digest(digests: Iterable[str]) -> str:
    """Name several contents together by their SHA-256s, in their order."""
    return digest("".join(digests).encode())


@lru_cache(maxsize=4_096)
def _digest_of(path: Path, inode: int, size: int, changed_ns: int) -> str:
    """Hash a file; what else is asked only tells one state of it from another."""
    return file_digest_of(path)


def _check_columns(path: Path, found: pa.Schema, schema: pa.Schema) -> None:
    for field in schema:
        kind = found.field(field.name).type if field.name in found.names else "no such column"
        if kind != field.type:
            raise ContractError(f"column {field.name} must be {field.type}, got {kind} ({path})")


def file_digest_of(path: Path) -> str:
    """Name a file's content by its SHA-256."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def digest(content: bytes) -> str:
    """Name content by its SHA-256."""
    return sha256(content).hexdigest()
