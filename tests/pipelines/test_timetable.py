from datetime import UTC, datetime, timedelta

import pytest

from models.error import ContractError
from models.interval import Interval
from pipelines.cron import interval_cron
from pipelines.settings import Settings
from pipelines.timetable import timetable


@pytest.mark.parametrize("hours", [24.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.25, 1 / 6, 1 / 12])
def test_cron_fires_at_every_boundary_of_an_interval_and_never_between(hours: float) -> None:
    croniter = pytest.importorskip("croniter").croniter
    start_at = datetime(2026, 11, 1, tzinfo=UTC)
    fires = croniter(interval_cron(hours), start_at - timedelta(seconds=1))
    fired = [fires.get_next(datetime) for _ in range(round(48 / hours))]
    day = Interval(start_at, start_at + timedelta(hours=48))
    assert fired == [interval.start_at for interval in day.split(hours)]


@pytest.mark.parametrize("hours", [5.0, 7.0, 48.0, 1.5, 0.4, 1 / 7, 0.001])
def test_a_length_that_no_cron_expression_can_tile_a_day_with_is_refused(hours: float) -> None:
    with pytest.raises(ContractError, match=f"got {hours}"):
        interval_cron(hours)


def test_without_a_first_interval_the_scheduler_builds_only_the_newest() -> None:
    assert not timetable(Settings()).catchup
    first = datetime(2026, 11, 1, tzinfo=UTC)
    known = timetable(Settings(first_interval_at=first))
    assert (known.catchup, known.start_at) == (True, first)
