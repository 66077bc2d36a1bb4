"""Why a vector was served other than it was joined, as far as rows and vectors themselves can prove it."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.layout import FAMILIARITY, PROFILE
from pipelines.column import Column, matrix, times
from pipelines.feature_part import view_parts
from pipelines.feature_rows import VIEWS, WIDTHS
from pipelines.part import read_part
from pipelines.point_in_time import Joined, Times
from pipelines.settings import Settings
from pipelines.training_part import joined_familiarity

TOLERANCE = 1e-6
_COUNTS = {
    "profile_taste": [PROFILE.index(name) for name in ("log_impressions", "log_plays", "log_tenure_days")],
    "profile_familiarity": list(range(len(FAMILIARITY))),
}
"""What can only grow: a vector in which these are ahead knows events that the batch did not yet."""


class Cause(StrEnum):
    """Why a decision's vectors differ, the gravest first: a decision with several causes counts under the first."""

    UNEXPLAINED = "unexplained"
    OTHER_LAYOUT = "other_layout"
    MISSING_ROW = "missing_row"
    EXPIRED = "expired"
    NOT_READ = "not_read"
    STALE = "stale"
    FRESH = "fresh"


MEANING = {
    Cause.UNEXPLAINED: "nothing that is known explains the difference",
    Cause.OTHER_LAYOUT: "logged under another feature service, or in vectors of another length",
    Cause.MISSING_ROW: "served as cold, although there had been a row before the newest one",
    Cause.EXPIRED: "served from a row past its time to live",
    Cause.NOT_READ: "the online store did not answer in time, and the page went out without",
    Cause.STALE: "served from an earlier row: the newest was not materialised yet",
    Cause.FRESH: "served fresher than any batch: events of the running interval were counted already",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """n decisions of one view: whose row was read `(n,)`, when, and, for familiarity, of which title."""

    keys: Column
    at: Times
    title_ids: Column


def explain(
    settings: Settings, view: str, asked: Asked, served: NDArray[np.float32], joined: NDArray[np.float32]
) -> list[Cause]:
    """Name a cause for each of n vectors that differ: `(n, width)` as served and as joined."""
    causes = [Cause.UNEXPLAINED] * len(served)
    if not len(served):
        return causes
    ahead = _is_ahead(view, served, joined)
    found = _versions(settings, view, asked)
    newest = [max((moment for moment, _ in versions), default=None) for versions in found]
    for row, versions in enumerate(found):
        earlier = [vector for moment, vector in versions if moment != newest[row]]
        cold, unknown = not served[row].any(), not joined[row].any()
        if any(_equal(served[row], vector) for vector in earlier):
            causes[row] = Cause.STALE
        elif unknown and any(_equal(served[row], vector) for _, vector in versions):
            causes[row] = Cause.EXPIRED
        elif cold and versions:
            # A key's very first row may not have been online yet; any later one replaced a row that should have been.
            causes[row] = Cause.MISSING_ROW if earlier else Cause.STALE
        elif ahead[row]:
            causes[row] = Cause.FRESH
    return causes


def _is_ahead(view: str, served: NDArray[np.float32], joined: NDArray[np.float32]) -> NDArray[np.bool_]:
    if view not in _COUNTS:
        return np.zeros(len(served), dtype=bool)
    more = (served - joined)[:, _COUNTS[view]]
    return np.asarray((more >= -TOLERANCE).all(axis=1) & (more > TOLERANCE / 10).any(axis=1))


def _equal(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool((np.abs(one - other) <= TOLERANCE).all())


def _versions(settings: Settings, view: str, asked: Asked) -> list[list[tuple[np.datetime64, NDArray[np.float32]]]]:
    """Find every row of each decision's key that was known when it was made, one part at a time."""
    found: list[list[tuple[np.datetime64, NDArray[np.float32]]]] = [[] for _ in range(len(asked.keys))]
    wanted = asked.keys.unique()
    for path in view_parts(settings, view):
        part = read_part(path, VIEWS[view])
        rows = part.filter(pc.is_in(part.column(0), value_set=wanted)).combine_chunks()
        if len(rows):
            _take_part(view, asked, rows, found)
    return found


def _take_part(
    view: str, asked: Asked, rows: pa.Table, found: list[list[tuple[np.datetime64, NDArray[np.float32]]]]
) -> None:
    place = np.asarray(pc.fill_null(pc.index_in(asked.keys, value_set=rows.column(0)), -1), dtype=np.int64)
    known = np.maximum(times(rows["event_timestamp"]), times(rows["created_timestamp"]))
    hits = np.flatnonzero((place >= 0) & (known[place] <= asked.at))
    if view == "profile_familiarity":
        vectors = joined_familiarity(Joined(place[hits], rows), asked.title_ids.take(pa.array(hits)))
    else:
        vectors = matrix(rows["vector"], WIDTHS[view])[place[hits]].astype(np.float32)
    for hit, vector in zip(hits.tolist(), vectors, strict=True):
        found[hit].append((known[place[hit]], vector))
