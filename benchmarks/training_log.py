"""A training set of any length, written as `pipelines.training_set` writes one: what the benchmark of training reads.

Its features are as dense as those of a service some weeks old: a profile has 8 tastes and all of its activity, an
artwork 3 styles and all of its response. Each part is a day of `PART_DECISIONS` decisions by 5,000 profiles on 500
titles, drawn uniformly; artworks that match the profile's taste take more.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.interval import Interval
from models.layout import ARTWORK, DEVICES, FEATURE_SERVICE, PROFILE, TASTES, TITLE
from pipelines.column import lists
from pipelines.part import digest, part_bytes, write_whole
from pipelines.training_part import PART_VIEWS, ROWS, VECTORS

PART_DECISIONS = 100_000
_N_PROFILES, _N_TITLES = 5_000, 500
_N_TASTES = len(TASTES)
_FIRST_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogSpec:
    """How long a log is, and how many artworks each title has."""

    n_decisions: int
    n_artworks: int
    seed: int = 0


def write_training_log(directory: Path, spec: LogSpec) -> str:
    """Write the training set, one part at a time; returns its URI."""
    digests: dict[str, str] = {}
    keys = []
    for number, first in enumerate(range(0, spec.n_decisions, PART_DECISIONS)):
        start_at = _FIRST_AT + timedelta(days=number)
        interval = Interval(start_at, start_at + timedelta(days=1))
        rng = np.random.default_rng([spec.seed, number])
        for name, table in _part(spec, min(PART_DECISIONS, spec.n_decisions - first), start_at, rng).items():
            content = part_bytes(table)
            write_whole(directory / f"{name}-{interval.key}.parquet", content)
            digests[f"{name}-{interval.key}.parquet"] = digest(content)
        keys.append(interval.key)
    end_at = _FIRST_AT + timedelta(days=len(keys))
    manifest = {
        "as_of": end_at.isoformat(),
        "learned_from_at": _FIRST_AT.isoformat(),
        "learned_through_at": end_at.isoformat(),
        "n_decisions": spec.n_decisions,
        "intervals": keys,
        "holdout_share": 0.4,
        "data_version": digest(json.dumps(digests, sort_keys=True).encode()),
        "n_left_out": 0,
        "skew": {},
        "feature_service": FEATURE_SERVICE,
        "files": digests,
    }
    write_whole(directory / "manifest.json", json.dumps(manifest).encode())
    return directory.absolute().as_uri()


def _part(spec: LogSpec, n: int, start_at: datetime, rng: np.random.Generator) -> dict[str, pa.Table]:
    k = spec.n_artworks
    fixed = np.random.default_rng([spec.seed, 2**32])
    style = _directions(fixed, _N_TITLES * k, 3)
    taste = _directions(fixed, _N_PROFILES, 8)
    vectors = {
        "profile_taste": np.concatenate([taste, rng.uniform(0.1, 2.0, (_N_PROFILES, len(PROFILE) - _N_TASTES))], 1),
        "title_profile": rng.uniform(0.1, 2.0, (_N_TITLES, len(TITLE))),
        "artwork_profile": np.concatenate([style, rng.uniform(0.1, 2.0, (len(style), len(ARTWORK) - _N_TASTES))], 1),
    }
    profile, title, drawn = (rng.integers(most, size=n) for most in (_N_PROFILES, _N_TITLES, k))
    artwork = title * k + drawn
    chance = 0.1 + 0.3 * np.einsum("na,na->n", taste[profile], style[artwork])
    seen = rng.random(n) < 0.4
    familiarity = seen[:, None] * np.stack([np.ones(n), rng.uniform(0.1, 5, n), rng.uniform(0.1, 3, n)], axis=1)
    places = title[:, None] * k + np.arange(k)
    at = np.datetime64(start_at.replace(tzinfo=None), "us") + np.sort(rng.integers(0, 86_400_000_000, n))
    names = _Names(k)
    columns = {
        "decision_id": pa.array([f"{start_at:%Y%m%d}-{row}" for row in range(n)]),
        "decided_at": pa.array(at, pa.timestamp("us", "UTC")),
        "profile_id": names.profiles.take(pa.array(profile)),
        "title_id": names.titles.take(pa.array(title)),
        "artwork_id": names.artworks.take(pa.array(artwork)),
        "actions": pa.ListArray.from_arrays(
            pa.array(np.arange(0, n * k + 1, k), pa.int32()), names.artworks.take(pa.array(places.ravel()))
        ),
        "propensity": pa.array(np.full(n, 1.0 / k)),
        "cell": pa.array(["live"] * n),
        "epoch": pa.array(np.full(n, (start_at - datetime(1970, 1, 1, tzinfo=UTC)).days)),
        "device": pa.array(DEVICES).take(pa.array(rng.integers(len(DEVICES), size=n))),
        "country": pa.array(["NL", "BR", "JP"]).take(pa.array(profile % 3)),
        "language": pa.array(["nl", "pt", "ja"]).take(pa.array(profile % 3)),
        "local_hour": pa.array(rng.integers(24, size=n), pa.int32()),
        "day_of_week": pa.array(rng.integers(7, size=n), pa.int32()),
        "row": pa.array(rng.integers(4, size=n), pa.int32()),
        "column": pa.array(rng.integers(5, size=n), pa.int32()),
        "score": pa.array(np.round(rng.random(n), 4)),
        "reward": pa.array((rng.random(n) < chance).astype(np.float64)),
        "matured_at": pa.array(at, pa.timestamp("us", "UTC")),
        "profile_place": pa.array(profile, pa.int32()),
        "title_place": pa.array(title, pa.int32()),
        "familiarity": lists(familiarity, pa.float32()).cast(ROWS.field("familiarity").type),
        "artwork_places": pa.ListArray.from_arrays(
            pa.array(np.arange(0, n * k + 1, k), pa.int32()), pa.array(places.ravel(), pa.int32())
        ),
    }
    rows = pa.table([columns[field.name].cast(field.type) for field in ROWS], schema=ROWS)
    kept = {PART_VIEWS[view]: pa.table([_vectors(values)], schema=VECTORS) for view, values in vectors.items()}
    return {"part": rows, **kept}


class _Names:
    def __init__(self, k: int) -> None:
        self.profiles = pa.array([f"profile-{place:05}" for place in range(_N_PROFILES)])
        self.titles = pa.array([f"title-{place:04}" for place in range(_N_TITLES)])
        self.artworks = pa.array([f"artwork-{place:06}" for place in range(_N_TITLES * k)])


def _directions(rng: np.random.Generator, n: int, n_each: int) -> NDArray[np.float64]:
    """Draw `(n, tastes)` rows of length 1 with `n_each` tastes that are not zero."""
    values = np.zeros((n, _N_TASTES))
    chosen = np.argsort(rng.random((n, _N_TASTES)), axis=1)[:, :n_each]
    np.put_along_axis(values, chosen, rng.uniform(0.2, 1.0, (n, n_each)), axis=1)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float64)


def _vectors(values: NDArray[np.float64]) -> pa.Array:
    return lists(values.astype(np.float32), pa.float32()).cast(VECTORS.field("vector").type)
