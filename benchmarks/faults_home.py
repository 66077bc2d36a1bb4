"""What the scorer that `faults` torments serves: a catalogue, and rows in Redis, written and read through Feast."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache

import numpy as np
import pyarrow as pa

from models.catalogue import Artwork, Catalogue, Title
from models.identity import hash64, keys_of
from models.layout import ARTWORK, PROFILE, TITLE
from models.moment import EARLIEST
from pipelines.feature_rows import VIEWS
from pipelines.settings import Settings
from serving.feature_store import apply_feature_repo, open_feature_store
from serving.features import Vectors

N_TITLES, N_ARTWORKS, N_MOTIFS = 20, 6, 3
_N_MET = 12


@cache
def catalogue() -> Catalogue:
    """Make titles t0, t1 and so on, each with artworks t0-a0, t0-a1 and so on, of motifs that all titles share."""
    titles = [Title(f"t{n}", EARLIEST) for n in range(N_TITLES)]
    artworks = [
        Artwork(f"{title.title_id}-a{k}", title.title_id, EARLIEST, motif=f"motif-{k % N_MOTIFS}")
        for title in titles
        for k in range(N_ARTWORKS)
    ]
    return Catalogue(titles, artworks)


def vector_of(name: str, width: int) -> Vectors:
    """Make a vector out of nothing but an id."""
    return np.random.default_rng(hash64(name)).normal(size=width).astype(np.float32)


def artwork_vectors() -> dict[str, Vectors]:
    """Every artwork's vector by id."""
    return {name: vector_of(name, len(ARTWORK)) for name in catalogue().artworks}


@contextlib.contextmanager
def redis_at(port: int) -> Iterator[None]:
    """Name the Redis that Feast's configuration refers to, until the block ends."""
    before = os.environ.get("MARQUEE_REDIS")
    os.environ["MARQUEE_REDIS"] = f"127.0.0.1:{port}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MARQUEE_REDIS"]
        else:
            os.environ["MARQUEE_REDIS"] = before


def fill(settings: Settings, n_profiles: int) -> None:
    """Apply the feature repository, and write rows of all titles and artworks and of profiles p0, p1 and so on."""
    apply_feature_repo(settings)
    store = open_feature_store(settings, online_only=True)
    profiles = [f"p{n}" for n in range(n_profiles)]
    met = [np.random.default_rng(hash64(name)).choice(N_TITLES, _N_MET, replace=False) for name in profiles]
    keys = keys_of([f"t{n}" for n in range(N_TITLES)]).view(np.int64)
    rows: dict[str, tuple[Sequence[str], dict[str, object]]] = {
        "profile_taste": (profiles, {"vector": _vectors(profiles, len(PROFILE))}),
        "profile_familiarity": (
            profiles,
            {
                "title_keys": [keys[each].tolist() for each in met],
                "minutes": [np.abs(vector_of(f"minutes of {name}", _N_MET)).tolist() for name in profiles],
                "impressions": [[3.0] * _N_MET for _ in profiles],
            },
        ),
        "title_profile": (list(catalogue().titles), {"vector": _vectors(list(catalogue().titles), len(TITLE))}),
        "artwork_profile": (
            list(catalogue().artworks),
            {
                "vector": _vectors(list(catalogue().artworks), len(ARTWORK)),
                "take_fraction": [0.1] * len(catalogue().artworks),
                "n_impressions": [100] * len(catalogue().artworks),
            },
        ),
    }
    now = datetime.now(UTC)
    for view, (ids, columns) in rows.items():
        stamps = {"event_timestamp": [now] * len(ids), "created_timestamp": [now] * len(ids)}
        table = pa.table({VIEWS[view].names[0]: ids, **columns, **stamps}, schema=VIEWS[view])
        store.write_to_online_store(view, table.to_pandas())


def _vectors(ids: Sequence[str], width: int) -> list[list[float]]:
    return [vector_of(name, width).tolist() for name in ids]
