"""Training/serving skew, measured: vectors as they were served against those that the training set joined."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.batch import LoggedBatch
from models.error import SkewError
from models.layout import (
    ARTWORK,
    FAMILIARITY,
    FAMILIARITY_PART,
    FEATURE_SERVICE,
    PROFILE,
    PROFILE_PART,
    TITLE,
    TITLE_PART,
)
from pipelines.column import intervals_of, places, times
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.skew_cause import MEANING, TOLERANCE, Asked, Cause, explain
from pipelines.table import DECISIONS
from serving.status import VECTORS_UNAVAILABLE

_FIRST, _SECOND = len(TITLE), len(TITLE) + len(FAMILIARITY)
_WIDTH = _SECOND + len(ARTWORK)
_VIEWS = {
    "profile": ("profile_taste", "profile_id"),
    "title": ("title_profile", "title_id"),
    "familiarity": ("profile_familiarity", "profile_id"),
    "artwork": ("artwork_profile", "artwork_id"),
}
"""The parts of a decision's vectors, with the view that each comes from and the column of its key."""

_GRAVITY = {cause: place for place, cause in enumerate(Cause)}


@dataclass(frozen=True, slots=True)
class Skew:
    """The share of decisions whose vectors were served as they were joined, in all parts and in each.

    `n_compared` decisions had vectors in the log; where there was none, as in an imported log, nothing is shared.
    `causes` are shares of the rest, by `Cause`: with `share_equal` they sum to 1.
    """

    n_compared: int = 0
    share_equal: float | None = None
    share_equal_by_part: dict[str, float] = field(default_factory=dict)
    causes: dict[str, float] = field(default_factory=dict)

    @property
    def share_skewed(self) -> float:
        """The share served from other features than are learned from; fresher ones are what is wanted of serving."""
        return sum(share for cause, share in self.causes.items() if cause != Cause.FRESH)


def refuse_skew(skew: Skew, limit: float) -> None:
    """Refuse to learn from features that are not what was served.

    Raises:
        SkewError: with shares and causes, if more than `limit` of the decisions differ, fresh ones aside.
    """
    if skew.share_skewed > limit:
        told = ", ".join(f"{share:.1%} {cause} ({MEANING[Cause(cause)]})" for cause, share in skew.causes.items())
        raise SkewError(
            f"features must be served as they are learned from, up to a share of {limit:g} (max_skewed_share): "
            f"{skew.share_skewed:.1%} of {skew.n_compared} sampled decisions were not: {told}. Refresh each interval "
            "before the next one is served; MARQUEE_MAX_SKEWED_SHARE=1 learns from such a log all the same"
        )


def served_against_joined(settings: Settings, rows: pa.Table, joined: LoggedBatch) -> Skew:
    """Compare joined decisions with the decision log, value by value, and name why what differs does.

    Args: rows, the same decisions with their keys, in the batch's order.
    """
    served = _served(settings, Lake(settings.lake_dir), joined)
    logged = np.flatnonzero(np.asarray(pc.fill_null(pc.greater(pc.binary_length(served["features"]), 0), False)))
    if not len(logged):
        return Skew()
    served, rows = served.take(pa.array(logged)), rows.take(pa.array(logged))
    pairs = {part: (_vectors(served, part), _joined(joined, part)[logged]) for part in _VIEWS}
    equal = np.stack([(np.abs(was - now) <= TOLERANCE).all(axis=1) for was, now in pairs.values()], axis=1)
    causes = _causes(settings, served, rows, pairs, equal)
    counts = Counter(cause for cause in causes if cause)
    return Skew(
        n_compared=len(logged),
        share_equal=1.0 - counts.total() / len(logged),
        share_equal_by_part=dict(zip(pairs, equal.mean(axis=0).tolist(), strict=True)),
        causes={cause.value: counts[cause] / len(logged) for cause in Cause if cause in counts},
    )


def _causes(
    settings: Settings,
    served: pa.Table,
    rows: pa.Table,
    pairs: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    equal: NDArray[np.bool_],
) -> list[Cause | None]:
    """Name each decision's gravest cause; None where all parts are equal."""
    lengths = {name: np.asarray(pc.fill_null(pc.binary_length(served[name]), 0)) for name in _LENGTHS}
    other = (lengths["features"] != _WIDTH * 4) | ~np.isin(lengths["profile_features"], (0, len(PROFILE) * 4))
    other |= ~np.asarray(pc.equal(served["feature_service"], FEATURE_SERVICE))
    profile_unread = lengths["profile_features"] == 0
    vectors_unread = np.asarray(pc.fill_null(pc.equal(served["intent"], f"fallback:{VECTORS_UNAVAILABLE}"), False))
    found: list[Cause | None] = [Cause.OTHER_LAYOUT if odd else None for odd in other]
    for column, (part, (was, now)) in enumerate(pairs.items()):
        unread = profile_unread if part in {"profile", "familiarity"} else vectors_unread
        differing = np.flatnonzero(~equal[:, column] & ~other)
        asked = differing[~unread[differing]]
        view, key = _VIEWS[part]
        chosen = rows.take(pa.array(asked))
        question = Asked(chosen[key].combine_chunks(), times(chosen["decided_at"]), chosen["title_id"].combine_chunks())
        named = dict(zip(asked.tolist(), explain(settings, view, question, was[asked], now[asked]), strict=True))
        for row in differing.tolist():
            cause, before = named.get(row, Cause.NOT_READ), found[row]
            found[row] = cause if before is None else min(cause, before, key=_GRAVITY.__getitem__)
    return found


_LENGTHS = ("profile_features", "features")


def _served(settings: Settings, lake: Lake, batch: LoggedBatch) -> pa.Table:
    """Read the logged vectors of a batch's decisions, in its order; null where there are none."""
    ids = pa.array(batch.decision_ids, pa.string())
    intervals = intervals_of(batch.decided_at, settings.interval_hours)
    columns = ["decision_id", "feature_service", "intent", *_LENGTHS]
    found = pa.concat_tables([
        lake.read(DECISIONS, each.start_at, each.end_at, columns=columns, where=pc.field("decision_id").isin(ids))
        for each in intervals
    ])
    return found.take(pa.array(places(ids, found["decision_id"])))


def _vectors(served: pa.Table, part: str) -> NDArray[np.float32]:
    """Take one part out of the logged vectors: `(n, width)`, zeros where a vector is not of the layout's length."""
    if part == "profile":
        return _floats(served["profile_features"], len(PROFILE))
    bounds = {"title": slice(0, _FIRST), "familiarity": slice(_FIRST, _SECOND), "artwork": slice(_SECOND, _WIDTH)}
    return _floats(served["features"], _WIDTH)[:, bounds[part]]


def _joined(batch: LoggedBatch, part: str) -> NDArray[np.float32]:
    if part == "artwork":
        return batch.batch.artworks[batch.chosen]
    return batch.batch.shared[:, {"profile": PROFILE_PART, "title": TITLE_PART, "familiarity": FAMILIARITY_PART}[part]]


def _floats(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    blank = b"\x00" * (width * 4)
    whole = (value if value is not None and len(value) == len(blank) else blank for value in column.to_pylist())
    return np.frombuffer(b"".join(whole), dtype="<f4").reshape(-1, width)
