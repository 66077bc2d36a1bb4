"""One reward interval of a training set: its decisions with rewards, and the vectors that were known at each.

Vectors are kept once for each (key, step) and rows point at them; −1 points at zeros. Familiarity, three numbers, is
kept with the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.error import ContractError
from models.interval import Interval
from models.layout import FAMILIARITY
from models.vector import familiarity_vectors
from pipelines.column import Column, intervals_of, lists, signed_keys, times
from pipelines.event_sql import quoted
from pipelines.feature_rows import VIEWS
from pipelines.lake import Lake
from pipelines.point_in_time import Joined, Known, PointInTime, Times
from pipelines.settings import Settings
from pipelines.table import DECISIONS, REWARDS
from pipelines.training_folder import TrainingFolder
from pipelines.workspace import Workspace, workspace

_CONTEXT = ("device", "country", "language", "local_hour", "day_of_week", "row", "column", "score")
_LOGGED = (
    "decision_id",
    "decided_at",
    "profile_id",
    "title_id",
    "artwork_id",
    "actions",
    "propensity",
    "cell",
    "epoch",
    *_CONTEXT,
)
_REWARDED = ("decision_id", "decided_at", "reward", "matured_at", "rule")
_FLOATS = pa.list_(pa.float32())
_PAIR = np.dtype([("row", np.int64), ("title", np.int64)])

_JOINED = pa.schema(
    [DECISIONS.schema.field(name) for name in _LOGGED]
    + [REWARDS.schema.field(name) for name in ("reward", "matured_at")]
)
_IN_ORDER = (
    f"SELECT {quoted(_JOINED.names)} FROM (SELECT * EXCLUDE decided_at FROM kept) JOIN decided USING (decision_id) "
    f"ORDER BY {quoted(REWARDS.order)}"
)

ROWS = pa.schema([
    *_JOINED,
    pa.field("profile_place", pa.int32()),
    pa.field("title_place", pa.int32()),
    pa.field("familiarity", _FLOATS),
    pa.field("artwork_places", pa.list_(pa.int32())),
])
"""`…_place` are rows of the part's vectors of that view; `artwork_places` runs along `actions`."""

VECTORS = pa.schema([("vector", _FLOATS)])
PART_VIEWS = {"profile_taste": "profiles", "title_profile": "titles", "artwork_profile": "artworks"}
"""The views whose vectors a part keeps, and the file that keeps them."""


@dataclass(frozen=True, slots=True)
class TrainingPart:
    """What one interval's part holds.

    `n_left_out` counts rewards of decisions from before the stretch that was ingested: a backfill may begin in the
    middle of a log, and nothing is known of what was known then.
    """

    interval: Interval
    n_rows: int
    n_left_out: int


def rows_file(key: str) -> str:
    """Name the file of a part's rows."""
    return f"part-{key}.parquet"


def vectors_file(view: str, key: str) -> str:
    """Name the file of the vectors that a part's rows point at."""
    return f"{PART_VIEWS[view]}-{key}.parquet"


def write_part(
    settings: Settings, lake: Lake, views: Mapping[str, PointInTime], interval: Interval, folder: TrainingFolder
) -> TrainingPart:
    """Join the rewards that matured in the interval with their decisions and what was known at each.

    Rows are never held at once: they are sorted on disk, looked through for what must be asked of the views, and
    written a batch at a time with the answers, in order of maturity.

    Raises:
        ContractError: naming a reward whose decision should be in the lake and is not, or whose rule is another than
            the setting's.
    """
    with workspace(settings) as space:
        n_left_out = _lay_out(settings, lake, interval, space)
        logged = space.spill(_JOINED)
        questions = {view: each.questions() for view, each in views.items()}
        n_rows = 0
        for batch in space.batches(_IN_ORDER):
            rows = pa.Table.from_batches([batch]).cast(_JOINED)
            n_rows += len(rows)
            for view, asked in questions.items():
                asked.add(*_asked(view, rows))
            logged.add(rows.combine_chunks().to_batches()[0])
        logged.close()
        known = {view: asked.answer() for view, asked in questions.items()}
        met = Familiarity(known["profile_familiarity"].features)
        joined = (_with_places(pa.Table.from_batches([batch]), known, met) for batch in logged.batches())
        folder.put(rows_file(interval.key), ROWS, joined)
    for view in PART_VIEWS:
        vectors = pa.table([known[view].features["vector"].combine_chunks().cast(_FLOATS)], schema=VECTORS)
        folder.put(vectors_file(view, interval.key), VECTORS, vectors.to_batches())
    return TrainingPart(interval, n_rows, n_left_out)


def joined_familiarity(met: Joined, title_ids: Column) -> NDArray[np.float32]:
    """Find how well each row's profile knew its title: `(n, len(FAMILIARITY))`, as `serving.features` does for a page.

    Args: met, joined rows of `profile_familiarity`; title_ids `(n,)`.
    """
    return Familiarity(met.features).of(met.place, title_ids)


class Familiarity:
    """Looks (profile, title) up in rows of `profile_familiarity`, which are sorted once.

    Args: features, the view's; its rows are what places point at.
    """

    def __init__(self, features: pa.Table) -> None:
        keys = features["title_keys"].combine_chunks()
        counts = np.asarray(keys.value_lengths(), dtype=np.int64)
        pairs = np.empty(counts.sum(), dtype=_PAIR)
        pairs["row"] = np.repeat(np.arange(len(counts)), counts)
        pairs["title"] = np.asarray(keys.flatten(), dtype=np.int64)
        order = np.argsort(pairs, order=("row", "title"), kind="stable")
        self._pairs = pairs[order]
        self._values = [
            np.asarray(features[name].combine_chunks().flatten(), np.float32)[order]
            for name in ("minutes", "impressions")
        ]

    def of(self, place: NDArray[np.int64], title_ids: Column) -> NDArray[np.float32]:
        """Find how well each row's profile knew its title: `(n, len(FAMILIARITY))`; nothing for a place of −1."""
        wanted = np.empty(len(place), dtype=_PAIR)
        wanted["row"], wanted["title"] = place, signed_keys(title_ids).to_numpy()
        if not len(self._pairs):
            return np.zeros((len(place), len(FAMILIARITY)), dtype=np.float32)
        at = np.minimum(np.searchsorted(self._pairs, wanted), len(self._pairs) - 1)
        return familiarity_vectors(self._pairs[at] == wanted, *(value[at] for value in self._values))


def _asked(view: str, rows: pa.Table) -> tuple[Column, Times]:
    """Say what rows of `_JOINED` ask of a view: keys and moments."""
    at = times(rows["decided_at"])
    if view != "artwork_profile":
        return rows[VIEWS[view].names[0]], at
    actions = rows["actions"].combine_chunks()
    return actions.flatten(), np.repeat(at, np.asarray(actions.value_lengths(), dtype=np.int64))


def _with_places(rows: pa.Table, known: Mapping[str, Known], met: Familiarity) -> pa.RecordBatch:
    """Complete rows of `_JOINED` to those of `ROWS`."""
    place = {view: each.place(*_asked(view, rows)) for view, each in known.items()}
    counts = np.asarray(rows["actions"].combine_chunks().value_lengths(), dtype=np.int64)
    familiarity = met.of(place["profile_familiarity"], rows["title_id"])
    columns = [
        *rows.columns,
        pa.array(place["profile_taste"], pa.int32()),
        pa.array(place["title_profile"], pa.int32()),
        lists(familiarity, pa.float32()).cast(_FLOATS),
        pa.ListArray.from_arrays(_offsets(counts), pa.array(place["artwork_profile"], pa.int32())),
    ]
    return pa.table(columns, schema=ROWS).combine_chunks().to_batches()[0]


def _lay_out(settings: Settings, lake: Lake, interval: Interval, space: Workspace) -> int:
    """Lay the interval's rewards and their decisions out in the workspace; returns how many rewards are left out."""
    space.create("matured", pa.schema([REWARDS.schema.field(name) for name in _REWARDED]))
    space.insert("matured", lake.reader(REWARDS, interval.start_at, interval.end_at, columns=_REWARDED))
    rules = space.table("SELECT DISTINCT rule FROM matured ORDER BY rule")["rule"].to_pylist()
    if other := [rule for rule in rules if rule != settings.reward_rule]:
        raise ContractError(
            f"rewards of {interval.key} must follow {settings.reward_rule}, got {other[0]}: attribute anew"
        )
    # A file, because a table of DuckDB's would hold lists in memory beyond its limit while they are inserted.
    decided_rows = space.spill(pa.schema([DECISIONS.schema.field(name) for name in _LOGGED]))
    n_matured = space.count("SELECT count(*) FROM matured")
    space.do("CREATE TABLE kept AS FROM matured LIMIT 0")
    ingested = set(lake.intervals(DECISIONS))
    for decided in _decided_intervals(settings, space):
        if decided.key in ingested:
            between = f"decided_at >= '{decided.start_at.isoformat()}' AND decided_at < '{decided.end_at.isoformat()}'"
            space.do(f"INSERT INTO kept FROM matured WHERE {between}")
            rows = lake.reader(DECISIONS, decided.start_at, decided.end_at, columns=_LOGGED)
            for batch in space.choose(rows, "SEMI JOIN kept USING (decision_id)"):
                decided_rows.add(batch.cast(decided_rows.schema))
    decided_rows.close()
    space.do(f"CREATE VIEW decided AS FROM {decided_rows.sql}")
    missing = space.table("SELECT decision_id FROM kept ANTI JOIN decided USING (decision_id) ORDER BY ALL LIMIT 1")
    if len(missing):
        raise ContractError(
            f"a reward must have its decision in the lake, got none (decision_id={missing['decision_id'][0]})"
        )
    return n_matured - space.count("SELECT count(*) FROM kept")


def _decided_intervals(settings: Settings, space: Workspace) -> list[Interval]:
    """List the intervals of the decisions that matured."""
    length = round(settings.interval_hours * 3_600_000_000)
    found = space.table(f"SELECT DISTINCT epoch_us(decided_at) // {length} AS number FROM matured")
    return intervals_of((found["number"].to_numpy() * length).view("datetime64[us]"), settings.interval_hours)


def _offsets(counts: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
