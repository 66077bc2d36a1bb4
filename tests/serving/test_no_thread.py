"""A machine that has no thread left: pages are told so at once, and all is well again when there is one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from serving import daemon_threads
from serving.event_log import EventLog
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.group_commit import LOG_FAILED, GroupCommit
from serving.lookup import BudgetedLookup
from tests.serving.event_log_case import impression
from tests.serving.example import NOW, logged_events


@contextmanager
def no_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class Unstartable(Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(daemon_threads, "Thread", Unstartable)
        yield


def test_the_log_is_not_ready_while_there_is_none_and_writes_again_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        log = GroupCommit(EventLog(tmp_path), budget_ms=20_000)
        with no_thread(monkeypatch):
            with pytest.raises(OSError, match=LOG_FAILED):
                await asyncio.wait_for(log.append([impression(1)], NOW), 5)
            await asyncio.wait_for(log.tick(NOW), 5)
            assert str(log.failure) == str(OSError(None, LOG_FAILED))
        await asyncio.wait_for(log.tick(NOW), 5)
        assert log.failure is None
        await asyncio.wait_for(log.append([impression(2)], NOW), 5)
        await asyncio.wait_for(log.close(), 5)

    asyncio.run(run())
    assert logged_events(tmp_path) == [impression(2)]


def test_a_log_that_cannot_even_begin_ends_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        log = GroupCommit(EventLog(tmp_path), budget_ms=20_000)
        with no_thread(monkeypatch):
            await asyncio.wait_for(log.close(), 5)
        with pytest.raises(OSError, match=LOG_FAILED):
            await asyncio.wait_for(log.append([impression(1)], NOW), 5)

    asyncio.run(run())


def test_a_log_that_was_closed_takes_nothing_and_may_be_closed_again(tmp_path: Path) -> None:
    async def run() -> None:
        log = GroupCommit(EventLog(tmp_path), budget_ms=20_000)
        await log.append([impression(1)], NOW)
        await log.close()
        with pytest.raises(OSError, match=LOG_FAILED):
            await asyncio.wait_for(log.append([impression(2)], NOW), 5)
        await asyncio.wait_for(log.close(), 5)

    asyncio.run(run())
    assert logged_events(tmp_path) == [impression(1)]


def test_a_page_is_decided_without_a_profile_that_no_thread_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class ByThread(InMemoryFeatures):
        def profile(self, profile_id: str, at: object) -> ProfileFeatures | None:
            return None

    async def run() -> None:
        lookup = BudgetedLookup(ByThread(), budget_ms=20_000)
        with no_thread(monkeypatch):
            assert (await asyncio.wait_for(lookup.look_up("p", NOW), 5)).failure == "features_unavailable"
        assert (await lookup.look_up("p", NOW)).failure == ""
        lookup.close()

    asyncio.run(run())
