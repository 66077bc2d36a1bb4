"""Blocking steps beside the event loop, on threads that the end of the process does not wait for.

asyncio's own threads are joined at the end, and so are those of a pool: a store that hangs would keep a scorer alive
that was told to end.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

import structlog

_log = structlog.get_logger(__name__)


class Background:
    """Does steps by name, of each name one at a time; may be used on one event loop."""

    def __init__(self) -> None:
        self._doing: dict[str, asyncio.Future[None]] = {}

    def begin(self, name: str, step: Callable[[], object]) -> "asyncio.Future[None]":
        """Begin a step, unless one of its name is still under way; returns what is done when that is over.

        What a step raises is logged and ends with it.
        """
        doing = self._doing.get(name)
        if doing is None or doing.done():
            loop = asyncio.get_running_loop()
            doing = self._doing[name] = loop.create_future()
            try:
                Thread(target=_run, args=(step, loop, doing), name=name, daemon=True).start()
            except RuntimeError:
                # No more threads, for now: a step that was never begun must not keep the next of its name from it.
                _log.exception("background step not begun", of=name)
                doing.set_result(None)
        return doing

    async def do(self, name: str, step: Callable[[], object]) -> None:
        """Begin a step as `begin` does, and wait until it is over."""
        await asyncio.wait([self.begin(name, step)])

    async def settle(self, within_seconds: float) -> None:
        """Wait for what is under way, but not for what hangs."""
        if doing := [each for each in self._doing.values() if not each.done()]:
            await asyncio.wait(doing, timeout=within_seconds)


def _run(step: Callable[[], object], loop: asyncio.AbstractEventLoop, doing: "asyncio.Future[None]") -> None:
    try:
        step()
    except BaseException:
        # The boundary of a thread: whoever waits for the step goes on, whatever a store or a file did to it, be it what
        # ends other programs, as a panic of a client's Rust does.
        _log.exception("background step failed")
    with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
        loop.call_soon_threadsafe(doing.set_result, None)
