"""Training sets: matured decisions with what was known when they were made, by Feast's point-in-time join.

HOME/training/<as_of>/ holds, for each reward interval, part-<key>.parquet (rows) and the vectors that its rows point
at; manifest.json, written last, lists what belongs to the set. Built again from the same data, nothing is written.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.assignment import is_held_out
from models.batch import LoggedBatch
from models.error import ContractError, NotReadyError
from models.interval import Interval, moment_key
from models.layout import FEATURE_SERVICE
from pipelines.as_known import ExpressionPointInTime
from pipelines.column import unsigned_keys
from pipelines.feature_rows import VIEWS, WIDTHS
from pipelines.first_reward import when_known
from pipelines.lake import Lake
from pipelines.part import read_part, refuse_altered
from pipelines.point_in_time import PointInTime
from pipelines.settings import Settings
from pipelines.skew import Skew, served_against_joined
from pipelines.table import REWARDS
from pipelines.training_batch import logged_batch
from pipelines.training_folder import TrainingFolder
from pipelines.training_part import (
    PART_VIEWS,
    ROWS,
    VECTORS,
    TrainingPart,
    rows_file,
    vectors_file,
    write_part,
)
from serving.feature_store import apply_feature_repo, open_feature_store

_SKEW_DECISIONS = 2_000
MAX_ROWS = 16_384
"""Rows read at a time: measured twice as fast as 50,000 of 30 artworks, whose vectors no cache holds."""


class Side(StrEnum):
    """Whose decisions: of the profiles that train, of those that only judge, or of all."""

    TRAIN = "train"
    JUDGE = "judge"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Where a training set is and what it holds.

    `learned_from_at` and `learned_through_at` bound the intervals in which its rewards matured; `intervals` are their
    keys. Profiles of `holdout_share` only judge. `data_version` names the content: the same rows and vectors, the same
    version. `n_left_out` counts rewards of decisions from before anything was ingested. `skew` holds a sample of the
    newest interval against what was served.
    """

    uri: str
    as_of: datetime
    learned_from_at: datetime
    learned_through_at: datetime
    n_decisions: int
    intervals: tuple[str, ...]
    holdout_share: float
    data_version: str = ""
    n_left_out: int = 0
    skew: Skew = field(default_factory=Skew)


def build_training_set(settings: Settings, as_of: datetime, directory: Path | None = None) -> TrainingSet:
    """Build the training set of what had matured by `as_of`, an interval at a time.

    Args: directory, where to build it, HOME/training/<as_of> if not given.

    Raises:
        NotReadyError: if no rewards have matured in the training window, and when there will be some.
        ContractError: naming what contradicts its contract.
    """
    lake = Lake(settings.lake_dir)
    intervals = _matured(settings, lake, as_of)
    if not intervals:
        raise _nothing_known(settings, as_of)
    apply_feature_repo(settings)
    store = open_feature_store(settings)
    joining = ExpressionPointInTime if settings.engine == "spark" else PointInTime
    views = {view: joining(settings, store, view) for view in VIEWS}
    directory = directory or settings.training_dir / moment_key(as_of)
    folder = TrainingFolder(directory)
    parts = [write_part(settings, lake, views, interval, folder) for interval in intervals]
    newest = next((part for part in reversed(parts) if part.n_rows), None)
    if newest is None:
        raise _nothing_known(settings, as_of, sum(part.n_left_out for part in parts))
    built = TrainingSet(
        uri=directory.absolute().as_uri(),
        as_of=as_of,
        learned_from_at=intervals[0].start_at,
        learned_through_at=intervals[-1].end_at,
        n_decisions=sum(part.n_rows for part in parts),
        intervals=tuple(interval.key for interval in intervals),
        holdout_share=settings.holdout_share,
        data_version=folder.data_version,
        n_left_out=sum(part.n_left_out for part in parts),
        skew=_sampled_skew(settings, directory, newest),
    )
    folder.seal(_fields(built))
    return built


def read_training_set(uri: str) -> TrainingSet:
    """Read back what `build_training_set` returned.

    Raises:
        ContractError: naming a manifest that is missing or cannot be read.
    """
    path = _directory(uri) / "manifest.json"
    try:
        fields: dict[str, Any] = json.loads(path.read_bytes())
        if fields["feature_service"] != FEATURE_SERVICE:
            raise ValueError(f"feature service must be {FEATURE_SERVICE}, got {fields['feature_service']!r}")
        return TrainingSet(
            uri=_directory(uri).absolute().as_uri(),
            as_of=datetime.fromisoformat(fields["as_of"]),
            learned_from_at=datetime.fromisoformat(fields["learned_from_at"]),
            learned_through_at=datetime.fromisoformat(fields["learned_through_at"]),
            n_decisions=int(fields["n_decisions"]),
            intervals=tuple(fields["intervals"]),
            holdout_share=float(fields["holdout_share"]),
            data_version=str(fields["data_version"]),
            n_left_out=int(fields["n_left_out"]),
            skew=Skew(**fields["skew"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"not the manifest of a training set: {path}: {error}") from error


def newest_training_set(settings: Settings) -> TrainingSet | None:
    """Read the training set of the latest `as_of`; None before any.

    Raises:
        ContractError: naming a manifest that cannot be read.
    """
    found = max(settings.training_dir.glob("*/manifest.json"), default=None)
    return read_training_set(found.parent.absolute().as_uri()) if found else None


def iter_training_batches(
    uri: str,
    side: Side,
    *,
    holdout_share: float | None = None,
    max_rows: int = MAX_ROWS,
    from_at: datetime | None = None,
) -> Iterator[LoggedBatch]:
    """Yield a training set's decisions in order of maturity, at most `max_rows` at a time.

    Args: uri, of `TrainingSet`; side, whose decisions; holdout_share, the profiles that only judge, those of the set
    if not given; from_at, leave out intervals that begin before it.

    Raises:
        ContractError: naming a file that is not what the manifest says, or if a profile that trains would judge or one
        that judges would train.
    """
    directory, digests = _directory(uri), _read_digests(uri)
    found = read_training_set(uri)
    share = _share(found, side, holdout_share)
    first_key = moment_key(from_at) if from_at else ""
    for key in (key for key in found.intervals if key >= first_key):
        for name in (rows_file(key), *(vectors_file(view, key) for view in PART_VIEWS)):
            refuse_altered(directory / name, digests.get(name, ""))
        vectors = {view: _read_vectors(directory, view, key) for view in PART_VIEWS}
        for rows in _row_batches(directory / rows_file(key), max_rows):
            chosen = rows if side is Side.ALL else rows.filter(_on_side(rows, side, share))
            if len(chosen):
                yield logged_batch(chosen, vectors)


def _share(found: TrainingSet, side: Side, asked: float | None) -> float:
    """Hold a share that is asked for to the set's: the profiles of a smaller one are among those of a larger one."""
    share = found.holdout_share if asked is None else asked
    if (side is Side.JUDGE and share > found.holdout_share) or (side is Side.TRAIN and share < found.holdout_share):
        raise ContractError(f"holdout_share must be {found.holdout_share} as in {found.uri}, got {share} to {side}")
    return share


def _nothing_known(settings: Settings, as_of: datetime, n_left_out: int = 0) -> NotReadyError:
    window = f"no reward matured in the {settings.training_window_days:g} days before {as_of.isoformat()}"
    but = f" but {n_left_out:,} of decisions from before anything was ingested" if n_left_out else ""
    return NotReadyError(f"{window}{but}: {when_known(settings, as_of)}")


def _matured(settings: Settings, lake: Lake, as_of: datetime) -> list[Interval]:
    """List the reward intervals that end by `as_of` and begin within the training window."""
    intervals = [Interval.parse(key, settings.interval_hours) for key in lake.intervals(REWARDS)]
    from_at = as_of - timedelta(days=settings.training_window_days)
    return [interval for interval in intervals if from_at <= interval.start_at and interval.end_at <= as_of]


def _sampled_skew(settings: Settings, directory: Path, part: TrainingPart) -> Skew:
    """Compare decisions that are spread evenly over the part."""
    n, key, first = min(part.n_rows, _SKEW_DECISIONS), part.interval.key, 0
    wanted = np.arange(n) * part.n_rows // n
    chosen = []
    for rows in _row_batches(directory / rows_file(key), MAX_ROWS):
        here = wanted[(wanted >= first) & (wanted < first + len(rows))] - first
        chosen.append(rows.take(pa.array(here)))
        first += len(rows)
    sample = pa.concat_tables(chosen)
    vectors = {view: _read_vectors(directory, view, key) for view in PART_VIEWS}
    return served_against_joined(settings, sample, logged_batch(sample, vectors))


def _fields(built: TrainingSet) -> dict[str, Any]:
    """Lay a set out as its manifest has it."""
    fields: dict[str, Any] = {name: value for name, value in asdict(built).items() if name != "uri"}
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = value.isoformat()
    return fields | {"feature_service": FEATURE_SERVICE}


def _directory(uri: str) -> Path:
    parsed = urlparse(uri)
    if parsed.scheme not in {"", "file"}:
        raise ContractError(f"a training set is read from a local folder, got {uri!r}")
    return Path(url2pathname(parsed.path)) if parsed.scheme else Path(uri)


def _read_digests(uri: str) -> dict[str, str]:
    path = _directory(uri) / "manifest.json"
    try:
        return {str(name): str(found) for name, found in json.loads(path.read_bytes())["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"not the manifest of a training set: {path}: {error}") from error


def _read_vectors(directory: Path, view: str, key: str) -> NDArray[np.float32]:
    """Read a part's vectors, `(v + 1, width)`: the last row is zeros, where a place of −1 points."""
    path = directory / vectors_file(view, key)
    column = read_part(path, VECTORS)["vector"]
    width = WIDTHS[view]
    if (np.asarray(column.combine_chunks().value_lengths()) != width).any():
        raise ContractError(f"column vector must have {width} values a row ({path})")
    return _padded(column, width)


def _padded(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    vectors = np.asarray(column.combine_chunks().flatten(), dtype=np.float32).reshape(-1, width)
    return np.concatenate([vectors, np.zeros((1, width), np.float32)])


def _row_batches(path: Path, max_rows: int) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=max_rows, columns=ROWS.names):
                yield pa.Table.from_batches([batch]).cast(ROWS)
    except (pa.ArrowInvalid, OSError) as error:
        raise ContractError(f"not a readable part of a training set: {path}: {error}") from error


def _on_side(rows: pa.Table, side: Side, holdout_share: float) -> pa.Array:
    held_out = is_held_out(unsigned_keys(rows["profile_id"]), holdout_share)
    return pa.array(held_out if side is Side.JUDGE else ~held_out)
