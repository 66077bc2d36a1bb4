"""Background steps: whatever ends one, the next of its name can begin."""

import asyncio
import threading

import pytest

from serving.background import Background


def test_a_step_for_which_there_is_no_thread_is_over_and_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def do() -> None:
        background = Background()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            await asyncio.wait_for(background.do("policy", lambda: done.append("never")), 5)
        await asyncio.wait_for(background.do("policy", lambda: done.append("again")), 5)

    asyncio.run(do())
    assert done == ["again"]


@pytest.mark.parametrize("error", [ValueError("a store"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_step_raises_it_is_over_and_the_next_begins(error: BaseException) -> None:
    done: list[str] = []

    def fail() -> None:
        raise error

    async def do() -> None:
        background = Background()
        await asyncio.wait_for(background.do("catalogue", fail), 5)
        await asyncio.wait_for(background.do("catalogue", lambda: done.append("again")), 5)
        await background.settle(1)

    asyncio.run(do())
    assert done == ["again"]
