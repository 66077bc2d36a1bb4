"""Closes segments that a crash left open, so that nothing acknowledged is lost."""

import fcntl
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from models.error import ContractError
from models.segment import OPEN_SUFFIX, Segment, closed_name
from serving.segment_file import close_as

_log = structlog.get_logger(__name__)
_CHUNK = 1 << 20
_DRAFT_SUFFIX, _PROBE_SUFFIX = ".new", ".probe"
_UNFINISHED = "*.[nop]*"
"""What may be a draft, a segment that is open or a probe: one look at a folder of hundreds of thousands finds all."""

_LEFT_SECONDS = 3600.0
"""A file that lives for microseconds, and is this old, was left by a kill."""


class _Stamp(msgspec.Struct):
    """When a line was logged: of any kind of event, just that."""

    decided_at: datetime | None = None
    received_at: datetime | None = None


_stamps = msgspec.json.Decoder(_Stamp)


def recover(directory: Path) -> list[Path]:
    """Close every segment below `directory` whose writer is gone; returns the closed paths, the oldest first.

    A segment that somebody still writes is left alone: its writer holds a lock. A torn last line, which was never
    acknowledged, is cut off. Drafts and probes that a kill left an hour ago or longer are removed. May run at any time,
    in several processes at once.

    Raises:
        ContractError: if an `.open` file is not named as a segment.
        OSError: if one cannot be read or renamed. Either is raised once all the others are closed.
    """
    closed: list[Path] = []
    failures: list[ContractError | OSError] = []
    for path in sorted(directory.rglob(_UNFINISHED)):
        try:
            if path.suffix != OPEN_SUFFIX:
                _remove_left(path)
            elif (found := _recover_one(Segment.at(path))) is not None:
                closed.append(found)
        except (ContractError, OSError) as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return closed


def _remove_left(path: Path) -> None:
    """Remove what only lives for a moment, once it is old: a probe, a segment that never got its name, nor a line."""
    if path.suffix not in (_DRAFT_SUFFIX, _PROBE_SUFFIX):
        return
    with suppress(FileNotFoundError), path.open("rb") as file:
        if time.time() - os.fstat(file.fileno()).st_mtime > _LEFT_SECONDS and _is_let_go(file):
            path.unlink()


def _is_let_go(file: BinaryIO) -> bool:
    """Tell whether no writer holds a file, and hold it until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recover_one(segment: Segment) -> Path | None:
    path = segment.path
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None  # closed by its writer, or by another recovery, since it was listed
    with file:
        if not _is_let_go(file) or not _is_same_file(path, file):
            return None
        return _close_torn(segment, file)


def _is_same_file(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _close_torn(segment: Segment, file: BinaryIO) -> Path | None:
    path, size = segment.path, os.fstat(file.fileno()).st_size
    whole = _whole_lines_size(file, size)
    if whole < size:
        _log.warning("torn line cut off", segment=str(path), n_bytes=size - whole)
        file.truncate(whole)
    if whole == 0:
        path.unlink()
        return None
    os.fsync(file.fileno())
    first_at, last_at = _line_times(segment, file)
    closed = close_as(path, closed_name(first_at, last_at, path.stem.split("-")[-1]))
    _log.info("segment recovered", segment=str(closed))
    return closed


def _whole_lines_size(file: BinaryIO, size: int) -> int:
    """Find where the last whole line ends, looking from the end."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _line_times(segment: Segment, file: BinaryIO) -> tuple[datetime, datetime]:
    """Find when the first and the last line were logged; the file's own times where no line tells."""
    first_at, last_at = segment.opened_at, segment.opened_at
    n_told = 0
    file.seek(0)
    for line in file:
        try:
            stamp = _stamps.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # ingest quarantines the line with its reason
        at = stamp.decided_at or stamp.received_at
        if at is not None and at.tzinfo is not None:
            first_at, last_at = min(first_at, at), max(last_at, at)
            n_told += 1
    if n_told == 0:
        last_at = max(last_at, datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC))
    return first_at, last_at
