"""Requests that are in the service at the same moment share one write to the log, and whatever becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.kernel_shape import compiled
from models.layout import PROFILE
from serving.event_log import EventLog
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.log_setup import REQUEST_ID
from serving.lookup import Lookup
from serving.policy import LoadedPolicy
from serving.request import PageRequest
from serving.scorer import Scorer
from serving.seldom import Seldom
from serving.service import Service
from serving.stage import Laps, Stage
from tests.serving.bundle_example import tasteful
from tests.serving.example import NOW, ListedPolicies, TiltedPolicy, loaded, logged_pages, noting_logger, settings_in

REQUESTS = [PageRequest(profile_id=f"p{n}", titles=("t0", "t1", "t2")[: 1 + n % 3], explain=True) for n in range(40)]


def _serve(home: Path, ask: Callable[[Service], Awaitable[None]], features: InMemoryFeatures | None = None) -> None:
    ticks = iter(range(10**9))

    async def run() -> None:
        scorer = Scorer(settings_in(home), features or InMemoryFeatures())
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


def test_pages_of_many_titles_are_decided_by_fewer_at_once(tmp_path, monkeypatch) -> None:
    def request(n: int, n_titles: int) -> PageRequest:
        return PageRequest(profile_id=f"p{n}", titles=tuple(f"t{title}" for title in range(n_titles)))

    sizes: list[int] = []

    async def ask(service: Service) -> None:
        choose = service.scorer.choose_all
        monkeypatch.setattr(
            service.scorer, "choose_all", lambda asked, *r: sizes.append(len(asked)) or choose(asked, *r)
        )
        await asyncio.gather(*[service.page(request(n, 40)) for n in range(16)])
        await asyncio.gather(*[service.page(request(n, 300)) for n in range(5)])

    _serve(tmp_path, ask)
    assert sizes == [16, 2, 2, 1]


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


def _wild_on_large(scores: Callable[..., Any]) -> Callable[..., Any]:
    def found(kernel: Any, pages: Any) -> Any:
        if (pages.common[:, 0] > 30.0).any():
            raise TypeError("a bug")
        return scores(kernel, pages)

    return found


def _failing_on(profiles: set[str], choose: Callable[..., Any]) -> Callable[..., Any]:
    """A bug of the scorer that one of these profiles' pages brings to light, whoever is with it."""

    def fail(asked: Any, *rest: Any) -> Any:
        if any(request.profile_id in profiles for _, request in asked):
            raise MemoryError("a bug")
        return choose(asked, *rest)

    return fail


def test_a_page_that_the_scorer_stumbles_over_has_its_defaults_and_the_others_what_is_theirs(
    tmp_path, monkeypatch
) -> None:
    async def ask(service: Service) -> None:
        monkeypatch.setattr(service.scorer, "choose_all", _failing_on({"p3", "p20"}, service.scorer.choose_all))
        answers = await asyncio.gather(*map(service.page, REQUESTS))
        for request, answer in zip(REQUESTS, answers, strict=True):
            is_bad = request.profile_id in {"p3", "p20"}
            assert {choice.intent for choice in answer.decisions} == {"fallback:best_failed" if is_bad else "live"}
            if is_bad:
                told = [(each.artwork_id, each.propensity) for each in answer.decisions]
                assert told == [(f"{title}-a1", 1.0) for title in request.titles]
        logged = {page.page_id: page for page in logged_pages(service.settings.events_dir)}
        assert logged.keys() == {answer.page_id for answer in answers}, "no group was logged and decided anew"
        assert {page.policy_version for page in logged.values()} == {"v1"}

    _serve(tmp_path, ask)


def test_a_line_about_one_page_names_its_request_and_one_about_a_group_none(tmp_path, monkeypatch) -> None:
    """Under a policy that fails on one page alone, as under a kernel that a group shares."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr("serving.ladder._log", noting_logger(lines))
    monkeypatch.setattr(Seldom, "is_due", lambda *_: True)
    wild = np.zeros(len(PROFILE), dtype=np.float32)
    wild[0] = 31.0
    none = np.zeros(0, dtype=np.float32)
    rows = {f"p{n}": (ProfileFeatures(wild, none.astype(np.uint64), none, none), NOW) for n in (3, 20)}

    async def ask(service: Service) -> None:
        async def page(request: PageRequest) -> None:
            REQUEST_ID.set(request.profile_id)
            await service.page(request)

        kernel = compiled(tasteful(1), service.scorer.index.table)
        monkeypatch.setattr(type(kernel.kernel), "scores", _wild_on_large(type(kernel.kernel).scores))
        service.scorer.policy = LoadedPolicy("v2", tasteful(1), TiltedPolicy(0.5))
        await asyncio.gather(*map(page, REQUESTS))

    _serve(tmp_path, ask, InMemoryFeatures(rows))
    assert sorted((line["request_id"], line["n_pages"]) for line in lines) == [
        ("", 16), ("", 16), ("p20", 1), ("p3", 1),
    ]  # fmt: skip


def test_an_error_that_is_nobody_else_s_is_told_to_nobody_else(tmp_path, monkeypatch) -> None:
    async def ask(service: Service) -> None:
        def fail(lookup: Lookup, request: PageRequest, *_: object) -> None:
            raise RuntimeError(request.profile_id)

        with monkeypatch.context() as broken:
            broken.setattr(service.scorer, "choose_all", _failing_on({"p3"}, service.scorer.choose_all))
            broken.setattr(service.scorer, "choose_default", fail)
            found = await asyncio.gather(*map(service.page, REQUESTS), return_exceptions=True)
        assert [str(each) for each in found if isinstance(each, BaseException)] == ["p3"]
        assert (await service.page(REQUESTS[3])).decisions

    _serve(tmp_path, ask)

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
