"""When DAGs run: read at every parse, so that nothing heavy may be imported here."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.cron import interval_cron
from pipelines.settings import Settings

_BEFORE_ANY_LOG = datetime(2000, 1, 1, tzinfo=UTC)
_SAFETY_NET_MINUTE = 17


@dataclass(frozen=True, slots=True)
class Timetable:
    """What the DAG files need of the settings.

    `interval_cron` fires at every boundary of an interval, `safety_net_cron` once a day at an odd minute. `catchup`
    says whether the scheduler also builds the intervals that it missed since `start_at`.
    """

    interval_cron: str
    safety_net_cron: str
    start_at: datetime
    catchup: bool


def timetable(settings: Settings | None = None) -> Timetable:
    """Say when each DAG runs; without settings, as the environment says.

    Raises:
        ContractError: if no cron expression can fire at the boundaries of `interval_hours`.

    Example:
        >>> timetable(Settings(interval_hours=6)).interval_cron
        '0 */6 * * *'
    """
    known = settings or Settings()
    return Timetable(
        interval_cron=interval_cron(known.interval_hours),
        safety_net_cron=f"{_SAFETY_NET_MINUTE} 3 * * *",
        start_at=known.first_interval_at or _BEFORE_ANY_LOG,
        catchup=known.first_interval_at is not None,
    )
