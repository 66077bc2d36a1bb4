"""What is known online about profiles, titles and artworks, whatever store it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.batch import Keys
from models.error import ContractError
from models.layout import ARTWORK, FAMILIARITY, PROFILE, TITLE
from models.vector import familiarity_vectors

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ProfileFeatures:
    """One profile's packed row.

    Args:
        vector: `(len(PROFILE),)` float32.
        title_keys: `(t,)` 64-bit keys of the titles this profile has met lately, in any order.
        minutes: `(t,)` float32, minutes watched of each.
        impressions: `(t,)` float32, impressions of each.

    Raises:
        ContractError: if a shape does not fit or a value is not finite.
    """

    vector: Vectors
    title_keys: Keys
    minutes: Vectors
    impressions: Vectors

    def __post_init__(self) -> None:
        met = self.title_keys.shape
        expected = {
            "vector": (len(PROFILE),),
            "title_keys": (self.title_keys.size,),
            "minutes": met,
            "impressions": met,
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ContractError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        for name in ("vector", "minutes", "impressions"):
            values = getattr(self, name)
            # A sum of squares is finite only if all are; that it may be infinite where none is costs a second look.
            if not isfinite(values.dot(values)) and not np.isfinite(values).all():
                raise ContractError(f"{name} of a profile must be finite")


class OnlineFeatures(Protocol):
    """An online feature store as the scorer sees it. Calls may block and may come from several threads.

    Raises:
        FeatureUnavailableError: (every method) if the store does not answer.
    """

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row; None where there is none, or one that is stale at `at`."""
        ...

    def titles(self, title_ids: Sequence[str]) -> Vectors:
        """Read `(n, len(TITLE))` vectors in bulk; zeros for an unknown title."""
        ...

    def artworks(self, artwork_ids: Sequence[str]) -> Vectors:
        """Read `(m, len(ARTWORK))` vectors in bulk; zeros for an unknown artwork."""
        ...

    def profile_reader(self) -> "ProfileReader | None":
        """Make a reader of profiles that waits on the event loop; None where only a thread can wait for the store."""
        ...


class ProfileReader(Protocol):
    """Reads as `OnlineFeatures.profile` does and raises what it raises, without blocking, on one event loop."""

    async def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row; None where there is none, or one that is stale at `at`."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class InMemoryFeatures:
    """Online features held in dictionaries: for tests, simulations and whoever runs no feature store.

    Args: profiles, each row with the moment it was known at; titles and artworks, vectors by id; ttl, the age from
    which a profile's row counts as missing.
    """

    def __init__(
        self,
        profiles: Mapping[str, tuple[ProfileFeatures, datetime]] | None = None,
        titles: Mapping[str, Vectors] | None = None,
        artworks: Mapping[str, Vectors] | None = None,
        *,
        ttl: timedelta = timedelta(days=90),
    ) -> None:
        self._profiles = dict(profiles or {})
        self._titles = dict(titles or {})
        self._artworks = dict(artworks or {})
        self._ttl = ttl

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Look one profile up; None where there is none or it is older than the time to live."""
        features, known_at = self._profiles.get(profile_id, (None, at))
        return features if at - known_at <= self._ttl else None

    def profile_reader(self) -> ProfileReader | None:
        """Make none: a look-up in memory waits for nothing, and whoever inherits it may."""
        return None

    def titles(self, title_ids: Sequence[str]) -> Vectors:
        """Stack the titles' vectors, `(n, len(TITLE))`."""
        return _stack(self._titles, title_ids, len(TITLE))

    def artworks(self, artwork_ids: Sequence[str]) -> Vectors:
        """Stack the artworks' vectors, `(m, len(ARTWORK))`."""
        return _stack(self._artworks, artwork_ids, len(ARTWORK))


def familiarity_matrix(profile: ProfileFeatures | None, title_keys: Keys) -> Vectors:
    """Tell how well a profile knows each title.

    Args: profile, its row or None; title_keys `(n,)`.

    Returns: `(n, len(FAMILIARITY))`, laid out by `models.vector.familiarity_vectors`, which lays out training sets too.
    """
    if profile is None or not profile.title_keys.size:
        return np.zeros((len(title_keys), len(FAMILIARITY)), dtype=np.float32)
    order = np.argsort(profile.title_keys, kind="stable")
    met = profile.title_keys[order]
    places = np.minimum(np.searchsorted(met, title_keys), len(met) - 1)
    rows = order[places]
    return familiarity_vectors(met[places] == title_keys, profile.minutes[rows], profile.impressions[rows])


def _stack(known: Mapping[str, Vectors], ids: Sequence[str], width: int) -> Vectors:
    out = np.zeros((len(ids), width), dtype=np.float32)
    for row, name in enumerate(ids):
        if name in known:
            out[row] = known[name]
    return out
