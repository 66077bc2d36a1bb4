"""What intervals hold: from the lake where they were ingested, else straight from the event log.

Both say the same, because an interval's rows are a function of its lines. So it does not matter in which order
intervals are ingested, or whether two are at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from models.error import ContractError
from models.interval import Interval
from models.segment import find_segments
from pipelines.event_rows import (
    CLOCK_TOLERANCE,
    EventRows,
    lines_of,
    quarantine_batch,
    read_events,
    refused,
)
from pipelines.event_source import complete_segments
from pipelines.event_sql import judge_impressions, keep_first, quoted
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, QUARANTINE, Table
from pipelines.workspace import Workspace

_KNOWN = pa.schema([
    DECISIONS.schema.field(name) for name in ("decision_id", "profile_id", "title_id", "artwork_id", "decided_at")
])


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where an interval's rows are in the workspace, by the table that they belong to.

    They are unique by key; an impression or play that an earlier interval holds may still repeat here.
    """

    relations: dict[str, str]
    n_duplicates: int


@dataclass(slots=True)
class EventHistory:
    """The events of any interval, as of one look at the lake; what is not in the lake is laid out in the workspace."""

    settings: Settings
    lake: Lake
    space: Workspace
    _written: dict[str, set[str]] = field(default_factory=dict)
    _resolved: dict[Interval, Resolved] = field(default_factory=dict)
    _events: dict[Interval, EventRows] = field(default_factory=dict)
    _n_duplicates: dict[Interval, int] = field(default_factory=dict)

    @property
    def max_cache(self) -> timedelta:
        """How long after its decision an impression may be received."""
        return timedelta(hours=self.settings.max_cache_hours)

    def earlier(self, interval: Interval, since: datetime) -> list[Interval]:
        """List the intervals before this one that end after `since`, the newest first."""
        length = interval.end_at - interval.start_at
        found = []
        end_at = interval.start_at
        while end_at > since:
            found.append(Interval(end_at - length, end_at))
            end_at -= length
        return found

    def rows(
        self, table: Table, interval: Interval, columns: list[str], where: pc.Expression | None = None
    ) -> pa.RecordBatchReader:
        """Stream columns of an interval's decisions, impressions or plays; rows in no particular order."""
        if self._is_ingested(table, interval):
            end_at = interval.start_at + timedelta(seconds=1)
            return self.lake.reader(table, interval.start_at, end_at, columns, where)
        if table is IMPRESSIONS:  # which need decisions of still earlier intervals
            relation = self.resolve(interval).relations[table.name]
        else:
            self._lay_out(interval)
            relation = _name(interval, table.name)
        schema = pa.schema([table.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self._filtered(relation, table, columns, where))

    def keys_before(self, table: Table, interval: Interval, since: datetime) -> Iterator[pa.RecordBatchReader]:
        """Stream the keys that intervals before this one hold, of those that end after `since`."""
        columns, intervals = list(table.key), self.earlier(interval, since)
        loose = [one for one in intervals if not self._is_ingested(table, one)]
        if len(loose) < len(intervals):
            yield self.lake.reader(table, min(intervals).start_at, interval.start_at, columns)
        segments = find_segments(self.settings.events_dir) if loose else []
        for one in loose:
            if segments and segments[0].opened_at < one.end_at:  # else it was before anything was logged
                yield self.rows(table, one, columns)

    def resolve(self, interval: Interval) -> Resolved:
        """Read an interval's own lines and join its impressions with their decisions (see `judge_impressions`).

        Raises:
            NotReadyError: if a segment that may hold some is still being written.
            ContractError: if a segment cannot be read.
        """
        if interval not in self._resolved:
            events = self._lay_out(interval)
            reported, judged = _name(interval, "reported"), _name(interval, "judged")
            known = self._known_decisions(interval, reported)
            judge_impressions(self.space, reported, known, judged, tolerance=CLOCK_TOLERANCE, max_cache=self.max_cache)
            self._refuse(events, judged)
            relations = {
                DECISIONS.name: _name(interval, "decisions"),
                IMPRESSIONS.name: f"(FROM {judged} WHERE reason IS NULL)",
                PLAYS.name: _name(interval, "plays"),
                QUARANTINE.name: events.quarantine.sql,
            }
            self._resolved[interval] = Resolved(relations, self._n_duplicates[interval])
        return self._resolved[interval]

    def _is_ingested(self, table: Table, interval: Interval) -> bool:
        if table.name not in self._written:
            self._written[table.name] = set(self.lake.intervals(table))
        return interval.key in self._written[table.name]

    def _lay_out(self, interval: Interval) -> EventRows:
        """Read an interval's own lines into the workspace, once, with views of them that hold each key once."""
        if interval not in self._events:
            segments = complete_segments(self.settings.events_dir, interval)
            max_age = self.max_cache + CLOCK_TOLERANCE
            found = read_events(self.space, self.settings.events_dir, segments, interval, max_age)
            parts = (
                ("decisions", found.decisions, DECISIONS.key, "decided_at"),
                ("reported", found.impressions, IMPRESSIONS.key, "received_at"),
                ("plays", found.plays, PLAYS.key, "received_at"),
            )
            self._n_duplicates[interval] = sum(
                keep_first(self.space, spill.sql, _name(interval, part), spill.schema, key, time)
                for part, spill, key, time in parts
            )
            self._events[interval] = found
        return self._events[interval]

    def _known_decisions(self, interval: Interval, reported: str) -> str:
        """Make the table of the decisions that impressions are of: the interval's own, and of those before it."""
        known, own = _name(interval, "known"), _name(interval, "decisions")
        columns = quoted(_KNOWN.names)
        self.space.do(f"CREATE TABLE {known} AS SELECT {columns} FROM {own} SEMI JOIN {reported} USING (decision_id)")
        for before in self.earlier(interval, interval.start_at - self.max_cache):
            missing = self.space.table(
                f"SELECT DISTINCT decision_id FROM {reported} ANTI JOIN {known} USING (decision_id)"
            )
            if not len(missing):
                break
            where = pc.field("decision_id").isin(missing["decision_id"].combine_chunks())
            self.space.insert(known, self.rows(DECISIONS, before, _KNOWN.names, where).read_all())
        return known

    def _refuse(self, events: EventRows, judged: str) -> None:
        """Complete the quarantine with the lines of refused impressions."""
        columns = "SELECT source, line, reason"
        for source, path in enumerate(events.sources):
            rows = self.space.table(
                f"{columns} FROM {judged} WHERE source = {source} AND reason IS NOT NULL"
            ).to_pylist()
            if not rows:
                continue
            lines = lines_of(path, [row["line"] for row in rows])
            if len(lines) != len(rows):
                raise ContractError(f"a segment of the event log changed while it was read: {path}")
            name = path.relative_to(self.settings.events_dir).as_posix()
            found = [refused(name, row["line"], row["reason"], lines[row["line"]]) for row in rows]
            events.quarantine.add(quarantine_batch(found))
        events.quarantine.close()

    def _filtered(
        self, relation: str, table: Table, columns: list[str], where: pc.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([table.schema.field(name) for name in columns])
        with self.space.batches(f"SELECT {quoted(table.schema.names)} FROM {relation}") as reader:
            for batch in reader:
                rows = pa.Table.from_batches([batch])
                chosen = rows if where is None else rows.filter(where)
                yield from chosen.select(columns).cast(schema).to_batches()


def _name(interval: Interval, part: str) -> str:
    return f"{part}_{interval.key}"
