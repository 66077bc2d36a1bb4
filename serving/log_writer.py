"""The event log as one thread writes it. What fails is told and not raised, so that no other lines fail with it."""

from collections.abc import Iterable
from datetime import datetime

import structlog

from serving.event_log import EventLog
from serving.segment_file import SegmentFile

_log = structlog.get_logger(__name__)


class LogWriter:
    """Writes, syncs and closes what a log has; every method may wait for the disk, however long that takes."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._unsynced: set[SegmentFile] = set()
        self._finished: list[SegmentFile] = []

    def write(self, parts: Iterable[tuple[bytes, datetime]]) -> list[SegmentFile | OSError]:
        """Write whole lines with the moment of each part: the segment that holds it, or why none does.

        After a failure nothing more is tried: a disk that is full is not asked again by each.
        """
        outcomes: list[SegmentFile | OSError] = []
        failure: OSError | None = None
        for lines, at in parts:
            if failure is None:
                try:
                    segment = self._log.write(lines, at)
                except OSError as error:
                    failure = error
                else:
                    self._unsynced.add(segment)
                    outcomes.append(segment)
                    continue
            else:
                self._log.refuse(lines)
            outcomes.append(failure)
        return outcomes

    def sync(self) -> dict[SegmentFile, OSError]:
        """Sync all that was written since the last time; tells which segments failed, and writes no more to those."""
        failures = {}
        for segment in self._unsynced:
            try:
                segment.sync()
            except OSError as error:
                failures[segment] = error
                self._log.drop(segment)
        self._unsynced.clear()
        return failures

    def finish(self, now: datetime | None = None) -> None:
        """Take no more lines into the open segment; where a moment is given, only if it has reached its age then."""
        if now is None:
            self._log.finish()
        else:
            self._log.finish_due(now)

    def has_finished(self) -> bool:
        """Tell whether there are segments to be closed."""
        self._finished += self._log.take_finished()
        return bool(self._finished)

    def close_finished(self) -> OSError | None:
        """Close segments that take no more lines; tells what failed where lines were not synced yet."""
        finished, self._finished = self._finished, []
        unsynced = self._unsynced.intersection(finished)
        self._unsynced.difference_update(finished)  # closing syncs
        failure = None
        for segment in finished:
            try:
                segment.close()
            except OSError as error:
                # What was synced before is on disk: a recovery closes it under its right name.
                _log.error("segment not closed", segment=str(segment.path), error=str(error))
                failure = error if segment in unsynced else failure
        return failure

    def probe(self) -> OSError | None:
        """Find out what keeps the log from being written, None where nothing does."""
        try:
            self._log.probe()
        except OSError as error:
            return error
        return None
