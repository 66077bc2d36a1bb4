"""Who waits at the same moment is answered together, and nobody is harmed by whom they were with."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from serving.together import Together


class Doubling:
    """Answers twice what is asked, once it is let; notes the groups it was given."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        self.groups.append(list(asked))
        await self.gate.wait()
        if 13 in asked:
            raise RuntimeError("thirteen")
        return [2 * each for each in asked]


def test_what_is_asked_in_one_turn_is_one_group_and_each_has_its_own_answer() -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=8)
        assert await asyncio.gather(*map(together.ask, range(5))) == [0, 2, 4, 6, 8]
        assert doubling.groups == [[0, 1, 2, 3, 4]]
        assert await together.ask(7) == 14

    asyncio.run(run())


def test_more_than_fit_are_cut_into_groups_in_their_order() -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=3)
        assert await asyncio.gather(*map(together.ask, range(7))) == [2 * n for n in range(7)]
        assert doubling.groups == [[0, 1, 2], [3, 4, 5], [6]]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("weights", "groups"),
    [
        ([4, 4, 4, 4, 4], [[4, 4], [4, 4], [4]]),
        ([11, 1, 30, 30, 2, 2], [[11], [1], [30], [30], [2, 2]]),
        ([1] * 9, [[1] * 8, [1]]),
        ([9, 1, 10, 1, 9], [[9, 1], [10], [1, 9]]),
    ],
)
def test_a_group_is_no_heavier_than_it_may_be_and_what_is_heavier_goes_alone(weights, groups) -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=8, weigh=lambda each: each, heaviest=10)
        assert await asyncio.gather(*map(together.ask, weights)) == [2 * each for each in weights]
        assert doubling.groups == groups
        assert together._weight == 0

    asyncio.run(run())


def test_a_group_that_is_heavy_enough_waits_for_none_under_way() -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=8, weigh=lambda each: each, heaviest=10)
        doubling.gate.clear()
        waiting = []
        for each in (1, 6, 5):
            waiting.append(asyncio.create_task(together.ask(each)))
            await asyncio.sleep(0.01)
        assert doubling.groups == [[1], [6]], "five more would be too much, and wait"
        waiting[-1].cancel()
        await asyncio.sleep(0.01)
        waiting.append(asyncio.create_task(together.ask(10)))
        await asyncio.sleep(0.01)
        assert doubling.groups == [[1], [6], [10]], "who has left weighs nothing"
        doubling.gate.set()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())


def test_who_comes_later_waits_for_the_group_under_way_unless_a_group_is_full() -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=2)
        doubling.gate.clear()
        waiting = [asyncio.create_task(together.ask(0))]
        await asyncio.sleep(0.01)
        waiting.append(asyncio.create_task(together.ask(1)))
        await asyncio.sleep(0.01)
        assert doubling.groups == [[0]]
        waiting.append(asyncio.create_task(together.ask(2)))
        await asyncio.sleep(0.01)
        assert doubling.groups == [[0], [1, 2]], "what the first waits for holds no full group up"
        waiting.append(asyncio.create_task(together.ask(3)))
        await asyncio.sleep(0.01)
        assert doubling.groups == [[0], [1, 2]]
        doubling.gate.set()
        assert await asyncio.gather(*waiting) == [0, 2, 4, 6]

    asyncio.run(run())


def test_a_request_that_is_cancelled_harms_no_other() -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=8)
        early = asyncio.create_task(together.ask(0))
        others = [asyncio.create_task(together.ask(n)) for n in (1, 2)]
        await asyncio.sleep(0)
        early.cancel()
        doubling.gate.clear()
        await asyncio.sleep(0.01)
        assert doubling.groups == [[1, 2]], "who left before the group began is not in it"
        others[0].cancel()
        doubling.gate.set()
        assert await others[1] == 4
        assert others[0].cancelled()

    asyncio.run(run())


def test_an_error_reaches_everybody_of_the_group_and_nobody_else() -> None:
    async def run() -> None:
        together = Together(Doubling(), most=8)
        found = await asyncio.gather(*map(together.ask, (1, 13, 2)), return_exceptions=True)
        assert [str(each) for each in found] == ["thirteen"] * 3
        assert await together.ask(3) == 6

    asyncio.run(run())


def test_one_of_a_group_may_be_told_an_error_that_is_its_own() -> None:
    async def answer(asked: Sequence[int]) -> list[int | BaseException]:
        return [RuntimeError("thirteen") if each == 13 else 2 * each for each in asked]

    async def run() -> None:
        together = Together(answer, most=8)
        found = await asyncio.gather(*map(together.ask, (1, 13, 2)), return_exceptions=True)
        assert [found[0], str(found[1]), found[2]] == [2, "thirteen", 4]

    asyncio.run(run())


def test_a_group_runs_in_the_context_of_nobody_that_asked() -> None:
    name: ContextVar[str] = ContextVar("name")
    seen: list[str] = []

    async def answer(asked: Sequence[int]) -> Sequence[int]:
        seen.append(name.get("nobody"))
        name.set("a group of before")
        await asyncio.sleep(0.01)
        return asked

    async def run() -> None:
        together = Together(answer, most=2)

        async def ask(n: int) -> int:
            name.set(str(n))
            return await together.ask(n)

        assert await asyncio.gather(*map(ask, range(5))) == list(range(5))
        assert await asyncio.create_task(ask(5)) == 5

    asyncio.run(run())
    assert seen == ["nobody"] * 4


def test_too_few_answers_are_an_error_and_no_hanging() -> None:
    async def forgetful(asked: Sequence[int]) -> list[int]:
        return list(asked[:-1])

    async def run() -> None:
        together = Together(forgetful, most=8)
        found = await asyncio.wait_for(asyncio.gather(*map(together.ask, (1, 2)), return_exceptions=True), 5)
        assert isinstance(found[-1], ValueError)

    asyncio.run(run())


def test_a_group_that_is_cancelled_leaves_nobody_waiting() -> None:
    async def run() -> None:
        doubling = Doubling()
        together = Together(doubling, most=8)
        doubling.gate.clear()
        waiting = asyncio.create_task(together.ask(1))
        await asyncio.sleep(0.01)
        for task in together._groups:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)

    asyncio.run(run())
