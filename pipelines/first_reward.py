"""When a log begins to know rewards: what is told to whoever asks for them too early."""

from datetime import datetime, timedelta

from models.interval import Interval
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS


def when_known(settings: Settings, as_of: datetime) -> str:
    """Say how long a reward takes and, of a log that is too young for any by `as_of`, from when on there are some."""
    told = f"it takes {settings.maturity / timedelta(hours=1):g} hours to be known"
    keys = Lake(settings.lake_dir).intervals(DECISIONS)
    if not keys:
        return f"{told}, and the lake holds no decision yet"
    begin_at = Interval.parse(min(keys), settings.interval_hours).start_at
    first = Interval.containing(begin_at + settings.maturity, settings.interval_hours)
    if as_of >= first.end_at:
        return told
    begin, ready = (f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in (begin_at, first.end_at))
    return f"{told}, and this log begins at {begin}: there are some once it is refreshed through {ready} UTC"
