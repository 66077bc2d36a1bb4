"""Intervals of time."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.error import ContractError
from models.interval import Interval, moment_key

START = datetime(2026, 11, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
HOURS = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24])


@given(moment=MOMENTS, hours=HOURS)
def test_every_moment_lies_in_one_interval_that_its_key_gives_back(moment: datetime, hours: int) -> None:
    found = Interval.containing(moment, hours)
    assert found.start_at <= moment < found.end_at
    assert found.end_at - found.start_at == timedelta(hours=hours)
    assert Interval.containing(found.start_at, hours) == found
    assert Interval.containing(found.end_at, hours).start_at == found.end_at
    assert Interval.parse(found.key, hours) == found


@given(moment=MOMENTS, hours=HOURS)
def test_parts_tile_their_interval(moment: datetime, hours: int) -> None:
    day = Interval.containing(moment, 24)
    parts = list(day.split(hours))
    assert len(parts) == 24 // hours
    assert parts[0].start_at == day.start_at
    assert parts[-1].end_at == day.end_at
    assert all(first.end_at == second.start_at for first, second in pairwise(parts))


@given(one=MOMENTS, other=MOMENTS)
def test_keys_sort_as_time_does(one: datetime, other: datetime) -> None:
    first, second = Interval.containing(one, 1), Interval.containing(other, 1)
    assert (first < second) == (first.key < second.key)


@pytest.mark.parametrize(
    ("start_at", "end_at"),
    [
        (START, START),
        (START, START - timedelta(hours=1)),
        (START.replace(tzinfo=None), START + timedelta(hours=1)),
        (START, START.astimezone(timezone(timedelta(hours=1))) + timedelta(hours=1)),
    ],
)
def test_bounds_that_are_no_interval_are_refused(start_at: datetime, end_at: datetime) -> None:
    with pytest.raises(ContractError):
        Interval(start_at, end_at)


@pytest.mark.parametrize("moment", [START.replace(tzinfo=None), START.astimezone(timezone(timedelta(hours=2)))])
def test_a_moment_that_is_not_utc_has_no_key(moment: datetime) -> None:
    with pytest.raises(ContractError, match="must be aware UTC"):
        moment_key(moment)


@pytest.mark.parametrize("key", ["", "20261101", "20261101T000000", "20261301T000000Z", "../20261101T000000Z"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ContractError, match="interval key"):
        Interval.parse(key, 24)


@pytest.mark.parametrize("hours", [5, 48, 0, -1])
def test_hours_that_do_not_divide_an_interval_are_refused(hours: float) -> None:
    with pytest.raises(ContractError, match="divide"):
        list(Interval(START, START + timedelta(hours=24)).split(hours))
