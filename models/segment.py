"""Segments of the event log: how their names tell what they hold.

A writer appends to `<opened>-<writer>.open` and renames it once, when it is complete, to
`<opened>-<closed>-<writer>.jsonl`. Both times are when lines were logged (UTC, microseconds), so that a reader knows
from the name alone whether a segment can hold lines of its interval. A segment that still ends in `.open` is being
written, and its writer holds an exclusive `flock` on it: one that nobody holds was left by a crash.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from models.error import ContractError
from models.interval import Interval

CLOSED_SUFFIX = ".jsonl"
OPEN_SUFFIX = ".open"
_FORMAT = "%Y%m%dT%H%M%S%fZ"


def open_name(opened_at: datetime, writer: str) -> str:
    """Name a segment that is being written. `writer` is unique to the process and segment, and has no hyphen."""
    return f"{opened_at.astimezone(UTC).strftime(_FORMAT)}-{writer}{OPEN_SUFFIX}"


def closed_name(opened_at: datetime, closed_at: datetime, writer: str) -> str:
    """Name a complete segment: every line in it was logged in [opened_at, closed_at]."""
    opened, closed = (moment.astimezone(UTC).strftime(_FORMAT) for moment in (opened_at, closed_at))
    return f"{opened}-{closed}-{writer}{CLOSED_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment found on disk; `closed_at` is None while it is open."""

    path: Path
    opened_at: datetime
    closed_at: datetime | None

    @classmethod
    def at(cls, path: Path) -> Self:
        """Read a segment's times from its name.

        Raises:
            ContractError: if the file is not named as a segment.
        """
        parts = path.stem.split("-")
        expected = {CLOSED_SUFFIX: 3, OPEN_SUFFIX: 2}.get(path.suffix)
        try:
            if len(parts) != expected:
                raise ValueError(path.name)
            times = [datetime.strptime(part, _FORMAT).replace(tzinfo=UTC) for part in parts[:-1]]
        except ValueError as error:
            raise ContractError(f"not the name of an event log segment: {path}") from error
        return cls(path, times[0], times[1] if len(times) > 1 else None)

    def may_hold(self, interval: Interval) -> bool:
        """Tell whether a line of this interval could be in here."""
        return self.opened_at < interval.end_at and (self.closed_at is None or self.closed_at >= interval.start_at)


def closed_since(names: Iterable[str], moment: datetime | None) -> Iterator[str]:
    """Keep the file names of segments that were closed at `moment` or later, or are open; of all where it is None.

    Nothing is parsed: times in names sort as text, and a log of months has hundreds of thousands of them.
    """
    since = moment.astimezone(UTC).strftime(_FORMAT) if moment else ""
    for name in names:
        if name.endswith(OPEN_SUFFIX) or (name.endswith(CLOSED_SUFFIX) and name.partition("-")[2] >= since):
            yield name


def find_segments(directory: Path) -> list[Segment]:
    """List every segment below `directory`, the oldest first; an empty list where there is no such folder."""
    paths = [path for path in directory.rglob("*") if path.suffix in (CLOSED_SUFFIX, OPEN_SUFFIX)]
    return sorted((Segment.at(path) for path in paths), key=lambda found: (found.opened_at, str(found.path)))
