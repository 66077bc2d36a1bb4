"""Requests that wait at the same moment are answered together: what costs once for all of them is paid once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


class Together(Generic[_Asked, _Answer]):
    """Groups what is asked in one turn of the event loop; nobody waits for somebody who has not come yet.

    Groups are begun in the order in which they were asked, and do not wait for each other.

    Args: answer, gives an answer to each of a group, in their order; most, how many a group may have.
    """

    def __init__(self, answer: Callable[[Sequence[_Asked]], Awaitable[Sequence[_Answer]]], *, most: int) -> None:
        self._answer = answer
        self._most = most
        self._waiting: list[tuple[_Asked, asyncio.Future[_Answer]]] = []
        self._groups: set[asyncio.Task[None]] = set()

    async def ask(self, asked: _Asked) -> _Answer:
        """Join the group that waits, and return this one's answer.

        Raises:
            Exception: whatever kept the group from being answered; each of it is told.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Answer] = loop.create_future()
        if not self._waiting:
            # Whoever else is ready in this turn of the loop has joined by then.
            loop.call_soon(self._begin)
        self._waiting.append((asked, answer))
        return await answer

    def _begin(self) -> None:
        # A request that was cancelled meanwhile is not decided at all.
        waiting = [each for each in self._waiting if not each[1].done()]
        self._waiting = []
        n_groups = -(-len(waiting) // self._most)
        for number in range(n_groups):
            # One task for each: a group's work before its first wait is done before the next group's.
            group = waiting[number * len(waiting) // n_groups : (number + 1) * len(waiting) // n_groups]
            task = asyncio.get_running_loop().create_task(self._settle(group))
            self._groups.add(task)
            task.add_done_callback(self._groups.discard)

    async def _settle(self, group: Sequence[tuple[_Asked, "asyncio.Future[_Answer]"]]) -> None:
        try:
            answers = await self._answer([asked for asked, _ in group])
            for (_, waiting), answer in zip(group, answers, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)
        except Exception as error:
            # The boundary between who asks and who answers: what is raised belongs to everybody who waits.
            for _, waiting in group:
                if not waiting.done():
                    waiting.set_exception(error)
        finally:
            for _, waiting in group:
                waiting.cancel()  # the group itself was cancelled: nobody is left to hang
