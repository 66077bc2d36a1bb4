"""Where the lines of an interval come from: complete segments of the event log, read line by line."""

import fcntl
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from models.error import ContractError, NotReadyError
from models.interval import Interval
from models.segment import Segment, find_segments
from serving.event_recovery import recover

_MAX_LINE_BYTES = 16 * 2**20
_LOOKS = 10


def refuse_unsettled(interval: Interval, settle_seconds: float, now: datetime) -> None:
    """Refuse an interval that has only just ended: a line of its last moment may not be in any segment yet.

    A line has the time of its decision, and is acknowledged once it is on disk, up to the log's budget later; no
    segment needs to be open meanwhile. A scorer's clock may be behind, too. Whoever takes an interval that still runs
    wants it as it is, and gets it.

    Raises:
        NotReadyError: saying when the interval will have settled.
    """
    if seconds_to_settle(interval, settle_seconds, now):
        settled_at = interval.end_at + timedelta(seconds=settle_seconds)
        raise NotReadyError(
            f"interval {interval.key} has only just ended: its last lines may still be on their way to the log until "
            f"{settled_at:%FT%TZ} (MARQUEE_SETTLE_SECONDS={settle_seconds:g})"
        )


def seconds_to_settle(interval: Interval, settle_seconds: float, now: datetime) -> float:
    """Tell how long an interval that has ended must still be waited for; 0 for one that has not ended."""
    left = (interval.end_at - now).total_seconds() + settle_seconds
    return max(left, 0.0) if now >= interval.end_at else 0.0


def complete_segments(events_dir: Path, interval: Interval) -> list[Segment]:
    """List the segments that may hold lines of the interval, the oldest first.

    An open segment that nobody holds was left by a crash; it is closed first.

    Raises:
        NotReadyError: naming a segment that is still being written and may hold lines of the interval.
        ContractError: if a file in there is not named as a segment.
    """
    for _ in range(_LOOKS):
        found = [segment for segment in find_segments(events_dir) if segment.may_hold(interval)]
        unfinished = [segment for segment in found if segment.closed_at is None]
        if not unfinished:
            return found
        for segment in unfinished:
            if _is_held(segment.path):
                raise NotReadyError(f"a segment of interval {interval.key} is still being written: {segment.path}")
        recover(events_dir)
    raise NotReadyError(f"segments of interval {interval.key} are opened faster than they can be closed: {events_dir}")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a segment with its number from 1; a line beyond 16 MiB is cut there, so that it cannot decode.

    Raises:
        ContractError: naming the file, if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE_BYTES):
                number += 1
                yield number, line
                while len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
                    line = file.readline(_MAX_LINE_BYTES)
    except OSError as error:
        raise ContractError(f"cannot read a segment of the event log: {path}: {error}") from error


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # its writer has just closed it under another name
        return False
    return False
