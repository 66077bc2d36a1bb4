"""Durable appends for many requests at once: they share one sync of the disk, which runs beside the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from time import monotonic

import structlog

from models.event import Event, encode_lines
from serving.event_log import EventLog
from serving.segment_file import SegmentFile
from serving.settings import Durability

_log = structlog.get_logger(__name__)
_Waiting = list[tuple[SegmentFile, asyncio.Future[None] | None]]


class GroupCommit:
    """The event log of an asyncio application.

    Lines are written on the event loop, in order; one thread syncs and closes segments. All requests that arrive while
    a sync runs share the next one.

    `failure` is why nothing can be logged now, None where all is well. While there is one, nothing is tried but by
    `tick`: a full disk is not asked anew by every request. Whoever was told of a failure must count the events as not
    logged. Some of them may be in the log all the same (written, but not known to be durable): a decision that nobody
    was shown, which no impression will ever name.

    Args: budget_ms, how long a request waits for the disk until it is taken for failed; durability, see `Durability`.
    """

    def __init__(
        self, log: EventLog, *, budget_ms: float = 60_000.0, durability: Durability = Durability.DURABLE
    ) -> None:
        self.failure: OSError | None = None
        self._log = log
        self._budget_seconds = budget_ms / 1000
        self._waits = durability is Durability.DURABLE
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="event-log")
        self._waiting: _Waiting = []
        self._waiting_since = 0.0
        self._syncing: _Waiting = []
        self._syncing_since: float | None = None
        self._late: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._ends: list[asyncio.Future[None]] = []

    async def append(self, events: Sequence[Event], at: datetime) -> None:
        """Log events as `append_lines` does."""
        await self.append_lines(encode_lines(list(events)), at)

    async def append_lines(self, lines: bytes, at: datetime) -> None:
        """Log whole lines and return when they are durable; when they are written, where durability is batched.

        Nothing is awaited before the lines are written, so that `at` and their order in the log agree.

        Raises:
            OSError: if they could not be logged; they count as not logged then.
        """
        await self.write_lines(lines, at)

    def write_lines(self, lines: bytes, at: datetime) -> "asyncio.Future[None]":
        """Write whole lines; what `append_lines` waits for and raises is told by the future, or raised at once."""
        if self.failure is not None:
            raise OSError(self.failure.errno, self.failure.strerror or str(self.failure))
        try:
            segment = self._log.write(lines, at)
        except OSError as error:
            self.failure = error
            self._wake()
            raise
        if not self._waiting:
            self._waiting_since = monotonic()
        durable = asyncio.get_running_loop().create_future()
        if self._waits:
            self._waiting.append((segment, durable))
            self._wake()
        else:
            self._waiting.append((segment, None))
            durable.set_result(None)
        return durable

    def lag_seconds(self) -> float:
        """Tell the age of the oldest line that was written and may not be on disk yet, 0 where there is none."""
        since = self._syncing_since if self._syncing_since is not None else self._waiting_since
        return monotonic() - since if self._waiting or self._syncing_since is not None else 0.0

    async def tick(self, now: datetime) -> None:
        """Sync what nobody waits for, close segments of age, and find out whether a log that failed is well again."""
        self._log.finish_due(now)
        self._wake()
        if self.failure is not None and self._syncing_since is None:
            self.failure = await self.probe()

    async def probe(self) -> OSError | None:
        """Find out what keeps the log from being written, None where nothing does."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._log.probe)
        except OSError as error:
            return error
        return None

    async def close(self) -> None:
        """Make everything durable and close the open segment."""
        self._log.finish()
        end = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        self._wake()
        await end
        self._thread.shutdown()

    def _wake(self) -> None:
        """See to it that what waits is synced, together with all that is written in this turn of the event loop."""
        if not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Hand the thread what there is to do, and rest where there is nothing."""
        loop, finished = asyncio.get_running_loop(), self._log.take_finished()
        self._syncing, self._waiting = self._waiting, []
        if self._syncing:
            self._syncing_since = self._waiting_since
        elif not finished:
            self._is_busy = False
            ends, self._ends = self._ends, []
            for end in ends:
                if not end.done():
                    end.set_result(None)
            return
        self._watch()
        self._thread.submit(self._work, loop, {segment for segment, _ in self._syncing}, finished)

    def _work(
        self, loop: asyncio.AbstractEventLoop, segments: set[SegmentFile], finished: Sequence[SegmentFile]
    ) -> None:
        """Sync segments, and close those that are finished; runs on the thread."""
        try:
            failures = _sync_all(segments)
            if finished:
                # Whoever waited for a line need not wait for a segment's closing too.
                loop.call_soon_threadsafe(self._close_behind, failures)
                failures = {}
                _close_all(finished)
        except Exception as error:
            # The thread's boundary: whatever it was, nobody may be left waiting for what will not come.
            _log.exception("event log failed")
            failures = {segment: OSError(None, f"the event log failed: {error!r}") for segment in segments}
        loop.call_soon_threadsafe(self._go_on, failures)

    def _close_behind(self, failures: dict[SegmentFile, OSError]) -> None:
        self._settle(failures)
        self._watch()

    def _go_on(self, failures: dict[SegmentFile, OSError]) -> None:
        self._settle(failures)
        self._begin()

    def _watch(self) -> None:
        self._late = asyncio.get_running_loop().call_later(self._budget_seconds, self._give_up)

    def _settle(self, failures: dict[SegmentFile, OSError]) -> None:
        """Tell those who waited for a sync what came of it."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        synced, self._syncing, self._syncing_since = self._syncing, [], None
        self._tell(synced, failures)

    def _give_up(self) -> None:
        """Tell those who have waited too long so, and all behind them; the disk is waited for all the same."""
        slow = TimeoutError(None, f"the disk took more than {self._budget_seconds:g} seconds")
        late = self._syncing + self._waiting
        self._tell(late, {segment: slow for segment, _ in late})
        self._watch()  # who comes while it still hangs waits no longer than these

    def _tell(self, waiting: _Waiting, failures: dict[SegmentFile, OSError]) -> None:
        self.failure = next(iter(failures.values()), self.failure)
        for segment in failures:
            self._log.drop(segment)
        # Lines that were written while a sync failed share its fate: the kernel has forgotten what it could not write,
        # and a second sync of the same file would call it durable.
        late = [each for each in self._waiting if each[0] in failures]
        self._waiting = [each for each in self._waiting if each[0] not in failures]
        for segment, durable in (*waiting, *late):
            if durable is None or durable.done():
                continue  # nobody waits: durability is batched, or the request was cancelled
            if segment in failures:
                durable.set_exception(failures[segment])
            else:
                durable.set_result(None)


def _sync_all(segments: set[SegmentFile]) -> dict[SegmentFile, OSError]:
    failures = {}
    for segment in segments:
        try:
            segment.sync()
        except OSError as error:
            failures[segment] = error
    return failures


def _close_all(segments: Sequence[SegmentFile]) -> None:
    for segment in segments:
        try:
            segment.close()
        except OSError as error:
            # Its acknowledged lines are on disk already: a recovery closes it under its right name.
            _log.error("segment not closed", segment=str(segment.path), error=str(error))
