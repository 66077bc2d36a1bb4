"""Training never learns around a gap, is never stopped by one that does not matter, and everybody is told of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.error import NotReadyError
from models.interval import Interval
from pipelines.doctor import Finding, examine
from pipelines.ingest import ingest
from pipelines.settings import Settings
from pipelines.status import status
from pipelines.training import choose_as_of
from pipelines.watermark import find_gaps, mark_refreshed, refreshed_through
from tests.pipelines.event_log import DAY, NEXT, impression, write_segment

START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, training_window_days=28)


def day(number: int) -> Interval:
    return Interval(START + timedelta(days=number), START + timedelta(days=number + 1))


def refresh(settings: Settings, *days: int) -> None:
    for number in days:
        mark_refreshed(settings, day(number))


def online_store(settings: Settings) -> Finding:
    (found,) = (each for each in examine(settings).findings if each.what == "online store")
    return found


def test_an_old_log_beside_a_young_one_does_not_hold_training_back(settings: Settings) -> None:
    refresh(settings, *range(-2540, -2533), 0, 1, 2)
    assert refreshed_through(settings) == choose_as_of(settings) == day(2).end_at
    assert choose_as_of(settings, day(-2534).end_at) == day(-2534).end_at
    assert status(settings).gap is None
    assert online_store(settings).ok


def test_a_missed_interval_in_the_window_is_refused_by_name_everywhere(settings: Settings) -> None:
    refresh(settings, 0, 1, 4, 5, 7)
    assert find_gaps(settings) == [Interval(day(2).start_at, day(3).end_at), day(6)]
    assert refreshed_through(settings) == day(1).end_at
    named = "from 2026-11-03T00:00:00 to 2026-11-05T00:00:00 UTC, nor in 1 later gaps"
    with pytest.raises(NotReadyError, match=named):
        choose_as_of(settings)
    found = status(settings)
    assert found.gap is not None
    assert named in found.gap
    assert found.gap.endswith("marquee backfill --from 2026-11-03T00:00:00 --to 2026-11-09T00:00:00")
    assert (online_store(settings).ok, online_store(settings).detail) == (False, found.gap)
    refresh(settings, 2, 3, 6)
    assert choose_as_of(settings) == day(7).end_at


def test_a_gap_counts_as_of_a_moment_as_long_as_the_window_reaches_back_to_it(settings: Settings) -> None:
    refresh(settings, 0, *range(2, 40))
    assert choose_as_of(settings) == day(39).end_at
    assert choose_as_of(settings, day(0).end_at) == day(0).end_at
    with pytest.raises(NotReadyError, match="from 2026-11-02T00:00:00 to 2026-11-03"):
        choose_as_of(settings, day(5).end_at)
    with pytest.raises(NotReadyError, match="from 2026-11-02T00:00:00 to 2026-11-03"):
        choose_as_of(settings, day(1).end_at)


def test_the_status_counts_quarantined_rows_by_reason(settings: Settings) -> None:
    unknown = [impression(f"d{number}", DAY.start_at) for number in range(3)]
    write_segment(settings.events_dir, unknown, extra=b"nonsense\n[]\n")
    write_segment(settings.events_dir, [impression("e", NEXT.start_at)])
    for interval in (DAY, NEXT):
        ingest(settings, interval)
    found = status(settings)
    assert found.n_quarantined == {"malformed": 2, "unknown_decision": 4}
    assert found.tables["quarantine"] == 2
