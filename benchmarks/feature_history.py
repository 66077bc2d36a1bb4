"""Four weeks of feature rows, in parts as the steps write them, and impressions to join them to; drawn at random."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.layout import ARTWORK, PROFILE, TITLE
from pipelines.column import TIME, lists
from pipelines.feature_rows import VIEWS
from pipelines.part import part_bytes, write_whole

START_AT = datetime(2026, 10, 1, tzinfo=UTC)
_FLOATS = pa.list_(pa.float32())


@dataclass(frozen=True, slots=True)
class History:
    """How much there is to join: `n_active` profiles are drawn a day, some twice."""

    n_days: int = 28
    n_profiles: int = 50_000
    n_active: int = 20_000
    n_titles: int = 2_000
    n_artworks: int = 20_000


HISTORY = History()


def write_history(features_dir: Path, size: History = HISTORY) -> None:
    """Write each view's part of each day: rows of the day's active profiles, of all titles and of all artworks."""
    rng = np.random.default_rng(17)
    for day in range(size.n_days):
        who = np.unique(rng.integers(0, size.n_profiles, size.n_active))
        title, artwork = np.arange(size.n_titles), np.arange(size.n_artworks)
        parts = {
            "profile_taste": [_ids("profile", who), _vectors(rng, len(who), len(PROFILE))],
            "profile_familiarity": [_ids("profile", who), *_met(rng, len(who))],
            "title_profile": [_ids("title", title), _vectors(rng, size.n_titles, len(TITLE))],
            "artwork_profile": [
                _ids("artwork", artwork),
                _vectors(rng, size.n_artworks, len(ARTWORK)),
                pa.array(rng.random(size.n_artworks), pa.float32()),
                pa.array(rng.integers(0, 10_000, size.n_artworks)),
            ],
        }
        for view, columns in parts.items():
            known_at = pa.array([START_AT + timedelta(days=day + 1)] * len(columns[0]), TIME)
            rows = pa.table([*columns, known_at, known_at], schema=VIEWS[view])
            write_whole(features_dir / view / f"interval={day:02d}" / "part.parquet", part_bytes(rows))


def write_impressions(path: Path, n: int, size: History = HISTORY) -> None:
    """Write n impressions, spread evenly over all days."""
    rng = np.random.default_rng(n)
    at = START_AT.timestamp() * 1e6 + rng.random(n) * size.n_days * 86_400e6
    ids = {
        "profile_id": _ids("profile", rng.integers(0, size.n_profiles, n)),
        "title_id": _ids("title", rng.integers(0, size.n_titles, n)),
        "artwork_id": _ids("artwork", rng.integers(0, size.n_artworks, n)),
    }
    write_whole(path, part_bytes(pa.table(ids | {"event_timestamp": pa.array(at.astype(np.int64)).cast(TIME)})))


def _ids(kind: str, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    return pa.array([f"{kind}-{number:06d}" for number in numbers.tolist()])


def _vectors(rng: np.random.Generator, n: int, width: int) -> pa.Array:
    return lists(rng.normal(size=(n, width)).astype(np.float32), pa.float32()).cast(_FLOATS)


def _met(rng: np.random.Generator, n: int) -> list[pa.Array]:
    """Draw up to 40 titles that each profile has met, with minutes and impressions of each."""
    offsets = pa.array(np.concatenate(([0], np.cumsum(rng.integers(0, 41, n)))), pa.int32())
    total = offsets[-1].as_py()
    keys, minutes, seen = rng.integers(-(2**62), 2**62, total), rng.random(total) * 90, rng.integers(1, 20, total)
    values = (pa.array(keys), pa.array(minutes, pa.float32()), pa.array(seen, pa.float32()))
    return [pa.ListArray.from_arrays(offsets, each) for each in values]
