"""Fresh features: what profiles do reaches their online rows within seconds, before any batch has counted it.

Reads the event log as it grows; a profile's row is the newest batch state, advanced by all that the profile did since,
with the very functions of the batch. So it never drifts: the next batch starts from the same events. A row's event time
is the newest moment that it knows. The batch's row carries the end of its interval, replaces every fresh row from
before, and leaves one alone that already knows more.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from models.error import MarqueeError
from models.interval import Interval
from models.reward import quality_rule
from pipelines.engine import open_engine
from pipelines.event_tail import EventTail
from pipelines.feature_chain import NewestState, newest_state
from pipelines.feature_count import Counted, Events, count_events
from pipelines.feature_rows import launched_before, profile_familiarity_rows, profile_taste_rows
from pipelines.feature_state import Tastes, advance_familiarity, advance_profiles, fading_of
from pipelines.fresh_events import Due, FreshEvents, Taken
from pipelines.fresh_state import FreshStates
from pipelines.settings import Settings
from pipelines.state_part import state_path
from pipelines.table import REWARDS
from serving.catalogue_file import read_catalogue
from serving.feast_features import dead_store_errors
from serving.feature_store import open_feature_store

PROFILES_A_STEP = 500
_MICROSECOND = timedelta(microseconds=1)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Freshened:
    """What one step did: lines read, lines refused, and profiles whose rows were written."""

    n_lines: int
    n_refused: int
    n_profiles: int


class Freshener:
    """Keeps the online rows of active profiles fresh. One process a home.

    Args: store, an open `feast.FeatureStore` that is written to.
    """

    def __init__(self, settings: Settings, store: Any) -> None:
        self._settings = settings.model_copy(update={"engine": "duckdb"})
        self._store = store
        self._events = FreshEvents(
            settings.home / "fresh" / "events.db", max_cache=timedelta(hours=settings.max_cache_hours)
        )
        self._tail = EventTail(settings.events_dir, self._events.offset)
        self._newest = newest_state(settings)
        self._states = FreshStates(settings, self._newest)
        self._tastes: tuple[tuple[Interval, int], Tastes] | None = None

    def close(self) -> None:
        """Let go of the file of events."""
        self._events.close()

    def step(self) -> Freshened:
        """Read on in the log and write the rows of those who did something.

        Raises:
            ContractError: naming a state or catalogue that cannot be read. Nothing is lost: the rows stay due.
        """
        self._follow_batch()
        taken = self._read_on(self._newest.end_at if self._newest else None)
        due = self._events.due(PROFILES_A_STEP)
        groups: dict[Interval, list[Due]] = defaultdict(list)
        for each in due:
            groups[Interval.containing(each.newest_at, self._settings.interval_hours)].append(each)
        for interval, group in groups.items():
            self._write(interval, group)
        return Freshened(taken.n_lines, taken.n_refused, len(due))

    def _read_on(self, since: datetime | None) -> Taken:
        """Keep some of the log's unread lines; before those after `since`, the end of the newest state, older ones.

        Their events are counted, but what is reported now may be of their decisions, or may be of them once more.
        """
        unread_since = self._events.unread_since(since) if since else None
        taken = self._events.take(self._tail.read_on(unread_since))
        if since:
            self._events.drop_counted(since)
            if unread_since != since and self._tail.is_through:
                self._events.note_read(since, self._tail.segments(since))
        return taken

    def _follow_batch(self) -> None:
        """Count onto the newest state once a batch has built one."""
        newest = newest_state(self._settings)
        if self._is_rebuilt(newest):
            return
        if newest != self._newest:
            self._newest, self._states = newest, FreshStates(self._settings, newest)
        if newest is not None and newest.digest != self._events.base():
            self._events.rebase(newest.digest, newest.end_at)

    def _is_rebuilt(self, newest: NewestState | None) -> bool:
        """Tell whether an older state is the newest only while the one counted onto is being written anew."""
        held = self._newest
        if held is None or (newest is not None and newest.end_at >= held.end_at):
            return False
        return state_path(self._settings, "profile", held.key).is_file()

    def _write(self, interval: Interval, group: list[Due]) -> None:
        """Write rows that all carry the newest moment of the group; it lies in the interval that the batch will end."""
        profile_ids = sorted(each.profile_id for each in group)
        at = max(each.newest_at for each in group)
        states = self._states.of(profile_ids)
        profiles, familiarity = states["profile"], states["familiarity"]
        through = self._newest.end_at if self._newest else None
        touched: set[str] = set()
        # As the batches will, one interval after the other: usually it is one, and two while the last one is built.
        for each in self._uncounted(profile_ids, interval):
            end_at = min(each.end_at, at + _MICROSECOND) if each == interval else each.end_at
            known_at = at if each == interval else end_at
            pending = self._events.pending(profile_ids, Interval(each.start_at, end_at))
            if not any(map(len, pending.values())):
                continue
            counted = self._count(pending, known_at)
            profiles, active = advance_profiles(
                profiles,
                counted,
                tastes=self._tastes_of(each),
                fading=fading_of(self._settings),
                elapsed=known_at - through if through else timedelta(0),
            )
            familiarity = advance_familiarity(familiarity, counted.met)
            touched.update(active.to_pylist())
            through = known_at
        self._put(profiles, familiarity, touched, at)
        self._events.written(profile_ids, at)

    def _put(self, profiles: pa.Table, familiarity: pa.Table, touched: set[str], at: datetime) -> None:
        active = pa.array(sorted(touched), pa.string())
        rows = {
            "profile_taste": profile_taste_rows(profiles, active, at),
            "profile_familiarity": profile_familiarity_rows(familiarity, active, at),
        }
        for view, table in rows.items():
            if len(table):
                self._store.write_to_online_store(view, table.to_pandas())

    def _uncounted(self, profile_ids: list[str], last: Interval) -> list[Interval]:
        """List the intervals that no batch has counted, up to the one that now runs."""
        first_at = self._newest.end_at if self._newest else self._events.oldest(profile_ids)
        start_at = min(first_at or last.start_at, last.start_at)
        hours = self._settings.interval_hours
        return list(Interval(Interval.containing(start_at, hours).start_at, last.end_at).split(hours))

    def _count(self, pending: dict[str, pa.Table], at: datetime) -> Counted:
        with open_engine(self._settings) as engine:
            tables = {name: engine.rows(rows) for name, rows in pending.items()}
            rewards = engine.rows(REWARDS.schema.empty_table())
            return count_events(
                engine,
                Events(**tables, rewards=rewards),
                rule=quality_rule(self._settings.reward_rule),
                half_life=self._settings.taste_half_life,
                end_at=at,
            )

    def _tastes_of(self, interval: Interval) -> Tastes:
        """Lay out the catalogue as the batch of that interval will; read again only where the file was replaced."""
        path: Path = self._settings.catalogue_path
        stamp = (interval, path.stat().st_mtime_ns)
        if self._tastes is None or self._tastes[0] != stamp:
            launched = launched_before(read_catalogue(path), interval.end_at)
            self._tastes = stamp, Tastes(launched.title_ids, launched.about)
        return self._tastes[1]


def freshen(settings: Settings, stop: threading.Event) -> int:
    """Keep rows fresh until told to stop; returns how many were written.

    A step that fails is told once and tried again: a store that is away, a state that is being replaced. Each that does
    not fail touches HOME/fresh/alive.
    """
    freshener = Freshener(settings, open_feature_store(settings))
    passing: tuple[type[Exception], ...] = (MarqueeError, *dead_store_errors())
    n_written, told = 0, ""
    try:
        while not stop.is_set():
            try:
                done = freshener.step()
                n_written, told = n_written + done.n_profiles, ""
                (settings.home / "fresh" / "alive").touch()
            except passing as error:
                done = Freshened(0, 0, 0)
                if str(error) != told:
                    told = str(error)
                    _log.warning("rows are not fresh", error=told)
            if not done.n_lines and done.n_profiles < PROFILES_A_STEP:
                stop.wait(settings.freshen_seconds)
    finally:
        freshener.close()
    return n_written
