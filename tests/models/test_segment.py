"""Names of event log segments."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.error import ContractError
from models.interval import Interval
from models.segment import Segment, closed_name, closed_since, find_segments, open_name

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(opened_at=MOMENTS, age=st.timedeltas(timedelta(0), timedelta(days=2)), writer=st.text("abc019_", min_size=1))
def test_a_name_gives_back_its_times(opened_at: datetime, age: timedelta, writer: str) -> None:
    closed = Segment.at(Path(closed_name(opened_at, opened_at + age, writer)))
    assert (closed.opened_at, closed.closed_at) == (opened_at, opened_at + age)
    still_open = Segment.at(Path(open_name(opened_at, writer)))
    assert (still_open.opened_at, still_open.closed_at) == (opened_at, None)


@given(opened_at=MOMENTS, age=st.timedeltas(timedelta(0), timedelta(days=2)), share=st.floats(0, 1))
def test_a_segment_may_hold_every_moment_between_its_times(opened_at: datetime, age: timedelta, share: float) -> None:
    segment = Segment.at(Path(closed_name(opened_at, opened_at + age, "w")))
    assert segment.may_hold(Interval.containing(opened_at + age * share, 1))
    assert not segment.may_hold(Interval.containing(opened_at - timedelta(hours=1), 1))
    assert not segment.may_hold(Interval.containing(opened_at + age + timedelta(hours=1), 1))


def test_an_open_segment_may_hold_anything_after_it_was_opened() -> None:
    segment = Segment.at(Path(open_name(AT, "w")))
    assert segment.may_hold(Interval.containing(AT + timedelta(days=900), 1))
    assert not segment.may_hold(Interval.containing(AT - timedelta(hours=1), 1))


@given(opened_at=MOMENTS, age=st.timedeltas(timedelta(0), timedelta(days=2)), moment=MOMENTS)
def test_names_are_told_from_those_of_segments_closed_before_a_moment_as_their_times_are(
    opened_at: datetime, age: timedelta, moment: datetime
) -> None:
    closed, still_open = closed_name(opened_at, opened_at + age, "w"), open_name(opened_at, "w")
    names = [closed, still_open, "notes.txt"]
    expected = [closed, still_open] if opened_at + age >= moment else [still_open]
    assert list(closed_since(names, moment)) == expected
    assert list(closed_since(names, opened_at + age)) == list(closed_since(names, None)) == [closed, still_open]


@pytest.mark.parametrize("name", ["x.jsonl", "20261101T120000000000Z-w.jsonl", "a-b-c.jsonl", "20261101-w.open"])
def test_another_file_is_named(name: str) -> None:
    with pytest.raises(ContractError, match=name):
        Segment.at(Path(name))


def test_segments_are_found_oldest_first_wherever_they_lie(tmp_path: Path) -> None:
    assert find_segments(tmp_path / "nowhere") == []
    (tmp_path / "obd").mkdir()
    names = [
        Path("obd") / closed_name(AT, AT + timedelta(hours=3), "b"),
        Path(open_name(AT + timedelta(hours=1), "a")),
        Path(closed_name(AT + timedelta(hours=2), AT + timedelta(hours=2), "c")),
    ]
    for name in (*names, Path("notes.txt")):
        (tmp_path / name).write_bytes(b"")
    assert [segment.path.relative_to(tmp_path) for segment in find_segments(tmp_path)] == names
