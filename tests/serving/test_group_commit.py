"""What waiting requests share of a disk, and what reaches all of them when it fails."""

import asyncio
import errno
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from models.event import Impression, encode_lines
from serving import segment_file
from serving.event_log import EventLog
from serving.group_commit import GroupCommit
from serving.settings import Durability
from tests.serving.event_log_case import fail, impression
from tests.serving.example import NOW, logged_events


def test_many_waiting_requests_share_few_syncs_and_all_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_syncs, synced_bytes = 0, 0
    real = segment_file._sync_file

    def counting(descriptor: int) -> None:
        nonlocal n_syncs, synced_bytes
        size = os.fstat(descriptor).st_size
        real(descriptor)
        n_syncs, synced_bytes = n_syncs + 1, size

    monkeypatch.setattr(segment_file, "_sync_file", counting)

    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path))
        written = 0

        async def one(n: int) -> None:
            nonlocal written
            written += len(encode_lines([impression(n)]))
            mine = written
            await log.append([impression(n)], NOW)
            assert synced_bytes >= mine, "acknowledged before the sync that covers it"

        for start in range(0, 500, 100):
            await asyncio.gather(*(one(n) for n in range(start, start + 100)))
        assert n_syncs <= 10
        await log.close()

    asyncio.run(append_all())
    assert logged_events(tmp_path) == [impression(n) for n in range(500)]
    assert not list(tmp_path.glob("*.open"))


def test_segments_rotate_under_concurrent_appends_without_losing_a_line(tmp_path: Path) -> None:
    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path, segment_bytes=1_000, segment_seconds=5))

        async def one(n: int) -> None:
            await log.append([impression(n)], NOW + timedelta(seconds=n / 10))

        for start in range(0, 400, 40):
            await asyncio.gather(*(one(n) for n in range(start, start + 40)))
            await log.tick(NOW + timedelta(seconds=(start + 40) / 10))
        await log.close()

    asyncio.run(append_all())
    assert len(list(tmp_path.glob("*.jsonl"))) > 40
    assert not list(tmp_path.glob("*.open"))
    assert sorted(event.decision_id for event in logged_events(tmp_path) if isinstance(event, Impression)) == sorted(
        f"d{n}" for n in range(400)
    )


def test_an_idle_segment_is_closed_at_its_age(tmp_path: Path) -> None:
    async def idle() -> None:
        log = GroupCommit(EventLog(tmp_path, segment_seconds=10))
        await log.append([impression(1)], NOW)
        await log.tick(NOW + timedelta(seconds=9))
        assert list(tmp_path.glob("*.open"))
        await log.tick(NOW + timedelta(seconds=10))
        async with asyncio.timeout(10):
            while not list(tmp_path.glob("*.jsonl")):
                await asyncio.sleep(0.01)
        assert not list(tmp_path.glob("*.open"))
        await log.close()

    asyncio.run(idle())


def test_a_sync_that_fails_reaches_every_request_that_waited_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path))
        with monkeypatch.context() as patch:
            patch.setattr(segment_file, "_sync_file", fail)
            outcomes = await asyncio.gather(
                *(log.append([impression(n)], NOW) for n in range(5)), return_exceptions=True
            )
        assert [type(outcome) for outcome in outcomes] == [OSError] * 5
        assert log.failure is not None
        await log.tick(NOW)
        assert log.failure is None
        await log.append([impression(9)], NOW + timedelta(seconds=1))
        await log.close()

    asyncio.run(append_all())
    assert impression(9) in logged_events(tmp_path)


def test_lines_written_while_a_sync_fails_are_refused_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_syncs, is_syncing, may_fail = 0, threading.Event(), threading.Event()

    def fail_once(_: int) -> None:
        nonlocal n_syncs
        n_syncs += 1
        if n_syncs == 1:
            is_syncing.set()
            may_fail.wait(10)
            raise OSError(errno.EIO, "Input/output error")

    async def append_all() -> list[BaseException | None]:
        log = GroupCommit(EventLog(tmp_path))
        first = asyncio.ensure_future(log.append([impression(1)], NOW))
        await asyncio.to_thread(is_syncing.wait, 10)
        others = [asyncio.ensure_future(log.append([impression(n)], NOW)) for n in (2, 3)]
        await asyncio.sleep(0)
        may_fail.set()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
        await log.close()
        return outcomes

    monkeypatch.setattr(segment_file, "_sync_file", fail_once)
    assert [type(outcome) for outcome in asyncio.run(append_all())] == [OSError] * 3


def test_a_log_that_failed_is_not_tried_by_every_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path))
        n_writes = 0

        def full(*_: object) -> int:
            nonlocal n_writes
            n_writes += 1
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            n_files = len(list(Path("/proc/self/fd").iterdir()))
            for n in range(200):
                with pytest.raises(OSError, match="No space left") as failed:
                    await log.append([impression(n)], NOW)
                assert failed.value.errno == errno.ENOSPC
            assert n_writes == 1
        await log.tick(NOW)
        assert len(list(Path("/proc/self/fd").iterdir())) <= n_files + 1
        await log.append([impression(7)], NOW)
        await log.close()

    asyncio.run(append_all())
    assert logged_events(tmp_path) == [impression(7)]


def test_batched_events_are_answered_when_written_and_synced_by_the_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_syncs = 0
    real = segment_file._sync_file

    def counting(descriptor: int) -> None:
        nonlocal n_syncs
        n_syncs += 1
        real(descriptor)

    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path), durability=Durability.BATCHED)
        monkeypatch.setattr(segment_file, "_sync_file", counting)
        for n in range(50):
            await log.append([impression(n)], NOW)
        assert n_syncs == 0
        assert logged_events(tmp_path) == [impression(n) for n in range(50)], "a killed process loses nothing"
        assert log.lag_seconds() > 0.0
        async with asyncio.timeout(10):
            while log.lag_seconds() > 0.0:
                await log.tick(NOW)
                await asyncio.sleep(0.01)
        assert n_syncs == 1
        await log.close()

    asyncio.run(append_all())
    assert not list(tmp_path.glob("*.open"))


def test_what_nobody_foresaw_on_the_thread_is_told_to_those_who_wait_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = segment_file._sync_file

    def broken(_: int) -> None:
        raise ValueError("nobody foresaw this")

    async def go_on() -> None:
        log = GroupCommit(EventLog(tmp_path), budget_ms=20_000)
        monkeypatch.setattr(segment_file, "_sync_file", broken)
        with pytest.raises(OSError, match="the event log failed"):
            await asyncio.wait_for(log.append([impression(1)], NOW), 5)
        monkeypatch.setattr(segment_file, "_sync_file", real)
        await asyncio.wait_for(log.tick(NOW), 5)
        await asyncio.wait_for(log.append([impression(2)], NOW), 5)
        await asyncio.wait_for(log.close(), 5)

    asyncio.run(go_on())
    assert impression(2) in logged_events(tmp_path)


def test_a_sync_that_fails_when_nobody_waits_for_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick() -> None:
        log = GroupCommit(EventLog(tmp_path), durability=Durability.BATCHED)
        await log.append([impression(1)], NOW)
        with monkeypatch.context() as patch:
            patch.setattr(segment_file, "_sync_file", fail)
            await log.tick(NOW)
            async with asyncio.timeout(10):
                while log.failure is None:
                    await asyncio.sleep(0.01)
        await log.close()

    asyncio.run(tick())
