"""Feast's adapter keeps the contract of online features, and says so when its store is dead."""

from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.error import ContractError, FeatureUnavailableError
from models.layout import TITLE
from serving.feast_features import FeastFeatures
from serving.packed_online_store import key_of
from serving.packed_row import microseconds, pack
from tests.serving.captured import captured_logs
from tests.serving.feature_contract import NOW, TTL, Rows, check_online_features


def frame(key: str, rows: dict[str, dict[str, Any]], at: dict[str, Any]) -> pd.DataFrame:
    columns = {key: list(rows)} | {name: [row[name] for row in rows.values()] for name in next(iter(rows.values()))}
    stamps = pd.to_datetime([at[name] for name in rows], utc=True)
    return pd.DataFrame(columns | {"event_timestamp": stamps, "created_timestamp": stamps})


def fill(store: Any, rows: Rows, *, by_feast: bool = False) -> FeastFeatures:
    known_at = {name: at for name, (_, at) in rows.profiles.items()}
    tastes = {name: {"vector": each.vector} for name, (each, _) in rows.profiles.items()}
    met = {
        name: {
            "title_keys": each.title_keys.view(np.int64),
            "minutes": each.minutes,
            "impressions": each.impressions,
        }
        for name, (each, _) in rows.profiles.items()
    }
    titles = {name: {"vector": vector} for name, vector in rows.titles.items()}
    artworks = {name: {"vector": v, "take_fraction": 0.1, "n_impressions": 3} for name, v in rows.artworks.items()}
    store.write_to_online_store("profile_taste", frame("profile_id", tastes, known_at))
    store.write_to_online_store("profile_familiarity", frame("profile_id", met, known_at))
    store.write_to_online_store("title_profile", frame("title_id", titles, dict.fromkeys(titles, NOW)))
    store.write_to_online_store("artwork_profile", frame("artwork_id", artworks, dict.fromkeys(artworks, NOW)))
    return FeastFeatures(store, ttl=TTL, by_feast=by_feast)


def test_the_adapter_keeps_the_contract_of_online_features(scratch_store):
    _, store = scratch_store()
    check_online_features(lambda rows: fill(store, rows))


def test_a_page_reads_past_feast_what_feast_reads(scratch_store):
    _, store = scratch_store()
    check_online_features(lambda rows: fill(store, rows, by_feast=True))


@pytest.mark.parametrize("by_feast", [False, True])
def test_feast_is_asked_for_everything_or_for_nothing(scratch_store, monkeypatch, by_feast):
    _, store = scratch_store()
    asked: list[str] = []
    answer = store.get_online_features
    monkeypatch.setattr(
        store, "get_online_features", lambda **words: asked.extend(words["entity_rows"]) or answer(**words)
    )
    features = FeastFeatures(store, ttl=TTL, by_feast=by_feast)
    features.profile("p", NOW)
    features.titles(["t"])
    features.artworks(["a"])
    assert asked == (["profile_id", "title_id", "artwork_id"] if by_feast else [])


def test_a_row_that_is_no_packed_row_is_refused_by_name(scratch_store):
    _, store = scratch_store()
    features = FeastFeatures(store, ttl=TTL)
    key = key_of(store.config, "profile_id", "p-odd")
    row = pack({}, microseconds(NOW), microseconds(NOW)) + b"garbage"
    store.provider.online_store.write_packed(store.config, "profile_taste", {key: row})
    with pytest.raises(ContractError, match="p-odd"):
        features.profile("p-odd", NOW)


def test_a_store_that_does_not_answer_is_told_apart_from_an_unknown_profile(scratch_store):
    settings, store = scratch_store()
    features = FeastFeatures(store, ttl=TTL)
    assert features.profile("nobody", NOW.astimezone(UTC)) is None
    path = Path(store.config.online_store.path)
    assert path.is_relative_to(settings.home)
    store._provider = None
    path.write_bytes(b"this is no database" * 100)
    for name in ("-wal", "-shm"):
        Path(f"{path}{name}").unlink(missing_ok=True)
    fresh = FeastFeatures(scratch_copy(store), ttl=TTL)
    for read in (lambda: fresh.profile("nobody", NOW), lambda: fresh.titles(["t"]), lambda: fresh.artworks(["a"])):
        with pytest.raises(FeatureUnavailableError, match="did not answer"):
            read()


def scratch_copy(store: Any) -> Any:
    from feast import FeatureStore

    return FeatureStore(config=store.config)


@pytest.mark.parametrize("by_feast", [False, True])
def test_a_vector_of_another_layout_counts_as_missing_and_harms_no_other(scratch_store, by_feast):
    _, store = scratch_store()
    rows = {"t-odd": {"vector": np.ones(len(TITLE) + 1, np.float32)}, "t": {"vector": np.ones(len(TITLE), np.float32)}}
    for name, row in rows.items():
        store.write_to_online_store("title_profile", frame("title_id", {name: row}, {name: NOW}))
    with captured_logs() as lines:
        found = FeastFeatures(store, ttl=TTL, by_feast=by_feast).titles(["t-odd", "t"])
    assert found.vectors.sum(axis=1).tolist() == [0, len(TITLE)]
    assert (found.n_refused, found.known_us) == (1, microseconds(NOW))
    assert "t-odd" in lines[0]["first"]
