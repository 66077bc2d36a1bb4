"""The event log as it grows: whole lines that were not read yet, from closed and from open segments."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.error import ContractError
from models.segment import Segment, closed_since

_MAX_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Read:
    """Lines of one segment, and how far it is read after them; `is_whole` if nothing more was there.

    `segment` names it by folder and writer, which stay when a closed segment is renamed.
    """

    segment: str
    offset: int
    lines: list[bytes]
    is_whole: bool = True


class EventTail:
    """The log as one reader follows it. A closed segment that is read to its end is not looked at again.

    `is_through` tells whether the last look reached the end of everything.

    Args: events_dir; offset_of, how many bytes of a segment are read and kept for good.
    """

    def __init__(self, events_dir: Path, offset_of: Callable[[str], int]) -> None:
        self._events_dir = events_dir
        self._offset_of = offset_of
        self._finished: set[str] = set()
        self.is_through = False

    def read_on(self, since: datetime | None, max_bytes: int = _MAX_BYTES) -> Iterator[Read]:
        """Yield what was written after the offsets, about `max_bytes` in all; the oldest segments first.

        A last line without its end is left for the next time: its writer is still at it, or it is torn and will be cut
        off.

        Args: since, segments that were closed before are not looked at.
        """
        left, n_gone, self.is_through = max_bytes, 0, False
        paths = self._paths(since)
        self._finished.intersection_update(paths)
        for key, segment in self._parsed(path for path in paths if path not in self._finished):
            offset = self._offset_of(key)
            try:
                found = _read(segment.path, key, offset, left)
            except FileNotFoundError:
                n_gone += 1  # renamed since it was listed: found under its other name the next time
                continue
            if found.lines or found.offset != offset:
                left -= found.offset - offset
                yield found
            elif segment.closed_at is not None:  # by an offset that is kept: what was yielded just now may yet fail
                self._finished.add(str(segment.path))
            if left <= 0 or not found.is_whole:
                return
        self.is_through = not n_gone

    def segments(self, since: datetime) -> list[str]:
        """Name the segments that were closed at `since` or later, or are open."""
        return [key for key, _ in self._parsed(self._paths(since))]

    def _paths(self, since: datetime | None) -> list[str]:
        return [
            f"{folder}/{name}" for folder, _, names in os.walk(self._events_dir) for name in closed_since(names, since)
        ]

    def _parsed(self, paths: Iterable[str]) -> list[tuple[str, Segment]]:
        """Read segments out of their names, with their keys; the oldest first."""
        found = []
        for path in paths:
            try:
                segment = Segment.at(Path(path))
            except ContractError:
                continue  # the next ingest names it
            found.append((self._key(segment), segment))
        return sorted(found, key=lambda item: (item[1].opened_at, item[0]))

    def _key(self, segment: Segment) -> str:
        writer = segment.path.stem.rpartition("-")[2]
        return segment.path.with_name(writer).relative_to(self._events_dir).as_posix()


def _read(path: Path, key: str, offset: int, max_bytes: int) -> Read:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= offset:
            return Read(key, size, [])  # shorter where a write that failed was taken back
        file.seek(offset)
        content = file.read(max_bytes)
        if b"\n" not in content and len(content) == max_bytes:
            content += file.readline()
    whole = content[: content.rfind(b"\n") + 1]
    return Read(key, offset + len(whole), whole.splitlines(), is_whole=offset + len(content) >= size)
