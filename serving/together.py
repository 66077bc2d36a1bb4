"""Requests that wait at the same moment are answered together: what costs once for all of them is paid once."""

import asyncio
import contextvars
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


class Together(Generic[_Asked, _Answer]):
    """Groups what is asked while another group is under way; groups begin in the order of asking.

    A group that is full begins at once, so that what is slow for one group (a disk) never stops those behind it. A
    group runs in a context of nobody's: it is about none of those that asked alone.

    Args: answer, gives an answer to each of a group, in their order, or what it is to be told instead; most, how many a
    group may have; weigh, tells what one weighs; heaviest, what a group may weigh. One that is heavier goes alone.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[_Asked]], Awaitable[Sequence[_Answer | BaseException]]],
        *,
        most: int,
        weigh: Callable[[_Asked], int] = lambda _: 1,
        heaviest: int | None = None,
    ) -> None:
        self._answer = answer
        self._most = most
        self._weigh = weigh
        self._heaviest = most if heaviest is None else heaviest
        self._weight = 0
        self._is_due = False
        self._of_nobody = contextvars.Context()
        self._waiting: list[tuple[_Asked, asyncio.Future[_Answer], int]] = []
        self._groups: set[asyncio.Task[None]] = set()

    async def ask(self, asked: _Asked) -> _Answer:
        """Join the group that waits, and return this one's answer.

        Raises:
            Exception: whatever kept this one from being answered, or the group; then each of it is told.
        """
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        weight = self._weigh(asked)
        self._waiting.append((asked, answer, weight))
        self._weight += weight
        self._come_due()
        return await answer

    def _come_due(self) -> None:
        """See to it that a group begins once all that are ready in this turn of the event loop have joined it."""
        is_full = len(self._waiting) >= self._most or self._weight >= self._heaviest
        if self._waiting and not self._is_due and (not self._groups or is_full):
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin, context=self._of_nobody)

    def _begin(self) -> None:
        self._is_due = False
        # A request that was cancelled meanwhile is not decided at all.
        waiting = [each for each in self._waiting if not each[1].done()]
        n = max(bisect_right(list(accumulate([each[2] for each in waiting[: self._most]])), self._heaviest), 1)
        group, self._waiting = waiting[:n], waiting[n:]
        self._weight = sum(each[2] for each in self._waiting)
        if group:
            task = asyncio.get_running_loop().create_task(self._settle(group))  # in a copy of the context of nobody
            self._groups.add(task)
            task.add_done_callback(self._ended)
        self._come_due()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._groups.discard(task)
        self._come_due()

    async def _settle(self, group: Sequence[tuple[_Asked, "asyncio.Future[_Answer]", int]]) -> None:
        try:
            answers = await self._answer([asked for asked, _, _ in group])
            for (_, waiting, _), answer in zip(group, answers, strict=True):
                if waiting.done():
                    continue
                if isinstance(answer, BaseException):
                    waiting.set_exception(answer)
                else:
                    waiting.set_result(answer)
        except Exception as error:
            # The boundary between who asks and who answers: what is raised belongs to everybody who waits.
            for _, waiting, _ in group:
                if not waiting.done():
                    waiting.set_exception(error)
        finally:
            for _, waiting, _ in group:
                waiting.cancel()  # the group itself was cancelled: nobody is left to hang
