"""Waits that may take so long and no longer, all under one timer: a timer of its own costs more than a short wait."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import TypeVar

_Found = TypeVar("_Found")


class _Wait:
    """One wait: the task that waits while it does, and whether it was told that it waits too long."""

    __slots__ = ("due", "is_late", "task")

    def __init__(self, due: float, task: "asyncio.Task[object]") -> None:
        self.due, self.is_late = due, False
        self.task: asyncio.Task[object] | None = task


class Deadline:
    """As `asyncio.timeout`, for many waits of the same length on one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: deque[_Wait] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait_for(self, found: Awaitable[_Found]) -> _Found:
        """Wait in the task that asks.

        Raises:
            TimeoutError: if it takes longer.
        """
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("only tasks can wait")
        loop, was_cancelling = task.get_loop(), task.cancelling()
        wait = _Wait(loop.time() + self._seconds, task)
        self._waits.append(wait)
        if self._timer is None:
            self._timer = loop.call_at(wait.due, self._expire)
        try:
            return await found
        except asyncio.CancelledError:
            # Whoever else cancelled the task meanwhile is obeyed.
            if wait.is_late and task.uncancel() <= was_cancelling:
                raise TimeoutError from None
            raise
        finally:
            wait.task = None

    def _expire(self) -> None:
        """Tell those who wait too long, and look again when the next would; they are due in the order of waiting."""
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        while self._waits and (self._waits[0].task is None or self._waits[0].due <= now):
            wait = self._waits.popleft()
            if wait.task is not None:
                wait.is_late = True
                wait.task.cancel()
        if self._waits:
            self._timer = loop.call_at(self._waits[0].due, self._expire)
