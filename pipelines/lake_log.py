"""What a Delta table's log says beside its rows: which intervals were written, and which file is broken.

Each overwrite of an interval carries a Delta application transaction `interval/<key>`, atomic with its rows. It is how
an interval without a single row is still known as written, and why two writers of one interval always conflict, even
where both write nothing. Its version is the first 63 bits of the rows' content hash.
"""

import json
import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs as pa_fs

from models.error import ContractError

_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
_PREFIX = "interval/"


def transaction_of(key: str) -> str:
    """Name the application transaction that marks an interval as written."""
    return _PREFIX + key


def written_intervals(location: str) -> list[str]:
    """List the keys of all intervals that were ever written, in order, also those without rows.

    Raises:
        ContractError: naming the file of the log that cannot be read.
    """
    files = file_system(location)
    checkpoints, commits = _log_files(files)
    latest = max(checkpoints, default=-1)
    found: set[str] = set()
    for path in checkpoints.get(latest, ()):
        found.update(_checkpoint_transactions(files, location, path))
    for version, path in sorted(commits.items()):
        if version > latest:
            found.update(_commit_transactions(files, location, path))
    return sorted(name.removeprefix(_PREFIX) for name in found if name.startswith(_PREFIX))


def refuse_torn_commits(location: str) -> None:
    """Refuse a log with an empty commit: Delta reads it as a commit that did nothing, and rows would be lost silently.

    Raises:
        ContractError: naming the file.
    """
    files = file_system(location)
    for info in files.get_file_info(pa_fs.FileSelector(_LOG, allow_not_found=True)):
        if info.size == 0 and _COMMIT.fullmatch(info.base_name):
            raise ContractError(f"a Delta commit must not be empty: {location}/{info.path}")


def broken_log_file(location: str) -> str | None:
    """Find the first file of a table's log that cannot be parsed; None where every one can."""
    files = file_system(location)
    checkpoints, commits = _log_files(files)
    try:
        for path in (path for paths in checkpoints.values() for path in paths):
            _checkpoint_transactions(files, location, path)
        for _, path in sorted(commits.items()):
            _commit_transactions(files, location, path)
    except ContractError as error:
        return str(error)
    return None


def broken_data_file(location: str, paths: Iterable[str]) -> str | None:
    """Find the first of a table's data files that cannot be read to its end; None where every one can."""
    files = file_system(location)
    for path in paths:
        try:
            with files.open_input_file(path) as stream, pq.ParquetFile(stream) as parquet:
                for _ in parquet.iter_batches():
                    pass
        except (pa.ArrowException, OSError) as error:
            return f"{location}/{path}: {first_line(error)}"
    return None


def file_system(location: str) -> pa_fs.FileSystem:
    """Open a table's folder, wherever it is."""
    return pa_fs.PyFileSystem(DeltaStorageHandler(location))


def first_line(error: Exception) -> str:
    """Cut an error's text before the stack trace that delta-rs writes into it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _log_files(files: pa_fs.FileSystem) -> tuple[dict[int, list[str]], dict[int, str]]:
    checkpoints: dict[int, list[str]] = {}
    commits: dict[int, str] = {}
    for info in files.get_file_info(pa_fs.FileSelector(_LOG, allow_not_found=True)):
        if match := _COMMIT.fullmatch(info.base_name):
            commits[int(match[1])] = info.path
        elif match := _CHECKPOINT.fullmatch(info.base_name):
            checkpoints.setdefault(int(match[1]), []).append(info.path)
    return checkpoints, commits


def _checkpoint_transactions(files: pa_fs.FileSystem, location: str, path: str) -> list[str]:
    try:
        with files.open_input_file(path) as stream:
            rows = pq.read_table(stream, columns=["txn"])["txn"].to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ContractError(f"not a Delta checkpoint: {location}/{path}: {first_line(error)}") from error
    return [row["appId"] for row in rows if row is not None]


def _commit_transactions(files: pa_fs.FileSystem, location: str, path: str) -> list[str]:
    try:
        with files.open_input_file(path) as stream:
            actions = [json.loads(line) for line in stream.read().splitlines() if line]
        return [action["txn"]["appId"] for action in actions if "txn" in action]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"not a Delta commit: {location}/{path}: {first_line(error)}") from error
