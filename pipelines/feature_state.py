"""What is counted about profiles, titles and artworks: state(interval) = advance(state before, events of interval).

Every state is a whole snapshot, one row a key, sorted by key. What an interval adds is counted by
`pipelines.feature_count`; here it is added, in a fixed order on one thread, so that a rebuild gives the same bytes.
Times are the receiver's, because a device's clock may be anywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.context import device_place
from models.layout import DEVICES, TASTES
from pipelines.column import TIME, lists, matrix, numbers, places, signed_keys, sorted_unique, times
from pipelines.feature_count import Counted
from pipelines.settings import Settings

MAX_FAMILIAR_TITLES = 200
PROFILE_STATE = pa.schema([
    ("profile_id", pa.string()),
    ("first_seen_at", TIME),
    ("n_impressions", pa.int64()),
    ("n_plays", pa.int64()),
    ("n_quality_plays", pa.int64()),
    ("n_by_device", pa.list_(pa.int64(), len(DEVICES))),
    ("taste_minutes", pa.list_(pa.float64(), len(TASTES))),
])
"""`taste_minutes` are quality minutes by taste, decayed to the end of the interval."""

FAMILIARITY_STATE = pa.schema([
    ("profile_id", pa.string()),
    ("last_at", TIME),
    ("title_key", pa.int64()),
    ("minutes", pa.float64()),
    ("n_impressions", pa.int64()),
])
"""The latest `MAX_FAMILIAR_TITLES` titles of each profile; `title_key` is the 64-bit key, as a signed number."""

TITLE_STATE = pa.schema([("title_id", pa.string()), ("n_impressions", pa.int64()), ("n_takes", pa.float64())])
ARTWORK_STATE = pa.schema([("artwork_id", pa.string()), ("n_impressions", pa.int64()), ("n_takes", pa.float64())])
"""Impressions whose reward is known, and the sum of their rewards."""

_Number = TypeVar("_Number", np.int64, np.float64)

STATES = {
    "profile": PROFILE_STATE,
    "familiarity": FAMILIARITY_STATE,
    "title": TITLE_STATE,
    "artwork": ARTWORK_STATE,
}


@dataclass(frozen=True, slots=True)
class Fading:
    """How a taste gives way: half of it is gone after so long, and half of it after so many quality minutes more.

    Time alone is too slow for those who watch much and too fast for those who seldom come: what somebody has watched
    since says more about how much an older taste still counts. Within one interval only time counts.
    """

    half_life: timedelta
    half_life_minutes: float

    def left(self, elapsed: timedelta, minutes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the share `(n,)` that is left of n tastes after `elapsed` and `(n,)` quality minutes."""
        return np.asarray(0.5 ** (elapsed / self.half_life + minutes / self.half_life_minutes))


def fading_of(settings: Settings) -> Fading:
    """Read from the settings how tastes fade."""
    return Fading(settings.taste_half_life, settings.taste_half_life_minutes)


@dataclass(frozen=True, slots=True)
class Tastes:
    """What titles are about: `(k,)` ids and `(k, len(TASTES))` vectors."""

    title_ids: pa.Array
    about: NDArray[np.float32]


def advance_profiles(
    before: pa.Table, counted: Counted, *, tastes: Tastes, fading: Fading, elapsed: timedelta
) -> tuple[pa.Table, pa.Array]:
    """Add an interval to the profiles' state.

    Args: before, `PROFILE_STATE`; elapsed, from the end of the state before to the interval's.

    Returns: the state after and the sorted ids of the profiles that did something.
    """
    active = counted.activity
    touched = active["profile_id"].combine_chunks()
    ids = sorted_unique(pa.chunked_array([before["profile_id"].combine_chunks(), touched]))
    n, old, now = len(ids), places(before["profile_id"], ids), places(touched, ids)
    by_device = _spread(old, matrix(before["n_by_device"], len(DEVICES)).astype(np.int64), n)
    taste = _spread(old, matrix(before["taste_minutes"], len(TASTES)).astype(np.float64), n)
    since = np.zeros(n)
    since[now] = numbers(active["quality_minutes"])
    taste *= fading.left(elapsed, since)[:, None]
    taste += _taste_sums(counted.met, ids, tastes)
    columns = [
        ids,
        _earliest(before["first_seen_at"], old, active["first_seen_at"], now, n),
        *(_summed(before[name], old, active[name], now, n) for name in ("n_impressions", "n_plays", "n_quality_plays")),
        lists(by_device + _by_device(counted.devices, ids), pa.int64()),
        lists(taste, pa.float64()),
    ]
    return pa.table(columns, schema=PROFILE_STATE), touched


def advance_familiarity(before: pa.Table, met: pa.Table) -> pa.Table:
    """Add what an interval's profiles saw and played of each title, `MET`; keep the latest titles."""
    now = [met["profile_id"], met["last_at"], signed_keys(met["title_id"]), met["minutes"], met["n_impressions"]]
    parts = pa.concat_tables([before, pa.table(now, schema=FAMILIARITY_STATE)])
    merged = parts.group_by(["profile_id", "title_key"], use_threads=False).aggregate([
        ("last_at", "max"),
        ("minutes", "sum"),
        ("n_impressions", "sum"),
    ])
    table = pa.table(
        [merged[name] for name in ("profile_id", "last_at_max", "title_key", "minutes_sum", "n_impressions_sum")],
        schema=FAMILIARITY_STATE,
    )
    order = [("profile_id", "ascending"), ("last_at", "descending"), ("title_key", "ascending")]
    return _first_of_each(table.sort_by(order), MAX_FAMILIAR_TITLES)


def advance_responses(before: pa.Table, responses: pa.Table, known: Iterable[str]) -> tuple[pa.Table, pa.Array]:
    """Add an interval's matured rewards, `RESPONSES`, by the state's key, `title_id` or `artwork_id`.

    Args: known, ids that have a row even where nothing was counted yet: the catalogue's.

    Returns: the state and the sorted ids that were rewarded or are new.
    """
    key = before.column_names[0]
    rewarded = responses[key].combine_chunks()
    ids = sorted_unique(pa.chunked_array([before[key].combine_chunks(), rewarded, pa.array(known, pa.string())]))
    n, old, now = len(ids), places(before[key], ids), places(rewarded, ids)
    touched = np.ones(n, dtype=bool)
    touched[old] = False
    touched[now] = True
    columns = [ids, *(_summed(before[name], old, responses[name], now, n) for name in ("n_impressions", "n_takes"))]
    return pa.table(columns, schema=before.schema), ids.filter(pa.array(touched))


def _by_device(devices: pa.Table, ids: pa.Array) -> NDArray[np.int64]:
    """Lay each profile's pages out by device: `(n, len(DEVICES))`."""
    distinct = devices["device"].unique()
    place = np.array([device_place(name or "") for name in distinct.to_pylist()], dtype=np.int64)
    pages = np.zeros((len(ids), len(DEVICES)), dtype=np.int64)
    cell = (places(devices["profile_id"], ids), place[places(devices["device"], distinct)])
    np.add.at(pages, cell, devices["n_pages"].to_numpy())
    return pages


def _taste_sums(met: pa.Table, ids: pa.Array, tastes: Tastes) -> NDArray[np.float64]:
    """Sum the tastes of titles × what was liked of them: `(n, len(TASTES))`."""
    title = places(met["title_id"], tastes.title_ids)
    minutes = numbers(met["taste_minutes"])
    known = np.flatnonzero((title >= 0) & (minutes > 0))
    about, who = tastes.about[title[known]].astype(np.float64), places(met["profile_id"], ids)[known]
    sums = np.empty((len(ids), len(TASTES)))
    for place in range(len(TASTES)):
        sums[:, place] = np.bincount(who, weights=minutes[known] * about[:, place], minlength=len(ids))
    return sums


def _earliest(
    before: pa.ChunkedArray, old: NDArray[np.int64], seen: pa.ChunkedArray, now: NDArray[np.int64], n: int
) -> pa.Array:
    first = np.full(n, np.iinfo(np.int64).max)
    first[now] = times(seen).astype(np.int64)
    first[old] = np.minimum(first[old], times(before).astype(np.int64))
    return pa.array(first).cast(TIME)


def _summed(
    before: pa.ChunkedArray, old: NDArray[np.int64], added: pa.ChunkedArray, now: NDArray[np.int64], n: int
) -> pa.Array:
    """Add two columns by place; places may repeat among `now`."""
    values: NDArray[np.generic] = added.to_numpy()
    total = np.zeros(n, dtype=values.dtype)
    np.add.at(total, now, values)
    total[old] += before.to_numpy()
    return pa.array(total, before.type)


def _first_of_each(table: pa.Table, limit: int) -> pa.Table:
    """Keep the first rows of every profile of a table sorted by profile."""
    profile = places(table["profile_id"], table["profile_id"].unique())
    starts = np.searchsorted(profile, profile)
    return table.filter(pa.array(np.arange(len(profile)) - starts < limit)).combine_chunks()


def _spread(rows: NDArray[np.int64], values: NDArray[_Number], n: int) -> NDArray[_Number]:
    out = np.zeros((n, values.shape[1]), dtype=values.dtype)
    out[rows] = values
    return out
