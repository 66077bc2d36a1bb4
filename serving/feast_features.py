"""Online features out of Feast, through its SDK in this process and whatever online store it is configured with."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np

from models.error import ContractError, FeatureUnavailableError
from models.layout import ARTWORK, FEATURE_SERVICE, PROFILE, TITLE
from serving.bulk_vectors import BulkVectors, Refusals, checked
from serving.feature_store import feature_store_config, open_feature_store, referred_variables, repo_config
from serving.features import KnownVectors, ProfileFeatures, ProfileReader
from serving.pace import rest
from serving.packed_online_store import PackedOnlineStore, PackedReader, key_of, view_name
from serving.packed_row import NEVER, stamps, unpack_arrays
from serving.settings import ScorerSettings
from serving.variable import setting_variables

_PROFILE_VIEWS: Final = ("profile_taste", "profile_familiarity")
_BULK_VIEWS: Final = {"title_profile": ("title_id", len(TITLE)), "artwork_profile": ("artwork_id", len(ARTWORK))}
"""Views that are read in bulk: their entity's key, and the width of their vectors."""

_NO_KEYS, _NO_FLOATS = np.empty(0, np.int64), np.empty(0, np.float32)
_MOST_KEYS: Final = 65_536
"""Profiles whose spelled keys are kept: spelling one costs more than sending it."""

_CHUNK: Final = 1_000
"""Entities read in one call: Feast answers with one object for all of them."""


def open_features(settings: ScorerSettings) -> "FeastFeatures":
    """Open the online features of a home.

    Raises:
        ContractError: if the feature store cannot be opened, or lacks the feature service of `models.layout`.
        FeatureUnavailableError: if its registry cannot be read.
    """
    return FeastFeatures(
        open_feature_store(settings, online_only=True), ttl=timedelta(hours=settings.profile_ttl_hours)
    )


class FeastFeatures:
    """`serving.features.OnlineFeatures` over Feast; store and service are held, as finding them costs more than a read.

    Args: store, an open `feast.FeatureStore`; ttl, the age from which a profile's row counts as missing (Feast itself
    does not look at ages online); by_feast, whether to read by Feast's own answers where past them would do: what any
    other store than ours is read by.
    """

    def __init__(self, store: Any, *, ttl: timedelta, by_feast: bool = False) -> None:
        from feast.errors import FeastError
        from google.protobuf.message import DecodeError

        self._dead = dead_store_errors()
        self._store = store
        self._ttl_seconds = ttl.total_seconds()
        try:
            store.get_feature_service(FEATURE_SERVICE)
            self._profile_service = store.get_feature_service(f"{FEATURE_SERVICE}_profile")
            views = [store.get_feature_view(name) for name in (*_PROFILE_VIEWS, *_BULK_VIEWS)]
        except (FeastError, DecodeError) as error:
            raise ContractError(f"the feature store must serve {FEATURE_SERVICE}: {error}") from error
        except Exception as error:
            # A registry may lie in a file, a bucket or a database, each with a client and errors of its own.
            raise FeatureUnavailableError(f"the feature store's registry cannot be read: {error}") from error
        online = store.provider.online_store
        self._packed = online if isinstance(online, PackedOnlineStore) and not by_feast else None
        names = [view_name(store.config, view) for view in views]
        self._profile_views = names[: len(_PROFILE_VIEWS)]
        self._bulk: dict[str, BulkVectors] = {}
        if self._packed is not None:
            for (view, (key, width)), name in zip(_BULK_VIEWS.items(), names[len(_PROFILE_VIEWS) :], strict=True):
                spell, read = partial(key_of, store.config, key), partial(self._packed.read_packed, store.config, name)
                self._bulk[view] = BulkVectors(width, spell, read)
        self._key_of = lru_cache(_MOST_KEYS)(partial(key_of, store.config, "profile_id"))

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row in one call; None where there is none, or one that is stale at `at`.

        A store that keeps packed rows is read past Feast's answer objects, which cost more than the reading; any other
        by Feast alone.
        """
        if self._packed is None:
            return self._profile_by_feast(profile_id, at)
        return self._profile_of_rows(profile_id, at, self._packed_rows(self._packed, profile_id))

    def profile_reader(self, within_seconds: float) -> ProfileReader | None:
        """Make a reader of profiles for one event loop; None where the store can only be read by threads."""
        if self._packed is None:
            return None
        read = self._packed.reader(self._store.config, self._profile_views, within_seconds=within_seconds)
        return None if read is None else _Reader(self, read)

    async def read_profile(self, reader: PackedReader, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row by a reader of the profile's views."""
        try:
            rows = await reader.read(self._key_of(profile_id))
        except TimeoutError:
            raise
        except self._dead as error:
            raise _unanswered("profile_id", profile_id, error) from error
        return self._profile_of_rows(profile_id, at, rows)

    def _profile_of_rows(self, profile_id: str, at: datetime, rows: list[bytes | None]) -> ProfileFeatures | None:
        taste, met = [
            unpack_arrays(row, profile_id)
            if row is not None and self._is_young(stamps(row)[0] // 1_000_000, at)
            else {}
            for row in rows
        ]
        if "vector" not in taste:
            return None
        return ProfileFeatures(
            vector=checked(taste["vector"], len(PROFILE), profile_id),
            title_keys=met.get("title_keys", _NO_KEYS).view(np.uint64),
            minutes=met.get("minutes", _NO_FLOATS),
            impressions=met.get("impressions", _NO_FLOATS),
        )

    def _packed_rows(self, online: PackedOnlineStore, profile_id: str) -> list[bytes | None]:
        key = self._key_of(profile_id)
        try:
            return online.packed_rows(self._store.config, self._profile_views, key)
        except self._dead as error:
            raise _unanswered("profile_id", profile_id, error) from error

    def _profile_by_feast(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        answer = self._read(self._profile_service, "profile_id", [profile_id])
        columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
        vector, keys = columns["vector"], columns["title_keys"]
        if not self._fresh(vector, at):
            return None
        met = self._fresh(keys, at)
        return ProfileFeatures(
            vector=checked(np.array(vector.values[0].float_list_val.val, np.float32), len(PROFILE), profile_id),
            title_keys=np.array(keys.values[0].int64_list_val.val if met else (), np.int64).view(np.uint64),
            minutes=np.array(columns["minutes"].values[0].float_list_val.val if met else (), np.float32),
            impressions=np.array(columns["impressions"].values[0].float_list_val.val if met else (), np.float32),
        )

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        """Read `(n, len(TITLE))` vectors in bulk; zeros for an unknown title."""
        return self._vectors("title_profile", title_ids)

    def artworks(self, artwork_ids: Sequence[str]) -> KnownVectors:
        """Read `(m, len(ARTWORK))` vectors in bulk; zeros for an unknown artwork."""
        return self._vectors("artwork_profile", artwork_ids)

    def _vectors(self, view: str, ids: Sequence[str]) -> KnownVectors:
        """Read vectors by packed rows where there are: Feast's objects would keep pages waiting."""
        bulk = self._bulk.get(view)
        if bulk is None:
            return self._vectors_by_feast(view, ids)
        try:
            return bulk.read(ids)
        except self._dead as error:
            raise _unanswered(_BULK_VIEWS[view][0], ids[0], error) from error

    def _vectors_by_feast(self, view: str, ids: Sequence[str]) -> KnownVectors:
        (key, width), known_us, refused = _BULK_VIEWS[view], NEVER, Refusals()
        out = np.zeros((len(ids), width), dtype=np.float32)
        for first in range(0, len(ids), _CHUNK):
            answer = self._read([f"{view}:vector"], key, list(ids[first : first + _CHUNK]))
            column = answer.results[list(answer.metadata.feature_names.val).index("vector")]
            for place, (value, known_at) in enumerate(zip(column.values, column.event_timestamps, strict=True), first):
                if value.HasField("float_list_val"):
                    try:
                        out[place] = checked(np.array(value.float_list_val.val, np.float32), width, ids[place])
                    except ContractError as error:
                        refused.add(error)
                    else:
                        known_us = max(known_us, known_at.ToMicroseconds())
                rest()
        refused.tell()
        return KnownVectors(out, None if known_us == NEVER else known_us, refused.n)

    def _read(self, features: Any, key: str, ids: list[str]) -> Any:
        try:
            return self._store.get_online_features(features=features, entity_rows={key: ids}).proto
        except self._dead as error:
            raise _unanswered(key, ids[0], error) from error

    def _fresh(self, column: Any, at: datetime) -> bool:
        """Tell whether the only row is there and young enough; a row without values has an empty value."""
        if column.values[0].WhichOneof("val") is None:
            return False
        return self._is_young(column.event_timestamps[0].seconds, at)

    def _is_young(self, known_seconds: int, at: datetime) -> bool:
        return at.timestamp() - known_seconds <= self._ttl_seconds


class _Reader:
    """`serving.features.ProfileReader` over a store's own reader."""

    def __init__(self, features: FeastFeatures, reader: PackedReader) -> None:
        self._features, self._reader = features, reader

    async def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        """Read one profile's row; None where there is none, or one that is stale at `at`."""
        return await self._features.read_profile(self._reader, profile_id, at)

    def close(self) -> None:
        """Let go of the connection."""
        self._reader.close()


def ask_online_server(settings: ScorerSettings) -> str:
    """Ask the server that keeps the online rows whether it answers, before or after definitions were applied; name it.

    Raises:
        ContractError: if the configuration cannot be read or Feast refuses it.
        FeatureUnavailableError: if the server does not answer, and what to do about it.
    """
    from feast.infra.online_stores.helpers import get_online_store_from_config

    opened = repo_config(feature_store_config(settings), settings.feature_repo.absolute())
    where = str(getattr(opened.online_store, "connection_string", ""))
    if not where:
        return f"none needed by {settings.feature_store_file}"
    store = get_online_store_from_config(opened.online_store)
    kind = type(store).__name__
    if not isinstance(store, PackedOnlineStore):
        return f"{kind} was not asked: it is not one of ours"
    try:
        store.ping(opened)
    except dead_store_errors() as error:
        path = settings.feature_repo / settings.feature_store_file
        variables = ", ".join(sorted(referred_variables(path) - setting_variables(settings)))
        mend = f"start its server, or set {variables or 'connection_string'} to where it is ({path})"
        # Who quotes what it was told quotes the password too.
        raise FeatureUnavailableError(f"{kind}: {str(error).replace(where, '…')}: {mend}") from error
    return f"{kind} answers"


def dead_store_errors() -> tuple[type[Exception], ...]:
    """List what an online store that is away raises: none of their clients' errors are `OSError`."""
    from redis.exceptions import RedisError

    # Python spells a host's name for the resolver before it asks: a name that cannot be one is an error of Unicode.
    return (sqlite3.Error, RedisError, OSError, UnicodeError, *_postgres_errors())


def _postgres_errors() -> tuple[type[Exception], ...]:
    """List what a PostgreSQL that is dead raises, where its client is installed."""
    try:
        from psycopg import Error
    except ImportError:
        return ()
    return (Error,)


def _unanswered(key: str, name: str, error: Exception) -> FeatureUnavailableError:
    return FeatureUnavailableError(f"the online store did not answer for {key} {name!r}: {error}")
