import asyncio
import errno
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from models.error import ContractError
from models.event import Impression, encode_lines
from models.interval import Interval
from models.segment import Segment, find_segments, open_name
from serving import segment_file
from serving.event_log import EventLog
from serving.event_recovery import recover
from serving.group_commit import GroupCommit
from serving.settings import Durability
from tests.serving.example import NOW, hours, logged_events


def _impression(n: int, after_seconds: float = 0.0) -> Impression:
    at = NOW + timedelta(seconds=after_seconds)
    return Impression(decision_id=f"d{n}", seen_at=at, received_at=at)


def _fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_events_are_readable_as_soon_as_they_are_appended_and_keep_their_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    events = [_impression(n) for n in range(5)]
    log.append(events[:2], at=NOW)
    log.append(events[2:], at=NOW)
    assert logged_events(tmp_path) == events
    assert [segment.closed_at for segment in find_segments(tmp_path)] == [None]
    closed = log.rotate()
    assert [segment.path for segment in find_segments(tmp_path)] == [closed]
    assert logged_events(tmp_path) == events


def test_segments_are_named_by_the_times_of_their_lines_not_by_the_wall_clock(tmp_path: Path) -> None:
    log = EventLog(tmp_path, sync=False)
    log.append([_impression(1)], at=NOW)
    log.append([_impression(2, 90)], at=NOW + timedelta(seconds=90))
    path = log.rotate()
    assert path is not None
    assert Segment.at(path) == Segment(path, NOW, NOW + timedelta(seconds=90))
    assert Segment.at(path).may_hold(Interval(NOW, NOW + hours(1)))
    assert not Segment.at(path).may_hold(Interval(NOW + hours(1), NOW + hours(2)))


def test_a_segment_is_closed_at_its_age(tmp_path: Path) -> None:
    log = EventLog(tmp_path, segment_seconds=10)
    for second in (0, 9.999, 10, 15, 25):
        log.append([_impression(1, second)], at=NOW + timedelta(seconds=second))
    log.close()
    found = [(s.opened_at - NOW, s.closed_at - NOW) for s in find_segments(tmp_path) if s.closed_at]
    assert [(a.total_seconds(), b.total_seconds()) for a, b in found] == [(0, 9.999), (10, 15), (25, 25)]


def test_a_segment_is_closed_at_its_size(tmp_path: Path) -> None:
    size = len(encode_lines([_impression(1)]))
    log = EventLog(tmp_path, segment_bytes=3 * size)
    for n in range(7):
        log.append([_impression(n)], at=NOW + timedelta(seconds=n))
    assert sorted(path.stat().st_size // size for path in tmp_path.glob("*.jsonl")) == [3, 3]
    assert len(list(tmp_path.glob("*.open"))) == 1
    log.close()
    assert len(logged_events(tmp_path)) == 7


def test_a_clock_that_is_set_back_opens_a_segment_of_its_own(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append([_impression(1)], at=NOW)
    log.append([_impression(2)], at=NOW - hours(1))
    log.close()
    assert [segment.opened_at for segment in find_segments(tmp_path)] == [NOW - hours(1), NOW]


def test_nothing_is_left_of_a_log_that_was_never_written(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    assert log.rotate() is None
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_no_part_of_its_lines_and_later_writes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(tmp_path)
    log.append([_impression(1)], at=NOW)
    real = os.write

    def torn(descriptor: int, data: memoryview) -> int:
        if len(data) > 20:
            return real(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", torn)
        with pytest.raises(OSError, match="No space left"):
            log.append([_impression(2)], at=NOW)
    log.append([_impression(3)], at=NOW)
    log.close()
    assert logged_events(tmp_path) == [_impression(1), _impression(3)]
    assert not list(tmp_path.glob("*.open"))


def test_a_directory_that_cannot_be_made_is_an_error_and_not_a_loss(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file is in the way")
    log = EventLog(tmp_path / "events")
    with pytest.raises(OSError, match="events"):
        log.append([_impression(1)], at=NOW)
    with pytest.raises(OSError, match="events"):
        log.probe()
    (tmp_path / "events").unlink()
    log.probe()
    log.append([_impression(1)], at=NOW)
    assert logged_events(tmp_path / "events") == [_impression(1)]


def test_a_writer_name_that_is_not_unique_never_overwrites(tmp_path: Path) -> None:
    for n in range(2):
        log = EventLog(tmp_path, writer="same")
        if n == 0:
            log.append([_impression(n)], at=NOW)
            log.close()
        else:
            log.append([_impression(n)], at=NOW)
            with pytest.raises(FileExistsError):
                log.close()
    assert _impression(0) in logged_events(tmp_path)


def test_recovery_leaves_a_segment_alone_while_somebody_writes_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append([_impression(1)], at=NOW)
    assert recover(tmp_path) == []
    log.append([_impression(2)], at=NOW)
    log.close()
    assert logged_events(tmp_path) == [_impression(1), _impression(2)]


@pytest.mark.parametrize("torn", [b"", b'{"kind":"impression","decision_id":"d9', b"\x00" * 300, b"{" * (2 << 20)])
def test_recovery_cuts_a_torn_line_off_and_keeps_every_whole_one(tmp_path: Path, torn: bytes) -> None:
    events = [_impression(1), _impression(2, 5)]
    folder = tmp_path / "importer"
    folder.mkdir()
    (folder / open_name(NOW, "gone")).write_bytes(encode_lines(list(events)) + torn)
    closed = recover(tmp_path)
    assert [Segment.at(path) for path in closed] == [Segment(closed[0], NOW, NOW + timedelta(seconds=5))]
    assert logged_events(tmp_path) == events
    assert recover(tmp_path) == []


def test_recovery_names_a_segment_by_its_lines_even_where_one_is_older_than_its_name(tmp_path: Path) -> None:
    (tmp_path / open_name(NOW, "gone")).write_bytes(encode_lines([_impression(1, -60)]) + b"not json\n")
    (closed,) = recover(tmp_path)
    assert Segment.at(closed).opened_at == NOW - timedelta(seconds=60)
    assert Segment.at(closed).closed_at == NOW


def test_recovery_removes_a_segment_without_a_whole_line(tmp_path: Path) -> None:
    (tmp_path / open_name(NOW, "empty")).touch()
    (tmp_path / open_name(NOW, "torn")).write_bytes(b"no newline")
    assert recover(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_recovery_names_a_file_that_is_no_segment(tmp_path: Path) -> None:
    (tmp_path / "a-stray.open").touch()
    (tmp_path / open_name(NOW, "gone")).write_bytes(encode_lines([_impression(1)]))
    with pytest.raises(ContractError, match="a-stray"):
        recover(tmp_path)
    (tmp_path / "a-stray.open").unlink()
    assert logged_events(tmp_path) == [_impression(1)], "the others are closed all the same"


def test_recovery_of_a_directory_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    assert recover(tmp_path / "none") == []


def test_two_recoveries_at_once_close_each_segment_once(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / open_name(NOW + timedelta(seconds=n), f"w{n}")).write_bytes(encode_lines([_impression(n, n)]))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.extend(recover(tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 30
    assert len(logged_events(tmp_path)) == 30


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
            written += len(encode_lines([_impression(n)]))
            mine = written
            await log.append([_impression(n)], NOW)
            assert synced_bytes >= mine, "acknowledged before the sync that covers it"

        for start in range(0, 500, 100):
            await asyncio.gather(*(one(n) for n in range(start, start + 100)))
        assert n_syncs <= 10
        await log.close()

    asyncio.run(append_all())
    assert logged_events(tmp_path) == [_impression(n) for n in range(500)]
    assert not list(tmp_path.glob("*.open"))


def test_segments_rotate_under_concurrent_appends_without_losing_a_line(tmp_path: Path) -> None:
    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path, segment_bytes=1_000, segment_seconds=5))

        async def one(n: int) -> None:
            await log.append([_impression(n)], NOW + timedelta(seconds=n / 10))

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
        await log.append([_impression(1)], NOW)
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
            patch.setattr(segment_file, "_sync_file", _fail)
            outcomes = await asyncio.gather(
                *(log.append([_impression(n)], NOW) for n in range(5)), return_exceptions=True
            )
        assert [type(outcome) for outcome in outcomes] == [OSError] * 5
        assert log.failure is not None
        await log.tick(NOW)
        assert log.failure is None
        await log.append([_impression(9)], NOW + timedelta(seconds=1))
        await log.close()

    asyncio.run(append_all())
    assert _impression(9) in logged_events(tmp_path)


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
        first = asyncio.ensure_future(log.append([_impression(1)], NOW))
        await asyncio.to_thread(is_syncing.wait, 10)
        others = [asyncio.ensure_future(log.append([_impression(n)], NOW)) for n in (2, 3)]
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
                    await log.append([_impression(n)], NOW)
                assert failed.value.errno == errno.ENOSPC
            assert n_writes == 1
        await log.tick(NOW)
        assert len(list(Path("/proc/self/fd").iterdir())) <= n_files + 1
        await log.append([_impression(7)], NOW)
        await log.close()

    asyncio.run(append_all())
    assert logged_events(tmp_path) == [_impression(7)]


def test_a_disk_that_hangs_is_given_up_after_the_budget_and_used_again_when_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = segment_file._sync_file

    def hang(descriptor: int) -> None:
        gate.wait(20)
        real(descriptor)

    async def append_all() -> None:
        loop = asyncio.get_running_loop()
        log = GroupCommit(EventLog(tmp_path), budget_ms=50)
        monkeypatch.setattr(segment_file, "_sync_file", hang)
        began = loop.time()
        outcomes = await asyncio.gather(*(log.append([_impression(n)], NOW) for n in range(3)), return_exceptions=True)
        with pytest.raises(OSError, match="disk took more"):
            await log.append([_impression(3)], NOW)
        assert loop.time() - began < 5
        assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
        assert log.lag_seconds() >= 0.05
        await log.tick(NOW)
        assert log.failure is not None, "a disk that still hangs is not well"
        gate.set()
        async with asyncio.timeout(10):
            while log.failure is not None:
                await log.tick(NOW)
                await asyncio.sleep(0.01)
        await log.append([_impression(4)], NOW)
        assert log.lag_seconds() == 0.0
        await log.close()

    asyncio.run(append_all())
    # What was written before the disk hung is in the log all the same; what came while it did was never written.
    assert logged_events(tmp_path) == [_impression(n) for n in (0, 1, 2, 4)]


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
            await log.append([_impression(n)], NOW)
        assert n_syncs == 0
        assert logged_events(tmp_path) == [_impression(n) for n in range(50)], "a killed process loses nothing"
        assert log.lag_seconds() > 0.0
        async with asyncio.timeout(10):
            while log.lag_seconds() > 0.0:
                await log.tick(NOW)
                await asyncio.sleep(0.01)
        assert n_syncs == 1
        await log.close()

    asyncio.run(append_all())
    assert not list(tmp_path.glob("*.open"))
