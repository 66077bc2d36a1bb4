"""From lines of the event log to rows on disk, one interval at a time: no more than a chunk of them is in memory."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from models.decision import Page
from models.error import ContractError
from models.event import Impression, Play, decode_line
from models.interval import Interval
from models.segment import Segment
from pipelines.event_batch import REPORTED, Reported, decision_batch, play_batch, reported_batch
from pipelines.event_source import read_lines
from pipelines.table import DECISIONS, PLAYS, QUARANTINE
from pipelines.workspace import Spill, Workspace

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far a device's clock may disagree with the scorer's before its event is quarantined."""

RAW_CHARACTERS = 2_000

_CHUNK_ROWS = 20_000
_INT32_END = 2**31
_INT64_END = 2**63


class Refused(NamedTuple):
    """A line that was refused, as a row of the quarantine table."""

    source: str
    line: int
    kind: str
    reason: str
    raw: str


class _Kind(msgspec.Struct):
    kind: str = ""


@dataclass(frozen=True, slots=True)
class EventRows:
    """An interval's lines on disk as they came, repeats and all; `sources` are its segments."""

    sources: list[Path]
    decisions: Spill
    impressions: Spill
    plays: Spill
    quarantine: Spill


@dataclass(slots=True)
class _Reader:
    interval: Interval
    max_age: timedelta
    rows: EventRows
    pages: list[Page] = field(default_factory=list)
    n_decisions: int = 0
    impressions: list[Reported] = field(default_factory=list)
    plays: list[Play] = field(default_factory=list)
    quarantine: list[Refused] = field(default_factory=list)

    def read(self, segments: Sequence[Segment], events_dir: Path) -> None:
        for number, segment in enumerate(segments):
            name = segment.path.relative_to(events_dir).as_posix()
            owns_bad_lines = self.interval.start_at <= segment.opened_at < self.interval.end_at
            for line_number, line in read_lines(segment.path):
                try:
                    problem = self._take(line, number, line_number)
                except ContractError as error:
                    problem = f"malformed: {error}" if owns_bad_lines else None
                if problem:
                    self.quarantine.append(refused(name, line_number, problem, line))
                    self._flush(_CHUNK_ROWS)
        self._flush(0)

    def _take(self, line: bytes, source: int, line_number: int) -> str | None:
        """Add the line's rows if it is of this interval; say why, if it must not be believed."""
        event = decode_line(line)
        if isinstance(event, Page):
            if not self._holds(event.decided_at):
                return None
            problem = _unstorable(event)
            if not problem:
                self.pages.append(event)
                self.n_decisions += len(event.decisions)
                self._flush(_CHUNK_ROWS)
            return problem
        if not self._holds(event.received_at):
            return None
        happened_at = event.seen_at if isinstance(event, Impression) else event.started_at
        if problem := untimely(happened_at, event.received_at, self.max_age):
            return problem
        if isinstance(event, Play):
            self.plays.append(event)
        else:
            self.impressions.append(Reported(event, source, line_number))
        self._flush(_CHUNK_ROWS)
        return None

    def _holds(self, moment: datetime) -> bool:
        return self.interval.start_at <= moment < self.interval.end_at

    def _flush(self, n_rows: int) -> None:
        """Write out what has grown beyond `n_rows`."""
        if self.n_decisions > n_rows:
            self.rows.decisions.add(decision_batch(self.pages))
            self.pages, self.n_decisions = [], 0
        if len(self.impressions) > n_rows:
            self.rows.impressions.add(reported_batch(self.impressions))
            self.impressions = []
        if len(self.plays) > n_rows:
            self.rows.plays.add(play_batch(self.plays))
            self.plays = []
        if len(self.quarantine) > n_rows:
            self.rows.quarantine.add(quarantine_batch(self.quarantine))
            self.quarantine = []


def read_events(
    space: Workspace, events_dir: Path, segments: Sequence[Segment], interval: Interval, max_age: timedelta
) -> EventRows:
    """Read the interval's lines out of its segments; the quarantine is left open for more.

    A line belongs to the interval that holds its log time. One that does not decode has none: it goes to quarantine
    with the interval in which its segment was opened. Events of a device's clock are quarantined as `clock` where they
    lie more than `CLOCK_TOLERANCE` after they were received, and as `late` more than `max_age` before.

    Raises:
        ContractError: naming a segment that cannot be read.
    """
    schemas = (DECISIONS.schema, REPORTED, PLAYS.schema, QUARANTINE.schema)
    rows = EventRows([segment.path for segment in segments], *(space.spill(schema) for schema in schemas))
    _Reader(interval, max_age, rows).read(segments, events_dir)
    for spill in (rows.decisions, rows.impressions, rows.plays):
        spill.close()
    return rows


def untimely(happened_at: datetime, received_at: datetime, max_age: timedelta) -> str | None:
    """Say why the time of a device's event must not be believed, if so."""
    if happened_at > received_at + CLOCK_TOLERANCE:
        return "clock"
    return "late" if happened_at < received_at - max_age else None


def report_span(max_cache: timedelta) -> timedelta:
    """Tell how long after its first report an event may be reported again and still be timely."""
    return max_cache + 2 * CLOCK_TOLERANCE


def refused(source: str, line_number: int, reason: str, line: bytes) -> Refused:
    """Make a row of the quarantine table."""
    return Refused(source, line_number, _kind_of(line), reason, _raw(line))


def quarantine_batch(rows: Sequence[Refused]) -> pa.RecordBatch:
    """Lay out refused lines as rows of `QUARANTINE`."""
    return pa.RecordBatch.from_pylist([one._asdict() for one in rows], schema=QUARANTINE.schema)


def count_reasons(quarantine: pa.Table | pa.RecordBatch) -> dict[str, int]:
    """Count quarantined rows by reason, without the detail that follows its colon."""
    reasons = (reason.partition(":")[0] for reason in quarantine["reason"].to_pylist())
    return dict(sorted(Counter(reasons).items()))


def lines_of(path: Path, numbers: Iterable[int]) -> dict[int, bytes]:
    """Read the named lines of a segment once more."""
    wanted = set(numbers)
    return {number: line for number, line in read_lines(path) if number in wanted}


def _unstorable(page: Page) -> str | None:
    if not -_INT64_END <= page.epoch < _INT64_END:
        return f"malformed: epoch must fit 64 bits, got {page.epoch}"
    for one in page.decisions:
        for name, value in (("row", one.row), ("column", one.column)):
            if not 0 <= value < _INT32_END:
                return f"malformed: {name} must be in 0..2^31-1, got {value} (decision_id={one.decision_id})"
    return None


def _kind_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Kind).kind
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _raw(line: bytes) -> str:
    return line[: 4 * RAW_CHARACTERS].decode("utf-8", errors="replace").rstrip("\r\n")[:RAW_CHARACTERS]
