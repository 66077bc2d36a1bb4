"""What is known online about profiles, titles and artworks, whatever store it comes from."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from math import isfinite
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import Keys
from models.error import ContractError
from models.jit import INTEGERS, KEYS, jitted
from models.layout import ARTWORK, PROFILE, TITLE
from models.vector import familiarity_vectors

Vectors = NDArray[np.float32]
_VECTOR = (len(PROFILE),)
_TYPES = tuple(map(np.dtype, (np.float32, np.uint64, np.float32, np.float32)))


class KnownVectors(NamedTuple):
    """Vectors read in bulk, and the latest moment that any of them was known at; None where there is none.

    A row's moment is the end of the interval that it was made of, microseconds since 1970. `n_refused` rows break their
    contract and count as missing.
    """

    vectors: Vectors
    known_us: int | None = None
    n_refused: int = 0


class ProfileFeatures(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One profile's packed row.

    Args:
        vector: `(len(PROFILE),)` float32.
        title_keys: `(t,)` 64-bit keys of the titles this profile has met lately, each once, in any order.
        minutes: `(t,)` float32, minutes watched of each.
        impressions: `(t,)` float32, impressions of each.

    Raises:
        ContractError: if a type or a shape does not fit, or a value is not finite.
    """

    vector: Vectors
    title_keys: Keys
    minutes: Vectors
    impressions: Vectors

    def __post_init__(self) -> None:
        vector, minutes, impressions = self.vector, self.minutes, self.impressions
        met = (self.title_keys.size,)
        # Profiles of several pages are laid end to end: of another type, one would change the others' last bits.
        types = vector.dtype, self.title_keys.dtype, minutes.dtype, impressions.dtype
        _refuse_other("be of", types, _TYPES)
        shapes = vector.shape, self.title_keys.shape, minutes.shape, impressions.shape
        _refuse_other("have shape", shapes, (_VECTOR, met, met, met))
        # A sum of squares is finite only if all are; that it may be infinite where none is costs a second look.
        squares = vector.dot(vector), minutes.dot(minutes), impressions.dot(impressions)
        if not all(map(isfinite, squares)):
            for name, values in (("vector", vector), ("minutes", minutes), ("impressions", impressions)):
                if not np.isfinite(values).all():
                    raise ContractError(f"{name} of a profile must be finite")


def _refuse_other(what: str, found: tuple[object, ...], expected: tuple[object, ...]) -> None:
    """Refuse a profile's arrays that are not what is expected of each."""
    if found != expected:
        for name, is_, must in zip(ProfileFeatures.__struct_fields__, found, expected, strict=True):
            if is_ != must:
                raise ContractError(f"{name} must {what} {must}, got {is_}")


_NOT_MET = np.zeros(1, dtype=np.float32)
_COLD = ProfileFeatures(np.zeros(_VECTOR, np.float32), np.zeros(0, np.uint64), *np.zeros((2, 0), np.float32))


class OnlineFeatures(Protocol):
    """An online feature store as the scorer sees it. Calls may block and may come from several threads.

    Raises:
        FeatureUnavailableError: (every method) if the store does not answer.
    """

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row; None where there is none, or one that is stale at `at`."""
        ...

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        """Read `(n, len(TITLE))` vectors in bulk; zeros for an unknown title."""
        ...

    def artworks(self, artwork_ids: Sequence[str]) -> KnownVectors:
        """Read `(m, len(ARTWORK))` vectors in bulk; zeros for an unknown artwork."""
        ...

    def profile_reader(self, within_seconds: float) -> "ProfileReader | None":
        """Make a reader of profiles that waits on the event loop; None where only a thread can wait for the store."""
        ...


class ProfileReader(Protocol):
    """Reads as `OnlineFeatures.profile` does and raises what it raises, without blocking, on one event loop."""

    async def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row; None where there is none, or one that is stale at `at`.

        Raises:
            TimeoutError: if it is not there within the reader's time.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class InMemoryFeatures:
    """Online features held in dictionaries: for tests, simulations and whoever runs no feature store.

    Args: profiles, each row with the moment it was known at; titles and artworks, vectors by id; ttl, the age from
    which a profile's row counts as missing; known_us, when the vectors were known, microseconds since 1970.
    """

    def __init__(
        self,
        profiles: Mapping[str, tuple[ProfileFeatures, datetime]] | None = None,
        titles: Mapping[str, Vectors] | None = None,
        artworks: Mapping[str, Vectors] | None = None,
        *,
        ttl: timedelta = timedelta(days=90),
        known_us: int | None = None,
    ) -> None:
        self._profiles = dict(profiles or {})
        self._titles = dict(titles or {})
        self._artworks = dict(artworks or {})
        self._ttl = ttl
        self._known_us = known_us

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Look one profile up; None where there is none or it is older than the time to live."""
        features, known_at = self._profiles.get(profile_id, (None, at))
        return features if at - known_at <= self._ttl else None

    def profile_reader(self, within_seconds: float) -> ProfileReader | None:
        """Make none: a look-up in memory waits for nothing, and whoever inherits it may."""
        return None

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        """Stack the titles' vectors, `(n, len(TITLE))`."""
        return KnownVectors(_stack(self._titles, title_ids, len(TITLE)), self._known_us)

    def artworks(self, artwork_ids: Sequence[str]) -> KnownVectors:
        """Stack the artworks' vectors, `(m, len(ARTWORK))`."""
        return KnownVectors(_stack(self._artworks, artwork_ids, len(ARTWORK)), self._known_us)


def familiarity_matrix(profile: ProfileFeatures | None, title_keys: Keys) -> Vectors:
    """Tell how well a profile knows each title: `familiarity_of_pages` of one page."""
    return familiarity_of_pages([profile], [0, len(title_keys)], title_keys)


def familiarity_of_pages(
    profiles: Sequence[ProfileFeatures | None], bounds: Sequence[int], title_keys: Keys
) -> Vectors:
    """Tell how well each page's profile knows each of the page's titles.

    Args: profiles, P rows or None; bounds, P + 1 rising: titles `bounds[p]:bounds[p + 1]` are those of page p;
    title_keys `(n,)`.

    Returns: `(n, len(FAMILIARITY))`, laid out by `models.vector.familiarity_vectors`, which lays out training sets too.

    Raises:
        ValueError: if there are not as many profiles as pages, or none.
    """
    known = [_COLD if profile is None else profile for profile in profiles]
    if len(known) != len(bounds) - 1:
        raise ValueError(f"{len(known)} profiles for {len(bounds) - 1} pages")
    listed = np.concatenate([profile.title_keys for profile in known])
    listed_bounds = [0, *accumulate([profile.title_keys.size for profile in known])]
    rows = _places(title_keys, np.array(bounds), listed, np.array(listed_bounds))
    # What was not met takes the last number, which `familiarity_vectors` does not look at.
    minutes = np.concatenate([*(profile.minutes for profile in known), _NOT_MET])
    impressions = np.concatenate([*(profile.impressions for profile in known), _NOT_MET])
    return familiarity_vectors(rows >= 0, minutes.take(rows), impressions.take(rows))


def _stack(known: Mapping[str, Vectors], ids: Sequence[str], width: int) -> Vectors:
    out = np.zeros((len(ids), width), dtype=np.float32)
    for row, name in enumerate(ids):
        if name in known:
            out[row] = known[name]
    return out


@jitted(KEYS, INTEGERS, KEYS, INTEGERS)
def _places(
    asked: Keys, bounds: NDArray[np.int64], listed: Keys, listed_bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Find each key's place in the list of its page, which has none twice; -1 where it is not there.

    Args: asked, those of page p are `bounds[p]:bounds[p + 1]`; listed, those of its profile lie likewise.
    """
    places, next_of = np.full(asked.size, -1, dtype=np.int64), np.uint64(1)
    for page in range(bounds.size - 1):
        # A table of the few that are asked for, at most half full; each that is listed looks itself up in it.
        size = 4
        while size < 2 * (bounds[page + 1] - bounds[page]):
            size *= 2
        table, last = np.full(size, -1, dtype=np.int64), np.uint64(size - 1)
        for place in range(bounds[page], bounds[page + 1]):
            slot = asked[place] & last
            while table[slot] >= 0:
                slot = (slot + next_of) & last
            table[slot] = place
        for row in range(listed_bounds[page], listed_bounds[page + 1]):
            slot = listed[row] & last
            while table[slot] >= 0:
                if asked[table[slot]] == listed[row]:
                    places[table[slot]] = row
                slot = (slot + next_of) & last
    return places
