"""The event log as it grows: whole lines that were not read yet, from closed and from open segments."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.error import ContractError
from models.segment import CLOSED_SUFFIX, OPEN_SUFFIX, Segment


@dataclass(frozen=True, slots=True)
class Read:
    """Lines of one segment, and how far it is read after them.

    `segment` names it by folder and writer, which stay when a closed segment is renamed.
    """

    segment: str
    offset: int
    lines: list[bytes]


def read_on(
    events_dir: Path, offsets: Mapping[str, int], since: datetime | None, max_bytes: int = 4 * 2**20
) -> Iterator[Read]:
    """Yield what was written after `offsets`, about `max_bytes` in all; the oldest segments first.

    A last line without its end is left for the next time: its writer is still at it, or it is torn and will be cut off.

    Args: offsets, bytes read of each segment; since, segments that were closed before are not looked at.
    """
    left = max_bytes
    for key, segment in _segments(events_dir, since):
        try:
            found = _read(segment.path, key, offsets.get(key, 0), left)
        except FileNotFoundError:
            continue  # renamed since it was listed: found under its other name the next time
        if found.lines or found.offset != offsets.get(key, 0):
            left -= sum(map(len, found.lines))
            yield found
        if left <= 0:
            return


def _segments(events_dir: Path, since: datetime | None) -> list[tuple[str, Segment]]:
    found = []
    for folder, _, names in os.walk(events_dir):
        for name in names:
            if not name.endswith((CLOSED_SUFFIX, OPEN_SUFFIX)):
                continue
            try:
                segment = Segment.at(Path(folder, name))
            except ContractError:
                continue  # the next ingest names it
            if since is None or segment.closed_at is None or segment.closed_at >= since:
                writer = segment.path.stem.rpartition("-")[2]
                found.append((Path(folder, writer).relative_to(events_dir).as_posix(), segment))
    return sorted(found, key=lambda item: (item[1].opened_at, item[0]))


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
    return Read(key, offset + len(whole), whole.splitlines())
