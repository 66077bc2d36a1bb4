"""What a crash left is closed, and nothing that was whole is lost."""

import fcntl
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from models.error import ContractError
from models.event import encode_lines
from models.segment import Segment, open_name
from serving.event_log import EventLog
from serving.event_recovery import recover
from tests.serving.event_log_case import impression
from tests.serving.example import NOW, logged_events


def test_recovery_leaves_a_segment_alone_while_somebody_writes_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append([impression(1)], at=NOW)
    assert recover(tmp_path) == []
    log.append([impression(2)], at=NOW)
    log.close()
    assert logged_events(tmp_path) == [impression(1), impression(2)]


@pytest.mark.parametrize("torn", [b"", b'{"kind":"impression","decision_id":"d9', b"\x00" * 300, b"{" * (2 << 20)])
def test_recovery_cuts_a_torn_line_off_and_keeps_every_whole_one(tmp_path: Path, torn: bytes) -> None:
    events = [impression(1), impression(2, 5)]
    folder = tmp_path / "importer"
    folder.mkdir()
    (folder / open_name(NOW, "gone")).write_bytes(encode_lines(list(events)) + torn)
    closed = recover(tmp_path)
    assert [Segment.at(path) for path in closed] == [Segment(closed[0], NOW, NOW + timedelta(seconds=5))]
    assert logged_events(tmp_path) == events
    assert recover(tmp_path) == []


def test_recovery_names_a_segment_by_its_lines_even_where_one_is_older_than_its_name(tmp_path: Path) -> None:
    (tmp_path / open_name(NOW, "gone")).write_bytes(encode_lines([impression(1, -60)]) + b"not json\n")
    (closed,) = recover(tmp_path)
    assert Segment.at(closed).opened_at == NOW - timedelta(seconds=60)
    assert Segment.at(closed).closed_at == NOW


def test_recovery_removes_a_segment_without_a_whole_line(tmp_path: Path) -> None:
    (tmp_path / open_name(NOW, "empty")).touch()
    (tmp_path / open_name(NOW, "torn")).write_bytes(b"no newline")
    assert recover(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_recovery_removes_old_drafts_and_probes_of_writers_that_are_gone_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "importer"
    folder.mkdir()
    old = {name: folder / name for name in ("a.new", "held.new", "a.probe", "a.notes")}
    young = [folder / "b.new", folder / "b.probe"]
    for path in (*old.values(), *young):
        path.touch()
    for path in old.values():
        os.utime(path, (0, 0))
    with old["held.new"].open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert recover(tmp_path) == []
    assert {*folder.iterdir()} == {old["held.new"], old["a.notes"], *young}


def test_recovery_names_a_file_that_is_no_segment(tmp_path: Path) -> None:
    (tmp_path / "a-stray.open").touch()
    (tmp_path / open_name(NOW, "gone")).write_bytes(encode_lines([impression(1)]))
    with pytest.raises(ContractError, match="a-stray"):
        recover(tmp_path)
    (tmp_path / "a-stray.open").unlink()
    assert logged_events(tmp_path) == [impression(1)], "the others are closed all the same"


def test_recovery_of_a_directory_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    assert recover(tmp_path / "none") == []


def test_two_recoveries_at_once_close_each_segment_once(tmp_path: Path) -> None:
    for n in range(30):
        (tmp_path / open_name(NOW + timedelta(seconds=n), f"w{n}")).write_bytes(encode_lines([impression(n, n)]))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.extend(recover(tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 30
    assert len(logged_events(tmp_path)) == 30
