"""Last-touch attribution with a window: which impression a play is credited to, and what every decision earned.

A decision's exposure begins when it was first seen, and its reward matures at that moment plus window and grace. The
interval that holds this moment writes the decision's one row; before, there is none, and nothing counts as zero early.

- A play is credited to the last impression of its (profile, title), of whatever decision and repeats included, that was
  seen by the start of the play while its own decision's window was open; ties go to the greater decision_id.
- The reward is 1 if a credited play is a quality play, else 0; `minutes` is what all credited plays lasted together.
- What is reported too late never counts: an impression after its own maturity, a play after the maturity of the
  decision that it is credited to. An impression competes for a play if it was reported no later than the play was, or
  within grace of the play's start. So every interval that looks at a play credits it to the same decision, and the
  rewards depend neither on the length of intervals nor on the order in which they are built.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from models.interval import Interval
from models.reward import QualityRule, quality_rule
from pipelines.attribution_source import stored_events
from pipelines.engine import open_engine
from pipelines.event_history import EventHistory
from pipelines.event_rows import CLOCK_TOLERANCE
from pipelines.event_sql import quoted
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import IMPRESSIONS, PLAYS, REWARDS, Table
from pipelines.workspace import workspace

LONGEST_PLAY_MINUTES = 7 * 24 * 60.0
"""A play counts for no more minutes than a week has; a device that says more is wrong."""

_MILLIONTHS = 1e6


@dataclass(frozen=True, slots=True)
class Attributed:
    """What an interval's rewards are now: decisions that matured, and how many of them earned a quality play."""

    n_rewards: int
    n_quality_plays: int
    n_changed: int


def attribution(
    impressions: ibis.Table, plays: ibis.Table, *, window: timedelta, grace: timedelta, rule: QualityRule
) -> ibis.Table:
    """Give every decision with an impression its reward, as columns of `REWARDS`: one expression for any engine.

    Args:
        impressions: columns of `IMPRESSIONS`, unique by decision, `seen_at` and `received_at`; repeated reports of one
            (decision, moment) count once.
        plays: columns of `PLAYS`; of repeated reports of one play the first counts.
        window: a play counts for an impression this long.
        grace: and may be reported this much later.
        rule: what a quality play is.
    """
    firsts = _firsts_of_repeated(impressions, window + grace)
    credited = _credited(impressions, firsts, _first_reports(plays), window=window, grace=grace)
    known = _earned(credited, rule, window + grace).outer_join(firsts, "decision_id")
    known = known.mutate(decision_id=known.decision_id.coalesce(known.decision_id_right)).drop("decision_id_right")
    # Few decisions are known of, and all impressions pass by them once: every look at all of them is what costs here.
    seen = impressions.mutate(matured_at=impressions.seen_at + _span(window + grace)).left_join(known, "decision_id")
    is_first = (seen.seen_at == seen.first_seen_at) & (seen.received_at == seen.first_received_at)
    kept = seen.filter(ibis.ifelse(seen.first_seen_at.isnull(), seen.received_at <= seen.matured_at, is_first))
    return kept.select(
        decision_id=kept.decision_id,
        profile_id=kept.profile_id,
        title_id=kept.title_id,
        artwork_id=kept.artwork_id,
        decided_at=kept.decided_at,
        seen_at=kept.seen_at,
        matured_at=kept.matured_at,
        reward=kept.quality.coalesce(0).cast("float64"),
        minutes=kept.millionths.coalesce(0).cast("float64") / _MILLIONTHS,
        play_id=kept.play_id,
        rule=ibis.literal(rule.version),
    )


def attribute(settings: Settings, interval: Interval) -> Attributed:
    """Write the rewards that mature in the interval.

    Impressions and plays come from the lake, and straight from the event log where an interval is not ingested yet.

    Raises:
        NotReadyError: if a segment of the event log that is needed is still being written.
        ContractError: naming the file, if a table or segment cannot be read.
    """
    lake = Lake(settings.lake_dir)
    grace = settings.maturity - settings.attribution_window
    begin, end = interval.start_at - settings.maturity, interval.end_at - grace
    with workspace(settings) as space:
        history = EventHistory(settings, lake, space)
        if settings.engine == "spark":
            return _attribute_elsewhere(settings, history, interval, begin, end)
        impressions = _load_impressions(history, interval, begin, end)
        plays = _load_plays(history, interval, begin, end)
        matured = matured_rewards(impressions, plays, settings, interval)
        space.do(f"CREATE TABLE matured AS {ibis.to_sql(matured, dialect='duckdb')}")
        sql = f"SELECT {quoted(REWARDS.schema.names)} FROM matured ORDER BY {quoted(REWARDS.order)}"
        written = lake.replace(REWARDS, interval, space.batches(sql))
        n_quality_plays = space.count("SELECT count(*) FROM matured WHERE reward > 0")
    return Attributed(written.n_rows, n_quality_plays, written.n_changed)


def matured_rewards(impressions: ibis.Table, plays: ibis.Table, settings: Settings, interval: Interval) -> ibis.Table:
    """Attribute by the settings' window, grace and rule; keep the rewards that mature in the interval."""
    expression = attribution(
        impressions,
        plays,
        window=settings.attribution_window,
        grace=settings.maturity - settings.attribution_window,
        rule=quality_rule(settings.reward_rule),
    )
    return expression.filter(
        expression.matured_at >= ibis.literal(interval.start_at), expression.matured_at < ibis.literal(interval.end_at)
    )


def _attribute_elsewhere(
    settings: Settings, history: EventHistory, interval: Interval, begin: datetime, end: datetime
) -> Attributed:
    """Let the engine of the settings read the lake's files itself; the interval's rewards come back in memory."""
    with open_engine(settings) as engine:
        impressions, plays = stored_events(engine, history, interval, begin, end)
        rows = engine.to_arrow(matured_rewards(impressions, plays, settings, interval), REWARDS.schema)
    written = history.lake.overwrite(REWARDS, interval, rows)
    n_quality_plays = int(pc.sum(rows["reward"], min_count=0).as_py())
    return Attributed(written.n_rows, n_quality_plays, written.n_changed)


@ibis.udf.scalar.builtin(name="hash", signature=((None,), "int64"))  # type: ignore[untyped-decorator]
def _hashed(key: object) -> int:
    """Hash a key of any type by the engine's own function, which DuckDB and Spark call alike; numbers differ."""
    raise AssertionError("engines run this, not Python")


def _of_repeated(rows: ibis.Table, key: str) -> ibis.Table:
    """Choose the rows whose key occurs more than once, a few: only those have to be ranked or grouped.

    Hashes are looked at instead of keys, at half the cost; where two keys share one, a few more rows are ranked. And
    they are numbered and not counted: that takes no table of all of them.
    """
    places = rows.select(place=_hashed(rows[key]))
    numbered = places.mutate(nth=ibis.row_number().over(group_by=places.place))
    # The second row of each: once for a hash, however often it occurs.
    again = numbered.filter(numbered.nth == 1)
    return rows.mutate(place=_hashed(rows[key])).semi_join(again, "place").drop("place")


def _firsts_of_repeated(impressions: ibis.Table, maturity: timedelta) -> ibis.Table:
    """Find the first report in time of each decision that was reported more than once."""
    again = _of_repeated(impressions, "decision_id")
    in_time = again.filter(again.received_at <= again.seen_at + _span(maturity))
    report = ibis.struct({"first_seen_at": in_time.seen_at, "first_received_at": in_time.received_at})
    grouped = in_time.group_by("decision_id").agg(first=report.min())
    parts = {name: grouped["first"][name] for name in ("first_seen_at", "first_received_at")}
    return grouped.select("decision_id", **parts)


def _first_reports(plays: ibis.Table) -> ibis.Table:
    """Keep the first report of each play."""
    again = _of_repeated(plays, "play_id")
    order = [again.received_at, again.started_at, again.minutes, again.completion, again.profile_id, again.title_id]
    ranked = again.mutate(report=ibis.row_number().over(group_by=again.play_id, order_by=order))
    first = ranked.filter(ranked.report == 0).select(PLAYS.schema.names)
    return plays.anti_join(first, "play_id").select(PLAYS.schema.names).union(first)


def _credited(
    impressions: ibis.Table, firsts: ibis.Table, plays: ibis.Table, *, window: timedelta, grace: timedelta
) -> ibis.Table:
    """Credit each play to the last impression by its start, reported in time, whose decision's window was open.

    Args: firsts, when decisions that were reported more than once were seen first; the others were seen once.
    """
    exposures = impressions.select("decision_id", "profile_id", "title_id", "seen_at", reported_at="received_at")
    touches = plays.inner_join(
        exposures,
        [
            plays.profile_id == exposures.profile_id,
            plays.title_id == exposures.title_id,
            exposures.seen_at <= plays.started_at,
            # No decision that is reported in time is seen before it was seen first: its window is no longer open.
            plays.started_at < exposures.seen_at + _span(window),
        ],
    )
    touches = touches.left_join(firsts.select("decision_id", "first_seen_at"), "decision_id").drop("decision_id_right")
    # What nearly every touch meets is asked first: the sums of times are what costs, and few need them.
    in_time = touches.reported_at <= touches.seen_at + _span(window + grace)
    by_the_play = (touches.reported_at <= touches.received_at) | (
        touches.reported_at <= touches.started_at + _span(grace)
    )
    is_open = touches.started_at < touches.first_seen_at + _span(window)
    touches = touches.filter(
        ibis.ifelse(touches.reported_at <= touches.started_at, True, in_time & by_the_play),
        ibis.ifelse(touches.first_seen_at.isnull(), True, is_open),
    ).mutate(first_seen_at=touches.first_seen_at.coalesce(touches.seen_at))
    order = {name: touches[name] for name in ("seen_at", "decision_id", "first_seen_at")}
    # A play's columns are all alike by now; min only picks one.
    of_play = {name: touches[name].min() for name in ("started_at", "received_at", "minutes", "completion")}
    winners = touches.group_by("play_id").agg(last=ibis.struct(order).max(), **of_play)
    return winners.select("play_id", *of_play, **{name: winners["last"][name] for name in order})


def _earned(credited: ibis.Table, rule: QualityRule, maturity: timedelta) -> ibis.Table:
    """Add up what each decision earned by plays that were reported before it matured."""
    counted = credited.filter(credited.received_at <= credited.first_seen_at + _span(maturity))
    is_quality = (counted.minutes >= rule.minutes) | (counted.completion >= rule.completion)
    # Whole millionths add up to the same sum in any order; floats would not, and a rebuild could differ.
    minutes = counted.minutes.coalesce(0.0).clip(upper=LONGEST_PLAY_MINUTES)
    plays = counted.select(
        "decision_id", "started_at", "play_id",
        quality=is_quality.cast("int64"),
        millionths=(minutes * _MILLIONTHS).round().cast("int64"),
    )  # fmt: skip
    # Nearly every decision has one play, and then there is nothing to add up.
    several = _added_up(_of_repeated(plays, "decision_id"))
    return plays.anti_join(several, "decision_id").select(several.columns).union(several)


def _added_up(plays: ibis.Table) -> ibis.Table:
    """Add up the plays of each decision; the one that a reward names is the first quality play, else the first."""
    order = ibis.struct({"rank": 1 - plays.quality, "started_at": plays.started_at, "play_id": plays.play_id})
    return plays.group_by("decision_id").agg(
        quality=plays.quality.max(), millionths=plays.millionths.sum(), play_id=plays.play_id.argmin(order)
    )


def _load_impressions(history: EventHistory, interval: Interval, begin: datetime, end: datetime) -> ibis.Table:
    """Load impressions seen in [begin, end), and earlier ones of the same decisions: caches repeat a decision later."""
    seen_at, name = pc.field("seen_at"), "seen_impressions"
    history.space.create(name, _loaded(IMPRESSIONS))
    _load(history, name, IMPRESSIONS, interval, begin, (seen_at >= _moment(begin)) & (seen_at < _moment(end)))
    decided_before = (begin + CLOCK_TOLERANCE).isoformat()
    older = history.space.table(f"SELECT decision_id, decided_at FROM {name} WHERE decided_at < '{decided_before}'")
    if len(older):
        since = pc.min(older["decided_at"]).as_py() - CLOCK_TOLERANCE
        where = (seen_at < _moment(begin)) & pc.field("decision_id").isin(pc.unique(older["decision_id"]))
        _load(history, name, IMPRESSIONS, interval, since, where)
    return ibis.table(ibis.Schema.from_pyarrow(_loaded(IMPRESSIONS)), name=name)


def _load_plays(history: EventHistory, interval: Interval, begin: datetime, end: datetime) -> ibis.Table:
    started_at, name = pc.field("started_at"), "started_plays"
    history.space.create(name, _loaded(PLAYS))
    _load(history, name, PLAYS, interval, begin, (started_at >= _moment(begin)) & (started_at < _moment(end)))
    return ibis.table(ibis.Schema.from_pyarrow(_loaded(PLAYS)), name=name)


def _load(
    history: EventHistory, name: str, table: Table, interval: Interval, since: datetime, where: pc.Expression
) -> None:
    """Load rows of events from `since` on, by the device's clock, that were received before the interval's end."""
    for one in [interval, *history.earlier(interval, since - CLOCK_TOLERANCE)]:
        history.space.insert(name, history.rows(table, one, _loaded(table).names, where))


def _loaded(table: Table) -> pa.Schema:
    return pa.schema([field for field in table.schema if field.name != "delivery"])


def _span(length: timedelta) -> ibis.expr.types.IntervalValue:
    return ibis.interval(microseconds=length // timedelta(microseconds=1))


def _moment(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))
