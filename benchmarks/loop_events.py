"""Simulated days as event tables, made in memory: what was reported, and when it was known.

Decisions and plays are numbered through the whole loop; everything else is as in `pipelines.table`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.interval import Interval
from pipelines.attribution import matured_rewards
from pipelines.column import TIME
from pipelines.engine import open_engine
from pipelines.event_rows import CLOCK_TOLERANCE
from pipelines.settings import Settings
from pipelines.table import REWARDS
from simulation.report import Reports
from simulation.world import World

_REWARDS = pa.schema([
    pa.field(field.name, pa.int64()) if field.name in {"decision_id", "play_id"} else field for field in REWARDS.schema
])
"""The lake's rewards, but for ids that are numbers here."""

Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Decided:
    """A day's n decisions on p pages: `(n,)` place of the artwork, moment and page; `(p,)` profile, moment, device."""

    artwork: Ints
    at: Times
    page_profile: Ints
    page_at: Times
    page_device: NDArray[np.object_]


@dataclass(slots=True)
class EventTables:
    """The events of a loop, interval by interval, and their rewards as the platform attributes them."""

    world: World
    settings: Settings
    _artwork: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _at: Times = field(default_factory=lambda: np.zeros(0, dtype="datetime64[us]"))
    _waiting: list[Reports] = field(default_factory=list)
    _impressions: list[pa.Table] = field(default_factory=list)
    _plays: list[pa.Table] = field(default_factory=list)

    @property
    def n_decisions(self) -> int:
        """How many decisions were made so far."""
        return len(self._artwork)

    def add(self, interval: Interval, decided: Decided, reports: Reports) -> dict[str, pa.Table]:
        """Take a day in and give what the platform knows of it at the interval's end.

        Args: reports of this interval's decisions, counted through the whole loop; those that are received later wait.
        """
        self._artwork = np.concatenate((self._artwork, decided.artwork))
        self._at = np.concatenate((self._at, decided.at))
        end = np.datetime64(interval.end_at.replace(tzinfo=None), "us")
        known = Reports.concatenate([*self._waiting, _first_reports(self._believed(reports.received()))])
        here = known.received_at < end
        self._waiting = [known.take(~here)]
        impressions, plays = self._tables(known.take(here))
        self._impressions.append(impressions)
        self._plays.append(plays)
        pages = pa.table({
            "page_id": pa.array(np.arange(len(decided.page_at))),
            "profile_id": _names(self.world.population.ids, decided.page_profile),
            "decided_at": _times(decided.page_at),
            "device": pa.array(decided.page_device, pa.string()),
        })
        return {
            "decisions": pages,
            "impressions": impressions,
            "plays": plays,
            "rewards": self._rewards(interval),
        }

    def _believed(self, reports: Reports) -> Reports:
        """Leave out what ingest would quarantine: clocks that cannot be, and what comes in after too long a time."""
        tolerance, longest = (
            np.timedelta64(CLOCK_TOLERANCE),
            np.timedelta64(timedelta(hours=self.settings.max_cache_hours)),
        )
        decided_at, happened_at = self._at[reports.decision], reports.happened_at
        refused = happened_at > reports.received_at + tolerance
        refused |= happened_at < reports.received_at - longest - tolerance
        out_of_order = (happened_at < decided_at - tolerance) | (reports.received_at > decided_at + longest)
        return reports.take(~(refused | (~reports.is_play & out_of_order)))

    def _rewards(self, interval: Interval) -> pa.Table:
        """Attribute what may mature in the interval: what was seen since, and earlier views of the same decisions."""
        settings = self.settings
        begin = pa.scalar(interval.start_at - settings.maturity, TIME)
        kept = begin.as_py() - timedelta(hours=settings.max_cache_hours) - CLOCK_TOLERANCE
        self._impressions, self._plays = (_since(tables, kept) for tables in (self._impressions, self._plays))
        impressions, plays = pa.concat_tables(self._impressions), pa.concat_tables(self._plays)
        recent = impressions.filter(pc.field("seen_at") >= begin)
        of_recent = pc.is_in(impressions["decision_id"], pc.unique(recent["decision_id"]))
        with open_engine(settings) as engine:
            expression = matured_rewards(
                engine.rows(impressions.filter(of_recent)),
                engine.rows(plays.filter(pc.field("started_at") >= begin)),
                settings,
                interval,
            )
            found = engine.to_arrow(expression, _REWARDS)
        return found.sort_by([("matured_at", "ascending"), ("decision_id", "ascending")])

    def _tables(self, reports: Reports) -> tuple[pa.Table, pa.Table]:
        order = np.lexsort((reports.decision, reports.happened_at))
        seen, played = (reports.take(order[reports.is_play[order] == kind]) for kind in (False, True))
        impressions = self._common(seen, "decision_id") | {
            "seen_at": _times(seen.happened_at),
            "artwork_id": _names(self.world.shelf.artwork_ids, self._artwork[seen.decision]),
            "decided_at": _times(self._at[seen.decision]),
        }
        plays = self._common(played, "play_id") | {
            "started_at": _times(played.happened_at),
            "minutes": pa.array(played.minutes),
            "completion": pa.array(played.completion),
        }
        return pa.table(impressions), pa.table(plays)

    def _common(self, reports: Reports, key: str) -> dict[str, pa.Array]:
        return {
            key: pa.array(reports.decision),
            "profile_id": _names(self.world.population.ids, reports.profile),
            "title_id": _names(self.world.shelf.title_ids, reports.title),
            "received_at": _times(reports.received_at),
        }


def _first_reports(reports: Reports) -> Reports:
    """Keep the first report of each event."""
    order = np.lexsort((reports.received_at, reports.happened_at, reports.is_play, reports.decision))
    ordered = reports.take(order)
    same = [part[1:] == part[:-1] for part in (ordered.decision, ordered.is_play, ordered.happened_at)]
    return ordered.take(np.concatenate(([True], ~np.logical_and.reduce(same))))


def _since(tables: list[pa.Table], moment: datetime) -> list[pa.Table]:
    """Drop the tables of days that ended before a moment, but keep the newest one for its columns."""
    newest = [pc.max(table["received_at"]).as_py() for table in tables]
    return [table for table, at in zip(tables, newest, strict=True) if table is tables[-1] or (at and at >= moment)]


def _names(ids: NDArray[np.object_], places: Ints) -> pa.Array:
    return pa.array(ids, pa.string()).take(pa.array(places))


def _times(moments: Times) -> pa.Array:
    return pa.array(moments.astype("datetime64[us]")).cast(TIME)
