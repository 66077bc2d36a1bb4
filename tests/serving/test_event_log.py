import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from models.event import encode_lines
from models.interval import Interval
from models.segment import Segment, find_segments
from serving.event_log import EventLog
from tests.serving.event_log_case import impression
from tests.serving.example import NOW, hours, logged_events


def test_events_are_readable_as_soon_as_they_are_appended_and_keep_their_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    events = [impression(n) for n in range(5)]
    log.append(events[:2], at=NOW)
    log.append(events[2:], at=NOW)
    assert logged_events(tmp_path) == events
    assert [segment.closed_at for segment in find_segments(tmp_path)] == [None]
    closed = log.rotate()
    assert [segment.path for segment in find_segments(tmp_path)] == [closed]
    assert logged_events(tmp_path) == events


def test_segments_are_named_by_the_times_of_their_lines_not_by_the_wall_clock(tmp_path: Path) -> None:
    log = EventLog(tmp_path, sync=False)
    log.append([impression(1)], at=NOW)
    log.append([impression(2, 90)], at=NOW + timedelta(seconds=90))
    path = log.rotate()
    assert path is not None
    assert Segment.at(path) == Segment(path, NOW, NOW + timedelta(seconds=90))
    assert Segment.at(path).may_hold(Interval(NOW, NOW + hours(1)))
    assert not Segment.at(path).may_hold(Interval(NOW + hours(1), NOW + hours(2)))


def test_a_segment_is_closed_at_its_age(tmp_path: Path) -> None:
    log = EventLog(tmp_path, segment_seconds=10)
    for second in (0, 9.999, 10, 15, 25):
        log.append([impression(1, second)], at=NOW + timedelta(seconds=second))
    log.close()
    found = [(s.opened_at - NOW, s.closed_at - NOW) for s in find_segments(tmp_path) if s.closed_at]
    assert [(a.total_seconds(), b.total_seconds()) for a, b in found] == [(0, 9.999), (10, 15), (25, 25)]


def test_a_segment_is_closed_at_its_size(tmp_path: Path) -> None:
    size = len(encode_lines([impression(1)]))
    log = EventLog(tmp_path, segment_bytes=3 * size)
    for n in range(7):
        log.append([impression(n)], at=NOW + timedelta(seconds=n))
    assert sorted(path.stat().st_size // size for path in tmp_path.glob("*.jsonl")) == [3, 3]
    assert len(list(tmp_path.glob("*.open"))) == 1
    log.close()
    assert len(logged_events(tmp_path)) == 7


def test_a_clock_that_is_set_back_opens_a_segment_of_its_own(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append([impression(1)], at=NOW)
    log.append([impression(2)], at=NOW - hours(1))
    log.close()
    assert [segment.opened_at for segment in find_segments(tmp_path)] == [NOW - hours(1), NOW]


def test_times_never_go_back_within_a_segment(tmp_path: Path) -> None:
    log, seconds = EventLog(tmp_path), (0, 5, 2, 6, 6)
    for n, second in enumerate(seconds):
        log.append([impression(n)], at=NOW + timedelta(seconds=second))
    log.close()
    spans = [(found.opened_at, found.closed_at) for found in find_segments(tmp_path)]
    assert spans == [
        (NOW, NOW + timedelta(seconds=5)),
        (NOW + timedelta(seconds=2), NOW + timedelta(seconds=6)),
    ]


def test_parts_of_several_moments_lie_where_their_own_moments_say(tmp_path: Path) -> None:
    log = EventLog(tmp_path, segment_seconds=10)
    log.append_parts((encode_lines([impression(n)]), NOW + timedelta(seconds=8 * n)) for n in range(3))
    log.close()
    spans = [(found.opened_at - NOW, found.closed_at - NOW) for found in find_segments(tmp_path) if found.closed_at]
    assert [(a.total_seconds(), b.total_seconds()) for a, b in spans] == [(0, 8), (16, 16)]
    assert logged_events(tmp_path) == [impression(n) for n in range(3)]


def test_nothing_is_left_of_a_log_that_was_never_written(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    assert log.rotate() is None
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_no_part_of_its_lines_and_later_writes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(tmp_path)
    log.append([impression(1)], at=NOW)
    real = os.write

    def torn(descriptor: int, data: memoryview) -> int:
        if len(data) > 20:
            return real(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", torn)
        with pytest.raises(OSError, match="No space left"):
            log.append([impression(2)], at=NOW)
    log.append([impression(3)], at=NOW)
    log.close()
    assert logged_events(tmp_path) == [impression(1), impression(3)]
    assert not list(tmp_path.glob("*.open"))


def test_a_directory_that_cannot_be_made_is_an_error_and_not_a_loss(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file is in the way")
    log = EventLog(tmp_path / "events")
    with pytest.raises(OSError, match="events"):
        log.append([impression(1)], at=NOW)
    with pytest.raises(OSError, match="events"):
        log.probe()
    (tmp_path / "events").unlink()
    log.probe()
    log.append([impression(1)], at=NOW)
    assert logged_events(tmp_path / "events") == [impression(1)]


def test_a_writer_name_that_is_not_unique_never_overwrites(tmp_path: Path) -> None:
    for n in range(2):
        log = EventLog(tmp_path, writer="same")
        if n == 0:
            log.append([impression(n)], at=NOW)
            log.close()
        else:
            log.append([impression(n)], at=NOW)
            with pytest.raises(FileExistsError):
                log.close()
    assert impression(0) in logged_events(tmp_path)
