"""Durable appends for many requests at once: they share one sync of the disk, and never the event loop's time.

Whatever touches a disk may hang with it. So one thread opens, writes, syncs and closes segments, in the order in which
lines come; all that come while it works are its next job.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic

import msgspec
import structlog

from models.event import Event, encode_lines
from serving.daemon_threads import DaemonThreads
from serving.event_log import EventLog
from serving.log_writer import LogWriter
from serving.settings import Durability

LOG_FAILED = "the event log failed"
"""What is told of an error that is none of a disk's; the log has it."""

_LOOK_SECONDS = 0.001
"""What the disk's answer is given to be heard in, where the event loop itself was held up: timers go before answers."""

_log = structlog.get_logger(__name__)


class _Write(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Lines of one moment, and who waits for them, since when by the monotonic clock."""

    lines: bytes
    at: datetime
    since: float
    logged: "asyncio.Future[None]"


class _Job(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What the thread does in one go: lines to write, the moment of a tick if there was one, and who waits for the end.

    `syncs` tells whether the disk is waited for.
    """

    writes: list[_Write]
    due_at: datetime | None
    ends: "list[asyncio.Future[None]]"
    syncs: bool


class GroupCommit:
    """The event log of an asyncio application.

    `failure` is why nothing can be logged now, None where all is well. While there is one, nothing is tried but by
    `tick`: a full disk is not asked anew by every request. Whoever was told of a failure must count the events as not
    logged. Some of them may be in the log all the same (written, but not known to be durable): a decision that nobody
    was shown, which no impression will ever name.

    Args: log, which is the thread's from now on; budget_ms, how long anybody waits for the disk until it is taken for
    failed; durability, see `Durability`; took, told how many seconds each writing of lines took, on the log's thread.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        budget_ms: float = 60_000.0,
        durability: Durability = Durability.DURABLE,
        took: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.failure: OSError | None = None
        self._budget_seconds = budget_ms / 1000
        self._waits = durability is Durability.DURABLE
        self._took = took
        self._writer = LogWriter(log)
        self._thread = DaemonThreads(1, "event-log")
        self._waiting: list[_Write] = []
        self._working: list[_Write] = []
        self._owed_since: float | None = None
        self._late: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._due_at: datetime | None = None
        self._ends: list[asyncio.Future[None]] = []
        self._probing: asyncio.Future[OSError | None] | None = None

    async def append(self, events: Sequence[Event], at: datetime) -> None:
        """Log events as `append_lines` does."""
        await self.append_lines(encode_lines(list(events)), at)

    async def append_lines(self, lines: bytes, at: datetime) -> None:
        """Log whole lines and return when they are durable; when they are written, where durability is batched.

        Nothing is awaited before the lines have their place in the log, so that `at` and their order agree.

        Raises:
            OSError: if they could not be logged; they count as not logged then.
        """
        await self.write_lines(lines, at)

    def write_lines(self, lines: bytes, at: datetime) -> "asyncio.Future[None]":
        """Log whole lines as `append_lines` does, without waiting: a future tells when they are logged, or why not.

        Raises:
            OSError: at once, where the log is known to fail.
        """
        if self.failure is not None:
            raise OSError(self.failure.errno, self.failure.strerror or str(self.failure))
        logged = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(lines, at, monotonic(), logged))
        self._wake()
        return logged

    def lag_seconds(self) -> float:
        """Tell the age of the oldest thing that the disk owes: a line, its sync, a closing; 0 where it owes none."""
        if self._owed_since is not None:
            return monotonic() - self._owed_since
        return monotonic() - self._waiting[0].since if self._waiting else 0.0

    async def tick(self, now: datetime) -> None:
        """Sync what nobody waits for, close segments of age, and find out whether a log that failed is well again."""
        self._due_at = now
        self._wake()
        if self.failure is not None:
            self.failure = await self.probe()

    async def probe(self) -> OSError | None:
        """Find out, within the budget, what keeps the log from being written, None where nothing does."""
        if self._probing is None or self._probing.done():  # of a disk that hangs only one thing is asked
            try:
                self._probing = asyncio.get_running_loop().run_in_executor(self._thread, self._writer.probe)
            except RuntimeError as error:
                return _no_thread(error)
        await asyncio.wait([self._probing], timeout=self._budget_seconds)
        return self._probing.result() if self._probing.done() else self._too_slow()

    async def close(self) -> None:
        """Make everything durable and close the open segment."""
        end = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        self._wake()
        await end
        self._thread.shutdown()

    def _wake(self) -> None:
        """See to it that what waits is done, together with all that comes in this turn of the event loop."""
        if not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Hand the thread what there is to do, and rest where there is nothing."""
        is_called = bool(self._due_at or self._ends)
        job = _Job(self._waiting, self._due_at, self._ends, syncs=self._waits or is_called)
        if not (job.writes or is_called):
            self._is_busy = False
            return
        self._waiting, self._due_at, self._ends = [], None, []
        self._working = job.writes
        if self._owed_since is None:
            self._owed_since = job.writes[0].since if job.writes else monotonic()
        self._watch()
        try:
            self._thread.submit(self._work, asyncio.get_running_loop(), job)
        except RuntimeError as error:
            failure = _no_thread(error)
            self._go_on(job, [failure] * len(job.writes), failure)

    def _work(self, loop: asyncio.AbstractEventLoop, job: _Job) -> None:
        """Do a job; runs on the thread."""
        try:
            errors, failure = self._written(job)
            if self._writer.has_finished():
                # Whoever waited for a line need not wait for a segment's closing too.
                loop.call_soon_threadsafe(self._close_behind, errors, failure)
                errors, failure = [], self._writer.close_finished()
        except Exception:
            # The thread's boundary: whatever it was, nobody may be left waiting for what will not come.
            _log.exception("event log failed")
            failure = OSError(None, LOG_FAILED)
            errors = [failure] * len(job.writes)
        loop.call_soon_threadsafe(self._go_on, job, errors, failure)

    def _written(self, job: _Job) -> tuple[list[OSError | None], OSError | None]:
        """Write and sync: what kept each of the lines out of the log, and what keeps others out, if anything."""
        if job.due_at is not None:
            self._writer.finish(job.due_at)
        began = monotonic()
        outcomes = self._writer.write((each.lines, each.at) for each in job.writes)
        unsynced = self._writer.sync() if job.syncs else {}
        if job.writes:
            self._took(monotonic() - began)
        if job.ends:
            self._writer.finish()
        errors = [each if isinstance(each, OSError) else unsynced.get(each) for each in outcomes]
        return errors, next((each for each in (*errors, *unsynced.values()) if each is not None), None)

    def _close_behind(self, errors: Sequence[OSError | None], failure: OSError | None) -> None:
        self._settle(errors, failure)
        self._watch()

    def _go_on(self, job: _Job, errors: Sequence[OSError | None], failure: OSError | None) -> None:
        self._settle(errors, failure)
        if job.syncs:
            self._owed_since = None
        for end in job.ends:
            if not end.done():
                end.set_result(None)
        self._begin()

    def _watch(self) -> None:
        """Give up when the oldest of those who wait has waited for the budget, wherever its lines are by then."""
        left = self._budget_seconds - self._waited_seconds()
        self._late = asyncio.get_running_loop().call_later(max(left, 0.0), self._look_again)

    def _waited_seconds(self) -> float:
        """Tell how long the oldest of those who wait has waited; 0 where nobody does."""
        oldest = next(iter(self._working or self._waiting), None)
        return monotonic() - oldest.since if oldest else 0.0

    def _look_again(self) -> None:
        self._late = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._give_up)

    def _settle(self, errors: Sequence[OSError | None], failure: OSError | None) -> None:
        """Tell those who waited for a job what came of it; after a failure nobody's lines are tried before a tick."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        working, self._working = self._working, []
        _tell(working, errors)
        if failure is not None:
            self._refuse(failure)

    def _give_up(self) -> None:
        """Tell who has waited too long so, and all behind; the disk is waited for all the same."""
        if self._waited_seconds() >= self._budget_seconds:
            slow = self._too_slow()
            working, self._working = self._working, []
            _tell(working, [slow] * len(working))
            self._refuse(slow)
        self._watch()  # who comes while it still hangs waits no longer than these

    def _refuse(self, failure: OSError) -> None:
        """Fail: those who wait are told so, and their lines are never written."""
        self.failure = failure
        waiting, self._waiting = self._waiting, []
        _tell(waiting, [failure] * len(waiting))

    def _too_slow(self) -> OSError:
        return TimeoutError(None, f"the disk took more than {self._budget_seconds:g} seconds")


def _no_thread(error: RuntimeError) -> OSError:
    _log.error("event log has no thread", error=str(error))
    return OSError(None, LOG_FAILED)


def _tell(writes: Sequence[_Write], errors: Sequence[OSError | None]) -> None:
    for write, error in zip(writes, errors, strict=False):  # none where they were told before
        if write.logged.done():
            continue  # the request was cancelled, or it was told that it had waited too long
        if error is not None:
            write.logged.set_exception(error)
        else:
            write.logged.set_result(None)
