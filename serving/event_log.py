"""The event log: lines appended to segments, one write for all that is logged at once.

`models.segment` tells how segments are named. Times are those of the lines (`at`), never the wall clock's, so that a
simulator writes the same segments by its own clock. Whoever appends sees to it that `at` is when the lines say they
were logged.
"""

import math
import os
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from models.event import Event, encode_lines
from serving.segment_file import SegmentFile, make_directory

_PROBE_BYTES = 8 * 1024


class EventLog:
    """A directory of segments with one of them open for writing. Not thread-safe: one owner.

    Args: directory, made when first needed; segment_seconds, the age by `at` from which a segment is complete (endless:
    only `rotate` and size complete one); segment_bytes, the size likewise; sync, whether `append` waits for the disk;
    writer, letters and digits that are unique to this log for ever (random where not given).
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_seconds: float = math.inf,
        segment_bytes: int = 64 * 2**20,
        sync: bool = True,
        writer: str = "",
    ) -> None:
        self.directory = directory
        self._segment_seconds = segment_seconds
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._writer = writer or f"{os.getpid():x}x{secrets.token_hex(6)}"
        self._n_opened = 0
        self._current: SegmentFile | None = None
        self._finished: list[SegmentFile] = []
        self._refused_bytes = 0

    def append(self, events: Sequence[Event], *, at: datetime) -> None:
        """Log events at `at`, aware UTC; with `sync`, return only when they are durable. Complete segments are closed.

        Raises:
            OSError: if the log cannot be written; nothing of these events is in it then, or it was never acknowledged.
        """
        self.append_lines(encode_lines(list(events)), at=at)

    def append_lines(self, lines: bytes, *, at: datetime) -> None:
        """Log whole lines as `append` does."""
        self.append_parts([(lines, at)])

    def append_parts(self, parts: Iterable[tuple[bytes, datetime]]) -> None:
        """Log whole lines of several moments, each part with its own, as `append` does, with one sync for all."""
        written = [self.write(lines, at) for lines, at in parts]
        if self._sync:
            for segment in dict.fromkeys(written):
                self._synced(segment)
        self._close_finished()

    def rotate(self) -> Path | None:
        """Close the open segment now; returns its path, None where nothing was written."""
        self.finish()
        closed = self._close_finished()
        return closed[-1] if closed else None

    close = rotate

    def write(self, lines: bytes, at: datetime) -> SegmentFile:
        """Write whole lines without waiting for the disk; returns the segment to be synced.

        Complete segments become finished.
        """
        self._refused_bytes = len(lines)
        segment = self._segment_for(at)
        try:
            segment.write(lines, at)
        except OSError:
            self.drop(segment)
            raise
        self._refused_bytes = 0
        if segment.size >= self._segment_bytes:
            self.finish()
        return segment

    def finish_due(self, now: datetime) -> None:
        """Finish the open segment if it has reached its age at `now`, or the clock was set back."""
        if self._current is not None and not self._is_of_age_for(now):
            self.finish()

    def finish(self) -> None:
        """Take no more lines into the open segment."""
        if self._current is not None:
            self._finished.append(self._current)
            self._current = None

    def take_finished(self) -> list[SegmentFile]:
        """Hand over the segments that are finished and not closed yet; the caller closes them."""
        finished, self._finished = self._finished, []
        return finished

    def drop(self, segment: SegmentFile) -> None:
        """Write no more to a segment that failed: what was acknowledged in it is kept by closing it like any other."""
        # Some disks find out only at the sync that they have no room: what it was about is refused as well.
        self._refused_bytes = max(self._refused_bytes, segment.size - segment.synced_size)
        if segment is self._current:
            self.finish()

    def refuse(self, lines: bytes) -> None:
        """Say that these lines were not even tried, after others that failed: a probe tries for them too."""
        self._refused_bytes += len(lines)

    def probe(self) -> None:
        """Write and remove a file, to see whether the log can be written, also what it last could not.

        Raises:
            OSError: if it cannot.
        """
        make_directory(self.directory)
        path = self.directory / f"{self._writer}.probe"
        try:
            with path.open("wb") as file:
                file.write(bytes(_PROBE_BYTES + self._refused_bytes))
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    def _segment_for(self, at: datetime) -> SegmentFile:
        if self._current is not None:
            if self._is_of_age_for(at):
                return self._current
            self.finish()
        segment = SegmentFile.create(self.directory, at, f"{self._writer}s{self._n_opened}")
        self._n_opened += 1
        self._current = segment
        return segment

    def _is_of_age_for(self, at: datetime) -> bool:
        # A clock that was set back opens a new segment: times in one never go back.
        current = self._current
        if current is None or at < current.last_at:
            return False
        return (at - current.opened_at).total_seconds() < self._segment_seconds

    def _synced(self, segment: SegmentFile) -> None:
        try:
            segment.sync()
        except OSError:
            self.drop(segment)
            raise

    def _close_finished(self) -> list[Path]:
        closed, failure = [], None
        for segment in self.take_finished():
            try:
                closed.append(segment.close())
            except OSError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return [path for path in closed if path is not None]
