"""A log whose folder is lost, whose disk is nearly full or whose closing fails acknowledges nothing that is lost."""

import asyncio
import errno
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from models.event import encode_lines
from serving import segment_file
from serving.event_log import EventLog
from serving.group_commit import GroupCommit
from serving.settings import Durability
from tests.serving.event_log_case import impression
from tests.serving.example import NOW, logged_events
from tests.serving.small_disk import small_disk


@pytest.mark.parametrize("is_moved", [False, True], ids=["removed", "moved"])
def test_a_folder_that_is_gone_is_told_and_made_anew(tmp_path: Path, is_moved: bool) -> None:
    folder = tmp_path / "events"

    async def append_all() -> None:
        log = GroupCommit(EventLog(folder))
        await log.append([impression(1)], NOW)
        if is_moved:
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)
        with pytest.raises(OSError, match="removed or moved"):
            await log.append([impression(2)], NOW)
        assert log.failure is not None
        await log.tick(NOW)
        assert log.failure is None
        await log.append([impression(3)], NOW)
        await log.close()

    asyncio.run(append_all())
    assert logged_events(folder) == [impression(3)]


def test_a_disk_with_room_for_less_than_was_refused_is_not_well(tmp_path: Path) -> None:
    many = [impression(n) for n in range(500)]

    async def append_all(disk: Path) -> None:
        log = GroupCommit(EventLog(disk / "events"))
        await log.append([impression(0)], NOW)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            file.write(bytes(free - 20 * 1024))
        with pytest.raises(OSError, match="No space left"):
            await log.append(many, NOW)
        for _ in range(3):
            await log.tick(NOW)
            assert log.failure is not None
            assert log.failure.errno == errno.ENOSPC
        ballast.unlink()
        await log.tick(NOW)
        assert log.failure is None
        await log.append(many, NOW)
        await log.close()

    with small_disk(tmp_path / "disk") as disk:
        asyncio.run(append_all(disk))
        assert logged_events(disk / "events") == [impression(0), *many]


def test_a_disk_with_room_for_the_first_of_what_was_refused_and_no_more_is_not_well(tmp_path: Path) -> None:
    part = [impression(n) for n in range(100)]

    async def append_all(disk: Path) -> None:
        log = GroupCommit(EventLog(disk / "events"))
        await log.append([impression(0)], NOW)
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            n_bytes = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            ballast.write(bytes(n_bytes))
            refused = await asyncio.gather(*(log.append(part, NOW) for _ in range(10)), return_exceptions=True)
            assert [type(each) for each in refused] == [OSError] * 10
            ballast.truncate(n_bytes - 3 * len(encode_lines(part)))
            await log.tick(NOW)
            assert log.failure is not None
            ballast.truncate(0)
            await log.tick(NOW)
            assert log.failure is None
        await log.close()

    with small_disk(tmp_path / "disk") as disk:
        asyncio.run(append_all(disk))


def test_a_disk_that_finds_out_at_the_sync_that_it_is_full_is_not_well_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, real, real_probe = [impression(n) for n in range(500)], segment_file._sync_file, os.fsync

    def refuse(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 20 * 1024:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_probe(descriptor)

    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path))
        with monkeypatch.context() as patch:
            patch.setattr(segment_file, "_sync_file", refuse)
            patch.setattr(os, "fsync", refuse)
            with pytest.raises(OSError, match="No space left"):
                await log.append(many, NOW)
            for _ in range(3):
                await log.tick(NOW)
                assert log.failure is not None
                assert log.failure.errno == errno.ENOSPC
        assert segment_file._sync_file is real
        await log.tick(NOW)
        assert log.failure is None
        await log.close()

    asyncio.run(append_all())


def test_a_sync_that_fails_while_a_segment_is_closed_is_told_where_nothing_synced_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def append_all() -> None:
        log = GroupCommit(EventLog(tmp_path, segment_bytes=1), durability=Durability.BATCHED)
        with monkeypatch.context() as patch:
            patch.setattr(segment_file, "_sync_file", fail)
            await log.append([impression(1)], NOW)
            async with asyncio.timeout(10):
                while log.failure is None:
                    await asyncio.sleep(0.01)
        assert log.failure.errno == errno.EIO
        await log.tick(NOW + timedelta(seconds=1))
        assert log.failure is None
        await log.close()

    asyncio.run(append_all())


def test_every_segment_that_is_finished_is_closed_though_one_cannot_be(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    for n in range(3):
        log.write(b"{}\n", NOW + timedelta(seconds=n))
        log.finish()
    first, second, third = (segment.path for segment in log._finished)
    second.unlink()
    with pytest.raises(FileNotFoundError):
        log.close()
    assert not first.exists()
    assert not third.exists()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_folders_that_are_made_are_synced_into_those_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, real = [], segment_file.sync_directory

    def note(directory: Path) -> None:
        synced.append(directory)
        real(directory)

    monkeypatch.setattr(segment_file, "sync_directory", note)
    log = EventLog(tmp_path / "home" / "events")
    log.append([impression(1)], at=NOW)
    assert synced == [tmp_path, tmp_path / "home", tmp_path / "home" / "events"]
