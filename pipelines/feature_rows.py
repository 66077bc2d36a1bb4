"""From state to the rows of a feature view: join key, event and created timestamp, and the packed vectors."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.layout import ARTWORK, DEVICES, PROFILE, TASTES, TITLE, taste_vector
from models.vector import (
    PRIOR_IMPRESSIONS,
    PRIOR_TAKE_FRACTION,
    artwork_vectors,
    profile_vectors,
    smoothed_fraction,
    title_vectors,
)
from pipelines.column import TIME, lists, matrix, numbers, places, times

_DAY = np.timedelta64(1, "D")
_FLOATS = pa.list_(pa.float32())


def _view(key: str, **features: pa.DataType) -> pa.Schema:
    return pa.schema([(key, pa.string()), *features.items(), ("event_timestamp", TIME), ("created_timestamp", TIME)])


VIEWS = {
    "profile_taste": _view("profile_id", vector=_FLOATS),
    "profile_familiarity": _view("profile_id", title_keys=pa.list_(pa.int64()), minutes=_FLOATS, impressions=_FLOATS),
    "title_profile": _view("title_id", vector=_FLOATS),
    "artwork_profile": _view("artwork_id", vector=_FLOATS, take_fraction=pa.float32(), n_impressions=pa.int64()),
}
"""The parquet columns of each view of the feature repository; the first is the join key."""

WIDTHS = {"profile_taste": len(PROFILE), "title_profile": len(TITLE), "artwork_profile": len(ARTWORK)}
"""The length of each view's `vector`."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What the catalogue says of the titles and artworks that were launched before a moment.

    Args: title_ids `(k,)` and artwork_ids `(m,)` sorted; about `(k, len(TASTES))`; style `(m, len(TASTES))`; ages in
    days at that moment; title_of `(m,)`, each artwork's place among the titles; is_default `(m,)`.
    """

    title_ids: pa.Array
    about: NDArray[np.float32]
    title_age_days: NDArray[np.float64]
    artwork_ids: pa.Array
    style: NDArray[np.float32]
    artwork_age_days: NDArray[np.float64]
    title_of: NDArray[np.int64]
    is_default: NDArray[np.bool_]


def launched_before(catalogue: Catalogue, at: datetime) -> Launched:
    """Lay out what was launched before `at`, so that a later launch changes nothing that was built earlier."""
    titles = sorted((t for t in catalogue.titles.values() if t.launched_at < at), key=lambda t: t.title_id)
    place = {title.title_id: row for row, title in enumerate(titles)}
    artworks = sorted(
        (a for a in catalogue.artworks.values() if a.launched_at < at and a.title_id in place),
        key=lambda a: a.artwork_id,
    )
    defaults = {catalogue.default_of(title.title_id) for title in titles}
    return Launched(
        title_ids=pa.array([title.title_id for title in titles], pa.string()),
        about=_stacked([taste_vector(title.tastes) for title in titles]),
        title_age_days=_ages([title.launched_at for title in titles], at),
        artwork_ids=pa.array([artwork.artwork_id for artwork in artworks], pa.string()),
        style=_stacked([taste_vector(artwork.styles) for artwork in artworks]),
        artwork_age_days=_ages([artwork.launched_at for artwork in artworks], at),
        title_of=np.array([place[artwork.title_id] for artwork in artworks], dtype=np.int64),
        is_default=np.array([artwork.artwork_id in defaults for artwork in artworks], dtype=bool),
    )


def profile_taste_rows(state: pa.Table, touched: pa.Array, end_at: datetime) -> pa.Table:
    """Make the rows of the profiles that did something; `state` is `PROFILE_STATE`."""
    rows = state.take(pa.array(places(touched, state["profile_id"])))
    tenure = (np.datetime64(end_at.replace(tzinfo=None), "us") - times(rows["first_seen_at"])) / _DAY
    vectors = profile_vectors(
        taste_minutes=matrix(rows["taste_minutes"], len(TASTES)),
        n_impressions=rows["n_impressions"],
        n_plays=rows["n_plays"],
        n_quality_plays=rows["n_quality_plays"],
        tenure_days=tenure,
        n_by_device=matrix(rows["n_by_device"], len(DEVICES)),
    )
    return _rows("profile_taste", end_at, rows["profile_id"], _packed(vectors))


def profile_familiarity_rows(state: pa.Table, touched: pa.Array, end_at: datetime) -> pa.Table:
    """Pack the titles of the profiles that did something; `state` is `FAMILIARITY_STATE`, sorted by profile."""
    rows = state.filter(pa.array(places(state["profile_id"], touched) >= 0)).combine_chunks()
    distinct = rows["profile_id"].unique()
    counts = np.bincount(places(rows["profile_id"], distinct), minlength=len(distinct))
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    values = (rows["title_key"], rows["minutes"].cast(pa.float32()), rows["n_impressions"].cast(pa.float32()))
    packed = [pa.ListArray.from_arrays(offsets, column.combine_chunks()) for column in values]
    return _rows("profile_familiarity", end_at, distinct, *packed)


@dataclass(frozen=True, slots=True)
class Responses:
    """How titles or artworks have done: `TITLE_STATE` or `ARTWORK_STATE`, and the ids rewarded or new this interval."""

    state: pa.Table
    touched: pa.Array


def title_profile_rows(launched: Launched, titles: Responses, artworks: Responses, end_at: datetime) -> pa.Table:
    """Make the rows of launched titles that were rewarded or are new, or that have such an artwork."""
    overall = overall_fraction(titles.state)
    seen, takes = _responses(titles.state, launched.title_ids)
    n_artworks = np.bincount(launched.title_of, minlength=len(launched.title_ids))
    chosen = places(launched.title_ids, titles.touched) >= 0
    chosen[launched.title_of[places(launched.artwork_ids, artworks.touched) >= 0]] = True
    vectors = title_vectors(
        about=launched.about,
        age_days=launched.title_age_days,
        n_impressions=seen,
        n_takes=takes,
        n_artworks=n_artworks,
        overall=overall,
    )
    return _rows("title_profile", end_at, launched.title_ids.filter(pa.array(chosen)), _packed(vectors[chosen]))


def artwork_profile_rows(launched: Launched, titles: Responses, artworks: Responses, end_at: datetime) -> pa.Table:
    """Make the rows of launched artworks that were rewarded or are new, or whose title was: the lift is against it."""
    title_seen, title_takes = _responses(titles.state, launched.title_ids)
    title_fraction = smoothed_fraction(title_takes, title_seen, overall_fraction(titles.state))[launched.title_of]
    seen, takes = _responses(artworks.state, launched.artwork_ids)
    fraction = smoothed_fraction(takes, seen, title_fraction)
    chosen = places(launched.artwork_ids, artworks.touched) >= 0
    chosen |= (places(launched.title_ids, titles.touched) >= 0)[launched.title_of]
    vectors = artwork_vectors(
        style=launched.style,
        take_fraction=fraction,
        title_take_fraction=title_fraction,
        n_impressions=seen,
        age_days=launched.artwork_age_days,
        is_default=launched.is_default,
    )
    scalars = (pa.array(fraction[chosen].astype(np.float32)), pa.array(seen[chosen].astype(np.int64)))
    ids = launched.artwork_ids.filter(pa.array(chosen))
    return _rows("artwork_profile", end_at, ids, _packed(vectors[chosen]), *scalars)


def overall_fraction(titles: pa.Table) -> float:
    """Estimate the whole catalogue's take fraction, in (0, 1), from `TITLE_STATE`."""
    seen, takes = numbers(titles["n_impressions"]).sum(), numbers(titles["n_takes"]).sum()
    prior = PRIOR_IMPRESSIONS * PRIOR_TAKE_FRACTION
    return float(min((takes + prior) / (seen + PRIOR_IMPRESSIONS), 1.0 - 1e-6))


def _responses(state: pa.Table, ids: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Look impressions and takes up by id; the state has a row for every launched id."""
    rows = places(ids, state.column(0))
    return numbers(state["n_impressions"])[rows], numbers(state["n_takes"])[rows]


def _rows(view: str, end_at: datetime, *columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Complete a view: rows count from the interval's end, by which all that they are made of had been received."""
    moment = pa.array(np.full(len(columns[0]), np.datetime64(end_at.replace(tzinfo=None), "us"))).cast(TIME)
    return pa.table([*columns, moment, moment], schema=VIEWS[view])


def _packed(vectors: NDArray[np.float32]) -> pa.Array:
    return lists(vectors, pa.float32()).cast(_FLOATS)


def _stacked(vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.array(vectors, dtype=np.float32).reshape(-1, len(TASTES))


def _ages(moments: list[datetime], at: datetime) -> NDArray[np.float64]:
    return np.array([(at - moment).total_seconds() / 86_400 for moment in moments], dtype=np.float64)
