"""One timer for many waits does what a timer for each would."""

import asyncio
import time

import pytest

from serving.deadline import Deadline


def test_what_comes_in_time_is_given_and_what_does_not_is_told_so() -> None:
    async def scenario() -> list[object]:
        deadline = Deadline(0.05)
        waits = [deadline.wait_for(asyncio.sleep(seconds, seconds)) for seconds in (0.0, 0.01, 5.0, 0.02, 7.0)]
        began = time.perf_counter()
        found = await asyncio.gather(*waits, return_exceptions=True)
        assert time.perf_counter() - began < 1.0
        return found

    found = asyncio.run(scenario())
    assert [type(each) for each in found] == [float, float, TimeoutError, float, TimeoutError]


def test_each_wait_has_its_own_time_and_a_later_one_is_told_later() -> None:
    async def scenario() -> list[float]:
        deadline, late = Deadline(0.1), []

        async def late_at(start: float) -> None:
            await asyncio.sleep(start)
            began = time.perf_counter()
            with pytest.raises(TimeoutError):
                await deadline.wait_for(asyncio.Event().wait())
            late.append(time.perf_counter() - began)

        await asyncio.gather(*(late_at(0.03 * n) for n in range(5)))
        return late

    assert all(0.09 < seconds < 0.5 for seconds in asyncio.run(scenario()))


def test_a_cancelled_task_stays_cancelled_and_its_wait_troubles_nobody_later() -> None:
    async def scenario() -> bool:
        deadline = Deadline(0.02)
        task = asyncio.create_task(deadline.wait_for(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        return await deadline.wait_for(asyncio.sleep(0, True))

    assert asyncio.run(scenario())


def test_a_task_that_was_told_is_late_is_not_left_cancelled() -> None:
    async def scenario() -> int:
        deadline = Deadline(0.01)
        with pytest.raises(TimeoutError):
            await deadline.wait_for(asyncio.Event().wait())
        await asyncio.sleep(0.02)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(scenario()) == 0
