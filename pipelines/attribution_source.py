"""What attribution looks at, as expressions over the lake's files: for an engine that reads them itself."""

from datetime import datetime

import ibis
import pyarrow as pa

from models.error import NotReadyError
from models.interval import Interval
from pipelines.engine import Engine
from pipelines.event_history import EventHistory
from pipelines.event_rows import CLOCK_TOLERANCE
from pipelines.table import IMPRESSIONS, PLAYS, Table


def stored_events(
    engine: Engine, history: EventHistory, interval: Interval, begin: datetime, end: datetime
) -> tuple[ibis.Table, ibis.Table]:
    """Hand out the impressions and plays that may bear on rewards maturing in the interval.

    Impressions are those seen in [begin, end) and earlier ones of the same decisions; plays started in [begin, end).
    What was received after the interval is no part of either. Intervals that are not ingested yet come straight from
    the event log.

    Raises:
        NotReadyError: if an interval is ingested at this moment, or a segment of it is still being written.
        ContractError: naming the file, if a table or segment cannot be read.
    """
    oldest = begin - history.max_cache - 2 * CLOCK_TOLERANCE
    impressions = _received(engine, history, IMPRESSIONS, interval, oldest)
    recent = impressions.filter(impressions.seen_at >= ibis.literal(begin), impressions.seen_at < ibis.literal(end))
    earlier = impressions.filter(impressions.seen_at < ibis.literal(begin))
    plays = _received(engine, history, PLAYS, interval, begin)
    return (
        recent.union(earlier.semi_join(recent, "decision_id")),
        plays.filter(plays.started_at >= ibis.literal(begin), plays.started_at < ibis.literal(end)),
    )


def _received(engine: Engine, history: EventHistory, table: Table, interval: Interval, since: datetime) -> ibis.Table:
    """Hand out the rows of events from `since` on, by the device's clock, received before the interval's end."""
    columns = [name for name in table.schema.names if name != "delivery"]
    intervals = [interval, *history.earlier(interval, since - CLOCK_TOLERANCE)]
    written = set(history.lake.intervals(table))
    stored = engine.stored(history.lake, table, min(intervals).start_at, interval.end_at, columns)
    meanwhile = {one.key for one in intervals} & set(history.lake.intervals(table)) - written
    if meanwhile:  # it may be among the stored rows, and would be read from the log as well
        raise NotReadyError(f"{table.name} of interval {min(meanwhile)} were ingested while they were asked for")
    loose = [history.rows(table, one, columns).read_all() for one in intervals if one.key not in written]
    rows = [one for one in loose if len(one)]
    return stored.union(engine.rows(pa.concat_tables(rows))) if rows else stored
