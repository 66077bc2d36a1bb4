"""What an interval's events add to the features' state: group-bys, as ibis expressions for any engine.

Every sum is one of whole numbers: minutes are counted in billionths, which add up to the same in any order, whatever
engine, thread or worker adds them. A rebuild gives the same bytes, and Spark what DuckDB gives.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
import pyarrow as pa

from models.identity import ANONYMOUS_PREFIX
from models.reward import QualityRule
from pipelines.column import TIME
from pipelines.engine import Engine

MAX_PLAY_MINUTES = 24 * 60.0
"""A longer play is a player left running: the rest of it says nothing."""

_BILLIONTHS = 1e9
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Events:
    """What one interval brought, as expressions with the columns of `EVENT_COLUMNS`."""

    decisions: ibis.Table
    impressions: ibis.Table
    plays: ibis.Table
    rewards: ibis.Table


EVENT_COLUMNS = {
    "decisions": ("page_id", "profile_id", "decided_at", "device"),
    "impressions": ("profile_id", "title_id", "received_at"),
    "plays": ("profile_id", "title_id", "started_at", "received_at", "minutes", "completion"),
    "rewards": ("title_id", "artwork_id", "reward"),
}

ACTIVITY = pa.schema([
    ("profile_id", pa.string()),
    ("first_seen_at", TIME),
    ("n_impressions", pa.int64()),
    ("n_plays", pa.int64()),
    ("n_quality_plays", pa.int64()),
    ("quality_minutes", pa.float64()),
])
"""`quality_minutes` are those of quality plays as they were, not decayed."""

DEVICE_PAGES = pa.schema([("profile_id", pa.string()), ("device", pa.string()), ("n_pages", pa.int64())])
MET = pa.schema([
    ("profile_id", pa.string()),
    ("title_id", pa.string()),
    ("last_at", TIME),
    ("n_impressions", pa.int64()),
    ("minutes", pa.float64()),
    ("taste_minutes", pa.float64()),
])
"""`taste_minutes` are those of quality plays, decayed to the end of the interval."""

RESPONSES = pa.schema([
    ("title_id", pa.string()),
    ("artwork_id", pa.string()),
    ("n_impressions", pa.int64()),
    ("n_takes", pa.float64()),
])


@dataclass(frozen=True, slots=True)
class Counted:
    """One interval's events by profile, (profile, device), (profile, title) and (title, artwork), sorted by that.

    `ACTIVITY`, `DEVICE_PAGES`, `MET` and `RESPONSES`. The first three leave out profiles that cannot be recognised when
    they come back; rewards have no profile.
    """

    activity: pa.Table
    devices: pa.Table
    met: pa.Table
    responses: pa.Table


def count_events(
    engine: Engine, events: Events, *, rule: QualityRule, half_life: timedelta, end_at: datetime
) -> Counted:
    """Count one interval's events.

    Args: rule, what a quality play is; half_life, of taste; end_at, the interval's end.
    """
    known = Events(
        decisions=_recognisable(events.decisions),
        impressions=_recognisable(events.impressions),
        plays=_recognisable(events.plays),
        rewards=events.rewards,
    )
    pages = known.decisions.group_by("page_id", "profile_id", "device").agg(
        received_at=known.decisions.decided_at.min()
    )
    plays = _judged(known.plays, rule)
    found = (
        (profile_activity(pages, known.impressions, plays), ACTIVITY),
        (pages.group_by("profile_id", "device").agg(n_pages=pages.count()), DEVICE_PAGES),
        (titles_met(known.impressions, plays, half_life=half_life, end_at=end_at), MET),
        (responses(known.rewards), RESPONSES),
    )
    keys = (1, 2, 2, 2)
    tables = [
        engine.to_arrow(expression, schema).sort_by([(name, "ascending") for name in schema.names[:n_keys]])
        for (expression, schema), n_keys in zip(found, keys, strict=True)
    ]
    return Counted(*tables)


def profile_activity(pages: ibis.Table, impressions: ibis.Table, plays: ibis.Table) -> ibis.Table:
    """Count what each profile did, and when it was first heard of: `ACTIVITY`."""
    one, none = ibis.literal(1, "int64"), ibis.literal(0, "int64")
    nothing = dict.fromkeys(("n_impressions", "n_plays", "n_quality_plays", "liked"), none)
    liked = _billionths(_minutes(plays)) * plays.quality
    played = nothing | {"n_plays": one, "n_quality_plays": plays.quality, "liked": liked}
    parts = ibis.union(
        pages.select("profile_id", "received_at", **nothing),
        impressions.select("profile_id", "received_at", **(nothing | {"n_impressions": one})),
        plays.select("profile_id", "received_at", **played),
    )
    return parts.group_by("profile_id").agg(
        first_seen_at=parts.received_at.min(),
        n_impressions=parts.n_impressions.sum(),
        n_plays=parts.n_plays.sum(),
        n_quality_plays=parts.n_quality_plays.sum(),
        quality_minutes=parts.liked.sum().cast("float64") / _BILLIONTHS,
    )


def titles_met(impressions: ibis.Table, plays: ibis.Table, *, half_life: timedelta, end_at: datetime) -> ibis.Table:
    """Sum up what each profile saw and played of each title: `MET`."""
    # A device's clock may lie ahead: what "will" be played has not begun to fade.
    age = ibis.literal(end_at).delta(plays.started_at, unit="microsecond").cast("float64").clip(lower=0.0)
    kept = (age * (-math.log(2.0) * (_MICROSECOND / half_life))).exp()
    minutes = _minutes(plays)
    none = ibis.literal(0, "int64")
    parts = ibis.union(
        impressions.select(
            "profile_id", "title_id", "received_at", n=ibis.literal(1, "int64"), watched=none, liked=none
        ),
        plays.select(
            "profile_id",
            "title_id",
            "received_at",
            n=none,
            watched=_billionths(minutes),
            liked=_billionths(minutes * kept) * plays.quality,
        ),
    )
    return parts.group_by("profile_id", "title_id").agg(
        last_at=parts.received_at.max(),
        n_impressions=parts.n.sum(),
        minutes=parts.watched.sum().cast("float64") / _BILLIONTHS,
        taste_minutes=parts.liked.sum().cast("float64") / _BILLIONTHS,
    )


def responses(rewards: ibis.Table) -> ibis.Table:
    """Sum up matured rewards by title and artwork: `RESPONSES`."""
    takes = _billionths(rewards.reward).sum().cast("float64") / _BILLIONTHS
    return rewards.group_by("title_id", "artwork_id").agg(n_impressions=rewards.count(), n_takes=takes)


def _recognisable(events: ibis.Table) -> ibis.Table:
    return events.filter(~events.profile_id.startswith(ANONYMOUS_PREFIX))


def _judged(plays: ibis.Table, rule: QualityRule) -> ibis.Table:
    quality = (plays.minutes >= rule.minutes) | (plays.completion >= rule.completion)
    return plays.mutate(quality=quality.fill_null(False).cast("int64"))


def _minutes(plays: ibis.Table) -> ibis.expr.types.FloatingValue:
    return plays.minutes.clip(upper=MAX_PLAY_MINUTES)


def _billionths(values: ibis.expr.types.FloatingValue) -> ibis.expr.types.IntegerValue:
    return (values.fill_null(0.0) * _BILLIONTHS).round().cast("int64")
