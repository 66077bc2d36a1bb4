"""What waiting requests hear of a disk that hangs, and who else waits: nobody."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import repeat
from pathlib import Path

import pytest
import uvloop

from serving import segment_file
from serving.event_log import EventLog
from serving.group_commit import GroupCommit
from tests.serving.event_log_case import impression
from tests.serving.example import NOW, logged_events


def hanging_sync(gates: Iterator[threading.Event]) -> Callable[[int], None]:
    """Make a sync of a file that waits for the next gate each time, and for nothing once there is none left."""
    real = segment_file._sync_file

    def hang(descriptor: int) -> None:
        if (gate := next(gates, None)) is not None:
            gate.wait(20)
        real(descriptor)

    return hang


async def until_well(log: GroupCommit) -> None:
    async with asyncio.timeout(10):
        while log.failure is not None:
            await log.tick(NOW)
            await asyncio.sleep(0.01)


def test_a_disk_that_hangs_is_given_up_after_the_budget_and_used_again_when_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    async def append_all() -> None:
        loop = asyncio.get_running_loop()
        log = GroupCommit(EventLog(tmp_path), budget_ms=50)
        monkeypatch.setattr(segment_file, "_sync_file", hanging_sync(repeat(gate)))
        began = loop.time()
        outcomes = await asyncio.gather(*(log.append([impression(n)], NOW) for n in range(3)), return_exceptions=True)
        with pytest.raises(OSError, match="disk took more"):
            await log.append([impression(3)], NOW)
        assert loop.time() - began < 5
        assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
        assert log.lag_seconds() >= 0.05
        await log.tick(NOW)
        assert log.failure is not None, "a disk that still hangs is not well"
        gate.set()
        await until_well(log)
        await log.append([impression(4)], NOW)
        assert log.lag_seconds() == 0.0
        await log.close()

    asyncio.run(append_all())
    # What was written before the disk hung is in the log all the same; what came while it did was never written.
    assert logged_events(tmp_path) == [impression(n) for n in (0, 1, 2, 4)]


def test_a_closing_that_hangs_is_given_up_after_the_budget_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, is_closing, real = threading.Event(), threading.Event(), segment_file.close_as

    def hanging(path: Path, name: str) -> Path:
        is_closing.set()
        goes_on.wait(20)
        return real(path, name)

    monkeypatch.setattr(segment_file, "close_as", hanging)

    async def wait() -> None:
        log = GroupCommit(EventLog(tmp_path, segment_seconds=1), budget_ms=200)
        await log.append([impression(1)], NOW)
        await log.tick(NOW + timedelta(seconds=2))
        await asyncio.to_thread(is_closing.wait, 10)
        await asyncio.sleep(0.3)  # the first budget is over, and nobody waited
        with pytest.raises(TimeoutError, match="the disk took more than"):
            await asyncio.wait_for(log.append([impression(2)], NOW + timedelta(seconds=2)), 5)
        await asyncio.wait_for(log.tick(NOW + timedelta(seconds=3)), 5)
        assert log.failure is not None
        assert log.lag_seconds() > 0.2
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(log.close(), 0.1)
        goes_on.set()
        await asyncio.wait_for(log.close(), 5)

    asyncio.run(wait())
    assert impression(1) in logged_events(tmp_path)


def test_lines_that_waited_behind_others_wait_no_longer_than_the_budget_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = threading.Event()
    gates = iter((first, threading.Event()))

    async def append_all() -> None:
        loop = asyncio.get_running_loop()
        log = GroupCommit(EventLog(tmp_path), budget_ms=3_000)
        monkeypatch.setattr(segment_file, "_sync_file", hanging_sync(gates))
        before = asyncio.ensure_future(log.append([impression(1)], NOW))
        await asyncio.sleep(0.1)
        began = loop.time()
        behind = asyncio.ensure_future(log.append([impression(2)], NOW))
        await asyncio.sleep(2.5)
        first.set()
        await before
        with pytest.raises(TimeoutError, match="disk took more"):
            await behind
        assert loop.time() - began < 4.5, "a budget of its own from then on would be five and a half seconds"

    asyncio.run(append_all())


def test_a_write_that_hangs_holds_up_nobody_but_those_who_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = threading.Event(), os.write

    def hanging(descriptor: int, data: bytes) -> int:
        gate.wait(20)
        return real(descriptor, data)

    async def append_all() -> None:
        loop = asyncio.get_running_loop()
        log = GroupCommit(EventLog(tmp_path), budget_ms=200)
        began = loop.time()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", hanging)
            waiting = asyncio.ensure_future(log.append([impression(1)], NOW))
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert loop.time() - began < 5, "the event loop goes on"
            behind = asyncio.ensure_future(log.append([impression(2)], NOW))
            outcomes = await asyncio.gather(waiting, behind, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 2
            assert log.lag_seconds() >= 0.2
            gate.set()
        await until_well(log)
        await log.append([impression(3)], NOW)
        await log.close()

    asyncio.run(append_all())
    assert logged_events(tmp_path) == [impression(1), impression(3)], "who had not begun to be written never is"


def test_of_a_disk_that_hangs_only_one_thing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, n_probes, real = threading.Event(), 0, EventLog.probe

    def hanging(log: EventLog) -> None:
        nonlocal n_probes
        n_probes += 1
        gate.wait(20)
        real(log)

    async def probe() -> None:
        log = GroupCommit(EventLog(tmp_path), budget_ms=20)
        monkeypatch.setattr(EventLog, "probe", hanging)
        for _ in range(5):
            assert isinstance(await log.probe(), TimeoutError)
        gate.set()
        assert await asyncio.wait_for(log.probe(), 5) is None
        assert n_probes == 1
        await log.close()

    asyncio.run(probe())


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_was_held_up_does_not_blame_the_disk(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def hold_up() -> None:
        log = GroupCommit(EventLog(tmp_path), budget_ms=200)
        await log.append([impression(0)], NOW)
        for n in range(1, 4):
            waiting = asyncio.ensure_future(log.append([impression(n)], NOW))
            await asyncio.sleep(0.001)
            time.sleep(0.5)
            await waiting
        await log.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(hold_up())
    assert logged_events(tmp_path) == [impression(n) for n in range(4)]


def test_who_comes_late_in_a_long_closing_has_a_budget_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, is_closing = threading.Event(), threading.Event()
    real = segment_file._sync_file

    def slow(descriptor: int) -> None:
        is_closing.set()
        gate.wait(20)
        real(descriptor)

    async def come_late() -> None:
        log = GroupCommit(EventLog(tmp_path, segment_seconds=1), budget_ms=2_000)
        await log.append([impression(1)], NOW)
        monkeypatch.setattr(segment_file, "_sync_file", slow)
        await log.tick(NOW + timedelta(seconds=1))
        await asyncio.to_thread(is_closing.wait, 20)
        await asyncio.sleep(1.5)
        late = asyncio.ensure_future(log.append([impression(2)], NOW + timedelta(seconds=1)))
        await asyncio.sleep(1.0)
        assert not late.done(), "the disk's budget is over, and not this one's"
        gate.set()
        await late
        assert log.failure is None
        await log.close()

    asyncio.run(come_late())
    assert logged_events(tmp_path) == [impression(1), impression(2)]
