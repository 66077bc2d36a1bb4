"""Take an interval's events into the lake: decisions, impressions, plays, and what had to be quarantined.

Whatever the order of files and lines, and whatever repeats in them, the same events give the same tables. An impression
or play that an earlier interval already holds is a duplicate here too. Reruns change nothing. Memory is bounded: lines
become rows on disk a chunk at a time, and DuckDB sorts and joins them there.
"""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from models.interval import Interval
from pipelines.event_history import EventHistory
from pipelines.event_rows import CLOCK_TOLERANCE, count_reasons, report_span
from pipelines.event_source import refuse_unsettled
from pipelines.event_sql import quoted
from pipelines.lake import Lake, Written
from pipelines.settings import Settings
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, QUARANTINE, Table
from pipelines.workspace import workspace
from serving.service import Clock, utc_now


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an interval holds now. `quarantined` counts refused lines by reason."""

    n_decisions: int
    n_impressions: int
    n_plays: int
    n_duplicates: int
    n_changed: int
    quarantined: dict[str, int] = field(default_factory=dict)


def ingest(settings: Settings, interval: Interval, clock: Clock = utc_now) -> Ingested:
    """Write the interval's decisions, impressions, plays and quarantined lines; plays last, as the mark that all is in.

    Raises:
        NotReadyError: if the interval has only just ended, or a segment that may hold lines of it is still written to.
        ContractError: naming the file, if a segment or a table of the lake cannot be read.
    """
    refuse_unsettled(interval, settings.settle_seconds, clock())
    lake = Lake(settings.lake_dir)
    with workspace(settings) as space:
        history = EventHistory(settings, lake, space)
        found = history.resolve(interval)
        relations = dict(found.relations)
        n_duplicates = found.n_duplicates
        for table in (IMPRESSIONS, PLAYS):
            relations[table.name], n_repeated = _without_earlier(history, table, interval)
            n_duplicates += n_repeated
        written = {
            table.name: _write(history, table, interval, relations[table.name])
            for table in (DECISIONS, QUARANTINE, IMPRESSIONS, PLAYS)
        }
        reasons: Counter[str] = Counter()
        for batch in space.batches(f"SELECT reason FROM {relations[QUARANTINE.name]}"):
            reasons.update(count_reasons(batch))
    return Ingested(
        n_decisions=written[DECISIONS.name].n_rows,
        n_impressions=written[IMPRESSIONS.name].n_rows,
        n_plays=written[PLAYS.name].n_rows,
        n_duplicates=n_duplicates,
        n_changed=sum(one.n_changed for one in written.values()),
        quarantined=dict(sorted(reasons.items())),
    )


def _write(history: EventHistory, table: Table, interval: Interval, relation: str) -> Written:
    sql = f"SELECT {quoted(table.schema.names)} FROM {relation} ORDER BY {quoted(table.order)}"
    return history.lake.replace(table, interval, history.space.batches(sql))


def _without_earlier(history: EventHistory, table: Table, interval: Interval) -> tuple[str, int]:
    """Leave out rows whose key an earlier interval holds; returns the rest, and how many were left out.

    A play is known by its id alone: reported again by a device whose clock was put right, it has another start. An
    impression is known by its moment, too, so that only those seen before the interval began can be in an earlier one,
    and only in one that had not ended by then: there are few, and few intervals to look at.
    """
    space, relation, keys = history.space, history.resolve(interval).relations[table.name], quoted(table.key)
    asked, earlier = f"asked_{table.name}", f"earlier_{table.name}"
    begin = (interval.start_at + CLOCK_TOLERANCE).isoformat()
    which = f"WHERE seen_at < '{begin}'" if table is IMPRESSIONS else ""
    space.do(f"CREATE TABLE {asked} AS SELECT {keys} FROM {relation} {which}")
    if not space.count(f"SELECT count(*) FROM {asked}"):
        return relation, 0
    since = interval.start_at - report_span(history.max_cache)
    if table is IMPRESSIONS:
        since = space.table(f"SELECT min(seen_at) AS seen_at FROM {asked}")["seen_at"][0].as_py() - CLOCK_TOLERANCE
    schema = pa.schema([table.schema.field(name) for name in table.key])
    space.create(earlier, schema)
    for reported in history.keys_before(table, interval, since):
        for batch in reported:  # not handed to DuckDB as a stream: it would tell a broken file as an error of its own
            offered = pa.RecordBatchReader.from_batches(schema, [batch])
            repeated = space.choose(offered, f"SEMI JOIN {asked} USING ({keys})")
            space.insert(earlier, pa.RecordBatchReader.from_batches(schema, repeated))
    n_repeated = space.count(f"SELECT count(*) FROM {relation} SEMI JOIN {earlier} USING ({keys})")
    return f"(FROM {relation} ANTI JOIN {earlier} USING ({keys}))", n_repeated
