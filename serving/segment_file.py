"""One segment of the event log on disk: opened under a lock, appended to, synced, and renamed once it is complete."""

import errno
import fcntl
import mmap
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from models.segment import closed_name, open_name

# Data and size are what a reader needs; where the system has no fdatasync (macOS), fsync does both and more.
_sync_file = getattr(os, "fdatasync", os.fsync)


class SegmentFile:
    """A segment that this process writes. Every method may raise OSError."""

    def __init__(self, path: Path, descriptor: int, opened_at: datetime, writer: str) -> None:
        self.path = path
        self.opened_at = opened_at
        self.last_at = opened_at
        self.size = 0
        self.synced_size = 0
        self._descriptor = descriptor
        self._writer = writer
        self._is_entered = False

    @classmethod
    def create(cls, directory: Path, opened_at: datetime, writer: str) -> Self:
        """Open a new segment. It gets its name only when it is locked, so that no recovery can take it for torn."""
        make_directory(directory)
        path = directory / open_name(opened_at, writer)
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                raise FileExistsError(f"the segment's writer is not unique: {path}")
            draft.rename(path)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, opened_at, writer)

    def write(self, lines: bytes, at: datetime) -> None:
        """Append whole lines logged at `at`, or leave the segment as it was and raise."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(lines)
        self.last_at = max(self.last_at, at)

    def sync(self) -> None:
        """Return once everything written so far survives a crash of the machine."""
        n_bytes = self.size
        _sync_file(self._descriptor)
        if not self._is_where_it_was():
            raise OSError(errno.ESTALE, "the segment is not where it was opened: its folder was removed or moved")
        if not self._is_entered:
            sync_directory(self.path.parent)
            self._is_entered = True
        self.synced_size = n_bytes
        _give_back(self._descriptor, n_bytes)

    def close(self) -> Path | None:
        """Sync, rename to the closed name, and return it; a segment without a line is removed instead."""
        try:
            if self.size == 0:
                self.path.unlink()
                return None
            os.ftruncate(self._descriptor, self.size)  # a write that failed may have left a part of its lines
            _sync_file(self._descriptor)
            return close_as(self.path, closed_name(self.opened_at, self.last_at, self._writer))
        finally:
            self.abandon()

    def _is_where_it_was(self) -> bool:
        """Tell whether readers find this very file by its name: syncing one that was removed succeeds."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def abandon(self) -> None:
        """Let go of the file as it is: a recovery finds and closes it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _give_back(descriptor: int, n_bytes: int) -> None:
    """Give the memory back that holds what is on disk by now: who follows the log reads it from there.

    A log that keeps it fills all memory that is free, which is slower to write to than what was just given back, and in
    the end drives out what others read. The last page stays, if it is not full: the next line is written to it, and
    would wait for the disk to read it first.
    """
    whole_pages = n_bytes - n_bytes % mmap.PAGESIZE
    if whole_pages and hasattr(os, "posix_fadvise"):  # macOS has none; a length of 0 would mean all
        with suppress(OSError):  # some file systems cannot; it is no more than advice
            os.posix_fadvise(descriptor, 0, whole_pages, os.POSIX_FADV_DONTNEED)


def close_as(path: Path, name: str) -> Path:
    """Give a complete segment its closed name, for good."""
    target = path.with_name(name)
    if target.exists():
        raise FileExistsError(f"a closed segment of that name exists: {target}")
    path.rename(target)
    sync_directory(path.parent)
    return target


def make_directory(directory: Path) -> None:
    """Make a directory where there is none, so that it survives a crash of the machine, and those above it too."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_directory(each.parent)


def sync_directory(directory: Path) -> None:
    """Return once the directory's names survive a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
