"""Events that no batch has counted yet, in a small SQLite file: HOME/fresh/events.db.

Events are kept under their ids and with the place in the log up to which they were read, in one transaction: whatever
is read again after a crash is counted once. Times are microseconds since 1970, UTC.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.decision import Page
from models.error import ContractError
from models.event import Play, decode_line
from models.identity import is_anonymous
from models.interval import Interval
from pipelines.column import TIME
from pipelines.event_rows import CLOCK_TOLERANCE, report_span, untimely
from pipelines.event_tail import Read
from pipelines.feature_count import EVENT_COLUMNS
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS

_DEFINITION = """
CREATE TABLE IF NOT EXISTS segments (segment TEXT PRIMARY KEY, offset INTEGER);
CREATE TABLE IF NOT EXISTS base (key TEXT);
CREATE TABLE IF NOT EXISTS read_through (closed_at INTEGER);
CREATE TABLE IF NOT EXISTS pages (page_id TEXT PRIMARY KEY, profile_id TEXT, decided_at INTEGER, device TEXT);
CREATE TABLE IF NOT EXISTS decisions (decision_id TEXT PRIMARY KEY, profile_id TEXT, title_id TEXT, decided_at INTEGER);
CREATE TABLE IF NOT EXISTS impressions (
  decision_id TEXT, seen_at INTEGER, received_at INTEGER, PRIMARY KEY (decision_id, seen_at));
CREATE TABLE IF NOT EXISTS plays (
  play_id TEXT PRIMARY KEY, profile_id TEXT, title_id TEXT, started_at INTEGER, received_at INTEGER,
  minutes REAL, completion REAL);
CREATE TABLE IF NOT EXISTS profiles (profile_id TEXT PRIMARY KEY, newest_at INTEGER, due INTEGER);
CREATE INDEX IF NOT EXISTS pages_of ON pages (profile_id);
CREATE INDEX IF NOT EXISTS decisions_of ON decisions (profile_id);
CREATE INDEX IF NOT EXISTS plays_of ON plays (profile_id);
CREATE INDEX IF NOT EXISTS profiles_due ON profiles (due) WHERE due > 0;
"""

_PENDING = {
    "decisions": """SELECT page_id, profile_id, decided_at, device FROM pages
        WHERE profile_id IN ({}) AND decided_at >= :since AND decided_at < :until""",
    "impressions": """SELECT d.profile_id, d.title_id, i.received_at
        FROM decisions d JOIN impressions i USING (decision_id)
        WHERE d.profile_id IN ({}) AND i.received_at >= :since AND i.received_at < :until
        AND i.seen_at >= d.decided_at - :tolerance AND i.received_at <= d.decided_at + :max_cache""",
    "plays": """SELECT profile_id, title_id, started_at, received_at, minutes, completion FROM plays
        WHERE profile_id IN ({}) AND received_at >= :since AND received_at < :until""",
}
_OLDEST = (
    "SELECT min(decided_at) FROM pages WHERE profile_id IN ({})",
    "SELECT min(received_at) FROM plays WHERE profile_id IN ({})",
)
_SOONER = "(excluded.received_at, {0}) < (received_at, {1})"
_PLAY = ("profile_id", "title_id", "started_at", "minutes", "completion")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Later, Waiting = 1, 2
"""How soon a profile's row is due: after those of people who are watching now, or at once."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the log brought: lines, and those that were refused; ingest quarantines them with a reason."""

    n_lines: int
    n_refused: int


@dataclass(frozen=True, slots=True)
class Due:
    """A profile whose row must be written, and the newest moment that it knows."""

    profile_id: str
    newest_at: datetime


class FreshEvents:
    """The file. One process at a time writes it.

    Args: path, made when first needed; max_cache, how long after its decision an impression may be received.
    """

    def __init__(self, path: Path, *, max_cache: timedelta) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._max_cache = max_cache
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_DEFINITION)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def offset(self, segment: str) -> int:
        """Tell how far a segment is read, in bytes."""
        row = self._db.execute("SELECT offset FROM segments WHERE segment = ?", (segment,)).fetchone()
        return int(row[0]) if row else 0

    def unread_since(self, end_at: datetime) -> datetime:
        """Find the moment before which every closed segment that bears on events after `end_at` is read.

        Whoever starts late, or after a rest, reads back as far as ids and decisions may be reported again.
        """
        oldest = end_at - report_span(self._max_cache)
        row = self._db.execute("SELECT closed_at FROM read_through").fetchone()
        return max(oldest, min(_moment(row[0]), end_at)) if row else oldest

    def note_read(self, closed_at: datetime, segments: Iterable[str]) -> None:
        """Note that every segment closed before a moment is read, and forget the offsets of all but `segments`."""
        kept = [(segment, offset) for segment in segments if (offset := self.offset(segment))]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM segments")
            self._db.executemany("INSERT INTO segments VALUES (?, ?)", kept)
            self._db.execute("DELETE FROM read_through")
            self._db.execute("INSERT INTO read_through VALUES (?)", (_microseconds(closed_at),))

    def base(self) -> str:
        """Name the interval whose state the pending events were counted onto; empty before any."""
        row = self._db.execute("SELECT key FROM base").fetchone()
        return str(row[0]) if row else ""

    def take(self, reads: Iterable[Read]) -> Taken:
        """Keep the events of some lines and note their profiles as due, all or nothing."""
        n_lines = n_refused = 0
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for read in reads:
                n_lines += len(read.lines)
                n_refused += sum(not self._keep(line) for line in read.lines)
                self._db.execute(
                    "INSERT INTO segments VALUES (?, ?) ON CONFLICT DO UPDATE SET offset = excluded.offset",
                    (read.segment, read.offset),
                )
        return Taken(n_lines, n_refused)

    def due(self, limit: int) -> list[Due]:
        """List profiles whose rows must be written, those that wait first."""
        rows = self._db.execute(
            "SELECT profile_id, newest_at FROM profiles WHERE due > 0 ORDER BY due DESC, newest_at LIMIT ?", (limit,)
        )
        return [Due(profile_id, _moment(newest_at)) for profile_id, newest_at in rows]

    def drop_counted(self, end_at: datetime) -> None:
        """Let nobody be due for what was read late and is in the state that ended at a moment."""
        self._db.execute("DELETE FROM profiles WHERE due > 0 AND newest_at < ?", (_microseconds(end_at),))

    def written(self, profile_ids: Sequence[str], at: datetime) -> None:
        """Note that rows of profiles were written as of a moment: no later one of theirs may be older."""
        with self._db:
            self._db.executemany(
                "UPDATE profiles SET due = 0, newest_at = max(newest_at, ?) WHERE profile_id = ?",
                [(_microseconds(at), profile_id) for profile_id in profile_ids],
            )

    def oldest(self, profile_ids: Sequence[str]) -> datetime | None:
        """Find the first moment of anything that is known of some profiles."""
        marks = ",".join("?" * len(profile_ids))
        found = [self._db.execute(query.format(marks), profile_ids).fetchone()[0] for query in _OLDEST]
        known = [moment for moment in found if moment is not None]
        return _moment(min(known)) if known else None

    def pending(self, profile_ids: Sequence[str], interval: Interval) -> dict[str, pa.Table]:
        """Read what profiles did in an interval, as the columns of `EVENT_COLUMNS`; there are no rewards."""
        values: dict[str, Any] = {f"p{place}": name for place, name in enumerate(profile_ids)}
        marks = ",".join(f":{name}" for name in values)
        values |= {
            "since": _microseconds(interval.start_at),
            "until": _microseconds(interval.end_at),
            "tolerance": CLOCK_TOLERANCE // _MICROSECOND,
            "max_cache": self._max_cache // _MICROSECOND,
        }
        found = {}
        for table in (DECISIONS, IMPRESSIONS, PLAYS):
            rows = self._db.execute(_PENDING[table.name].format(marks), values).fetchall()
            fields = [table.schema.field(name) for name in EVENT_COLUMNS[table.name]]
            columns = list(zip(*rows, strict=True)) or [()] * len(fields)
            found[table.name] = pa.table(
                [_column(column, field) for column, field in zip(columns, fields, strict=True)],
                schema=pa.schema(fields),
            )
        return found

    def rebase(self, key: str, end_at: datetime) -> None:
        """Move onto a newer state: what it counted is pending no more, and who did something since is due again.

        Ids are kept as long as they may be reported again; a decision as long as its impression may come.
        """
        end, oldest = _microseconds(end_at), _microseconds(end_at - report_span(self._max_cache))
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for table, time in (("decisions", "decided_at"), ("impressions", "received_at"), ("plays", "received_at")):
                self._db.execute(f"DELETE FROM {table} WHERE {time} < ?", (oldest,))  # noqa: S608 - names of ours
            self._db.execute("DELETE FROM pages WHERE decided_at < ?", (end,))
            self._db.execute("DELETE FROM profiles WHERE newest_at < ?", (end,))
            self._db.execute("UPDATE profiles SET due = max(due, ?)", (Later,))
            self._db.execute("DELETE FROM base")
            self._db.execute("INSERT INTO base VALUES (?)", (key,))

    def _keep(self, line: bytes) -> bool:
        try:
            event = decode_line(line)
        except ContractError:
            return False
        if isinstance(event, Page):
            self._keep_page(event)
            return True
        received_at = _microseconds(event.received_at)
        if isinstance(event, Play):
            if untimely(event.started_at, event.received_at, self._max_cache + CLOCK_TOLERANCE):
                return False
            self._keep_play(event, received_at)
            return True
        if untimely(event.seen_at, event.received_at, self._max_cache + CLOCK_TOLERANCE):
            return False
        self._db.execute(
            "INSERT INTO impressions VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET received_at = min(received_at, excluded.received_at)",
            (event.decision_id, _microseconds(event.seen_at), received_at),
        )
        found = self._db.execute("SELECT profile_id FROM decisions WHERE decision_id = ?", (event.decision_id,))
        for (profile_id,) in found.fetchall():
            self._touch(profile_id, received_at)
        return True

    def _keep_page(self, page: Page) -> None:
        if is_anonymous(page.profile_id):
            return
        at = _microseconds(page.decided_at)
        self._db.execute(
            "INSERT OR IGNORE INTO pages VALUES (?, ?, ?, ?)", (page.page_id, page.profile_id, at, page.context.device)
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO decisions VALUES (?, ?, ?, ?)",
            [(one.decision_id, page.profile_id, one.title_id, at) for one in page.decisions],
        )
        self._touch(page.profile_id, max(at, self._seen_through([one.decision_id for one in page.decisions])))

    def _seen_through(self, decision_ids: Sequence[str]) -> int:
        """Find when the last impression of some decisions came in: another scorer's log may be read before theirs."""
        marks = ",".join("?" * len(decision_ids))
        query = f"SELECT coalesce(max(received_at), 0) FROM impressions WHERE decision_id IN ({marks})"  # noqa: S608 - question marks
        return int(self._db.execute(query, decision_ids).fetchone()[0])

    def _keep_play(self, play: Play, received_at: int) -> None:
        if is_anonymous(play.profile_id):
            return
        started_at = _microseconds(play.started_at)
        row = (play.play_id, play.profile_id, play.title_id, started_at, received_at, play.minutes, play.completion)
        sooner = _SOONER.format(", ".join(f"excluded.{name}" for name in _PLAY), ", ".join(_PLAY))
        new = ", ".join(f"{name} = excluded.{name}" for name in (*_PLAY, "received_at"))
        self._db.execute(
            f"INSERT INTO plays VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET {new} WHERE {sooner}",  # noqa: S608 - names of ours
            row,
        )
        self._touch(play.profile_id, received_at)

    def _touch(self, profile_id: str, at: int) -> None:
        self._db.execute(
            "INSERT INTO profiles VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET newest_at = max(newest_at, excluded.newest_at), due = excluded.due",
            (profile_id, at, Waiting),
        )


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_timestamp(field.type):
        return pa.array(values, pa.int64()).cast(TIME)
    return pa.array(values, field.type)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
