"""What every implementation of `OnlineFeatures` must do: each adapter's test calls `check_online_features`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from models.identity import keys_of
from models.layout import ARTWORK, PROFILE, TITLE
from serving.catalogue_index import microseconds
from serving.features import KnownVectors, OnlineFeatures, ProfileFeatures, Vectors

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
TTL = timedelta(days=90)
_MORE_THAN_A_CHUNK = 1_001


@dataclass(frozen=True, slots=True)
class Rows:
    """What an adapter is to be filled with: rows by id, a profile's with the moment it was known at, others at NOW."""

    profiles: dict[str, tuple[ProfileFeatures, datetime]]
    titles: dict[str, Vectors]
    artworks: dict[str, Vectors]


def example_rows() -> Rows:
    """Make a few rows of every kind; 'p-stale' is older than TTL at NOW and 'p-new' knows no title yet."""
    generator = np.random.default_rng(7)

    def vector(width: int) -> Vectors:
        return generator.normal(size=width).astype(np.float32)

    def profile(*titles: str) -> ProfileFeatures:
        n = len(titles)
        return ProfileFeatures(vector(len(PROFILE)), keys_of(titles), abs(vector(n)) * 60, abs(vector(n)) * 9)

    fresh = NOW - timedelta(hours=12)
    return Rows(
        profiles={
            "p-known": (profile("t-1", "t-2", "t-9"), fresh),
            "p-new": (profile(), fresh),
            "p-stale": (profile("t-1"), NOW - TTL - timedelta(hours=1)),
            "p-just-in-time": (profile("t-2"), NOW - TTL + timedelta(hours=1)),
        },
        titles={f"t-{n}": vector(len(TITLE)) for n in range(3)},
        artworks={f"a-{n}": vector(len(ARTWORK)) for n in range(5)},
    )


def check_online_features(open_with: Callable[[Rows], OnlineFeatures]) -> None:
    """Fill an adapter with rows (time to live: TTL) and hold it to the contract."""
    rows = example_rows()
    features = open_with(rows)
    for name in ("p-known", "p-new", "p-just-in-time"):
        found, expected = features.profile(name, NOW), rows.profiles[name][0]
        assert found is not None, name
        for field in ("vector", "title_keys", "minutes", "impressions"):
            assert getattr(found, field).dtype == getattr(expected, field).dtype, (name, field)
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=f"{name}.{field}")
    assert features.profile("p-stale", NOW) is None, "a row past its time to live counts as missing"
    assert features.profile("p-unknown", NOW) is None
    assert features.profile("~anonymous", NOW) is None
    _check_bulk(features.titles, rows.titles, len(TITLE))
    _check_bulk(features.artworks, rows.artworks, len(ARTWORK))


def _check_bulk(read: Callable[[list[str]], KnownVectors], known: dict[str, Vectors], width: int) -> None:
    ids = [*reversed(known), "unknown", *known]
    found, known_us, n_refused = read(ids)
    assert n_refused == 0
    assert known_us == microseconds(NOW)
    assert found.shape == (len(ids), width)
    assert found.dtype == np.float32
    zeros = np.zeros(width, dtype=np.float32)
    np.testing.assert_array_equal(found, np.stack([known.get(name, zeros) for name in ids]))
    many = [f"unknown-{number}" for number in range(_MORE_THAN_A_CHUNK)] + ids
    further, further_us, _ = read(many)
    assert further_us == known_us
    assert not further[:_MORE_THAN_A_CHUNK].any()
    np.testing.assert_array_equal(further[_MORE_THAN_A_CHUNK:], found)
    nothing = read([])
    assert nothing.vectors.shape == (0, width)
    assert nothing.known_us in {None, microseconds(NOW)}, "an adapter may know it of all rows at once"
