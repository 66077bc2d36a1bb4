"""Requests that are in the service at the same moment share one write to the log, and whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from serving.event_log import EventLog
from serving.features import InMemoryFeatures
from serving.request import PageRequest
from serving.scorer import Scorer
from serving.service import Service
from serving.stage import Laps, Stage
from tests.serving.example import NOW, ListedPolicies, loaded, logged_pages, settings_in

REQUESTS = [PageRequest(profile_id=f"p{n}", titles=("t0", "t1", "t2")[: 1 + n % 3], explain=True) for n in range(40)]


def _serve(home: Path, ask: Callable[[Service], Awaitable[None]]) -> None:
    ticks = iter(range(10**9))

    async def run() -> None:
        scorer = Scorer(settings_in(home), InMemoryFeatures())
        clock = lambda: NOW + timedelta(microseconds=next(ticks))  # noqa: E731
        service = Service(settings_in(home), scorer, ListedPolicies(loaded("v1")), clock=clock)
        await service.start()
        try:
            await asyncio.wait_for(ask(service), 20)
        finally:
            await service.stop()

    asyncio.run(run())


def test_pages_of_a_group_are_one_write_and_each_gets_its_own_answer(tmp_path, monkeypatch) -> None:
    writes: list[bytes] = []
    write = EventLog.write
    monkeypatch.setattr(EventLog, "write", lambda log, lines, at: writes.append(lines) or write(log, lines, at))

    async def ask(service: Service) -> None:
        laps = [Laps() for _ in REQUESTS]
        answers = await asyncio.gather(*map(service.page, REQUESTS, laps))
        for request, answer in zip(REQUESTS, answers, strict=True):
            assert [choice.title_id for choice in answer.decisions] == list(request.titles)
        assert len(writes) == 3, "forty pages, at most sixteen at once"
        pages = logged_pages(service.settings.events_dir)
        assert [page.page_id for page in pages] == [answer.page_id for answer in answers]
        assert [page.profile_id for page in pages] == [request.profile_id for request in REQUESTS]
        assert len({page.decided_at for page in pages}) == 3, "a group has one moment"
        for each in laps:
            assert set(each.seconds) >= {Stage.FEATURES, Stage.SCORE, Stage.DRAW, Stage.LOG}
            assert min(each.seconds.values()) >= 0.0
        n_live = service.metrics.registry.get_sample_value("marquee_decisions_total", {"intent": "live"})
        assert n_live == sum(len(request.titles) for request in REQUESTS)

    _serve(tmp_path, ask)


def test_where_the_log_fails_every_page_of_the_group_is_answered_unlearned(tmp_path, monkeypatch) -> None:
    async def ask(service: Service) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(EventLog, "write", full)
        answers = await asyncio.gather(*map(service.page, REQUESTS))
        assert all(answer.unlogged for answer in answers)
        assert {choice.intent for answer in answers for choice in answer.decisions} == {"fallback:log_unwritable"}
        assert len({answer.page_id for answer in answers}) == len(REQUESTS)
        assert service.metrics.registry.get_sample_value("marquee_log_failures_total") == len(REQUESTS)
        assert not logged_pages(service.settings.events_dir)

    _serve(tmp_path, ask)


def test_a_bug_within_a_group_is_told_to_each_and_the_next_group_is_served(tmp_path, monkeypatch) -> None:
    async def ask(service: Service) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as broken:
            broken.setattr(service.scorer, "choose_all", fail)
            found = await asyncio.gather(*map(service.page, REQUESTS), return_exceptions=True)
            assert [str(each) for each in found] == ["a bug"] * len(REQUESTS)
        assert (await service.page(REQUESTS[0])).decisions

    _serve(tmp_path, ask)


def test_a_request_that_is_cancelled_while_its_group_is_logged_harms_no_other(tmp_path) -> None:
    async def ask(service: Service) -> None:
        tasks = [asyncio.create_task(service.page(request)) for request in REQUESTS[:4]]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[1], asyncio.CancelledError)
        logged = {page.page_id for page in logged_pages(service.settings.events_dir)}
        assert logged >= {answers[place].page_id for place in (0, 2, 3)}
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]

    _serve(tmp_path, ask)
