"""Feast's point-in-time join, asked once for each (key, step) instead of once for each row.

What a view says of a key is a step function of time: it changes only where some row becomes known, at the later of its
event and created timestamps, or expires, just after its event timestamp plus the view's time to live. Between two such
moments every request for a key has the same answer, so Feast is asked for the first moment of each step that occurs and
its answer is given to all rows of that key and step. That is exact, and costs by keys and intervals, not by rows.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.error import ContractError
from pipelines.column import TIME, Column, places, times
from pipelines.feature_part import naming_broken_parts, view_parts
from pipelines.feature_rows import VIEWS
from pipelines.part import read_part
from pipelines.settings import Settings

Times = NDArray[np.datetime64]

_STAMPS = pa.schema([("event_timestamp", TIME), ("created_timestamp", TIME)])
_MICROSECOND = np.timedelta64(1, "us")


@dataclass(frozen=True, slots=True)
class Joined:
    """Features of n rows: `(n,)` places in `features`, one row for each (key, step); −1 where nothing was known."""

    place: NDArray[np.int64]
    features: pa.Table


class PointInTime:
    """One view's features at any moment, as of what was known then.

    Args: settings, whose home holds the view's rows; store, an open `feast.FeatureStore`; view, its name.
    """

    def __init__(self, settings: Settings, store: Any, view: str) -> None:
        self._settings = settings
        self._store = store
        self._view = view
        self._key = VIEWS[view].names[0]
        self._features = [name for name in VIEWS[view].names[1:] if not name.endswith("_timestamp")]
        self._ttl: timedelta | None = store.get_feature_view(view).ttl
        self._steps = view_steps(settings, view, self._ttl)

    def join(self, keys: Column, at: Times) -> Joined:
        """Find what was known of each key at its moment: keys `(n,)` strings, at `(n,)` datetime64[us] UTC.

        Raises:
            ContractError: naming a part of the view that cannot be read, or if Feast gives back another number of rows
                than it was asked for.
        """
        questions = self.questions()
        questions.add(keys, at)
        known = questions.answer()
        return Joined(known.place(keys, at), known.features)

    def questions(self) -> "Questions":
        """Begin to gather what will be asked of this view."""
        return Questions(self, self._steps)

    def ask(self, keys: Column, at: Times) -> pa.Table:
        """Ask Feast for every row as it is: the view's features, in the order of `keys`, null where none was known.

        Raises:
            ContractError: naming a part of the view that cannot be read, or if Feast gives back another number of rows.
        """
        if not len(keys):
            return pa.schema([VIEWS[self._view].field(name) for name in self._features]).empty_table()
        asked = pa.array(np.arange(len(keys)))
        entities = pa.table({self._key: keys, "event_timestamp": pa.array(at).cast(TIME), "asked": asked})
        with redirect_stdout(StringIO()), naming_broken_parts(self._settings, [self._view]):
            job = self._store.get_historical_features(
                entity_df=entities,
                features=[f"{self._view}:{name}" for name in self._features],
                filter_by_created_timestamp=True,
            )
            answer = job.to_arrow()
        if len(answer) != len(entities):
            raise ContractError(f"{self._view}: Feast was asked for {len(entities)} rows and gave {len(answer)}")
        return answer.sort_by("asked").select(self._features).combine_chunks()


@dataclass(frozen=True, slots=True)
class _Coded:
    """Numbers for (key, step): its key's place × the number of steps, and its step, where 0 is before the first."""

    keys: pa.Array
    steps: Times

    def of(self, keys: Column, at: Times) -> NDArray[np.int64]:
        """Give the numbers of `(n,)` keys at their moments; all keys are known."""
        step = np.searchsorted(self.steps, at, side="right")
        return np.asarray(places(keys, self.keys) * (len(self.steps) + 1) + step, dtype=np.int64)


class Questions:
    """The steps of keys that are asked for, gathered a batch of rows at a time: rows themselves are not kept."""

    def __init__(self, view: PointInTime, steps: Times) -> None:
        self._view = view
        self._coded = _Coded(pa.array([], pa.string()), steps)
        self._asked = np.empty(0, dtype=np.int64)

    def add(self, keys: Column, at: Times) -> None:
        """Add rows: keys `(n,)` strings, at `(n,)` datetime64[us] UTC."""
        # Keys keep the places of their first appearance, so that earlier numbers hold however many follow.
        parts = [self._coded.keys, *pa.chunked_array([keys.unique()]).chunks]
        self._coded = _Coded(pa.chunked_array(parts).unique(), self._coded.steps)
        self._asked = np.union1d(self._asked, self._coded.of(keys, at))

    def answer(self) -> "Known":
        """Ask the view, once for each (key, step).

        Raises:
            ContractError: as `PointInTime.join`.
        """
        steps = self._coded.steps
        key_place, step_place = np.divmod(self._asked, len(steps) + 1)
        begun = np.flatnonzero(step_place > 0)
        features = self._view.ask(self._coded.keys.take(pa.array(key_place[begun])), steps[step_place[begun] - 1])
        found = np.asarray(features.column(0).is_valid())
        place = np.full(len(self._asked), -1, dtype=np.int64)
        place[begun[found]] = np.arange(found.sum())
        return Known(features.filter(pa.array(found)), self._coded, self._asked, place)


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of all that was asked: `features` has one row for each (key, step) of which something was."""

    features: pa.Table
    _coded: _Coded
    _asked: NDArray[np.int64]
    _place: NDArray[np.int64]

    def place(self, keys: Column, at: Times) -> NDArray[np.int64]:
        """Find the rows of `features` of `(n,)` rows that were asked for; −1 where nothing was known."""
        return self._place[np.searchsorted(self._asked, self._coded.of(keys, at))]


def view_steps(settings: Settings, view: str, ttl: timedelta | None) -> Times:
    """List, sorted, the first moment of every step of a view: `(s,)` datetime64[us] UTC.

    Raises:
        ContractError: naming a part that cannot be read.
    """
    moments = [np.empty(0, dtype="datetime64[us]")]
    for path in view_parts(settings, view):
        stamps = read_part(path, _STAMPS)
        event, created = times(stamps["event_timestamp"]), times(stamps["created_timestamp"])
        moments.append(np.unique(np.maximum(event, created)))
        if ttl:
            moments.append(np.unique(event) + np.timedelta64(ttl) + _MICROSECOND)
    return np.unique(np.concatenate(moments))
