"""The scorer's background reading of catalogue and vectors: what it takes, what it leaves, and its pace."""

import gc
import time
import weakref
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from models.catalogue import Catalogue
from models.error import FeatureUnavailableError, NotAppliedError
from models.layout import TITLE
from serving.catalogue_file import write_catalogue
from serving.features import InMemoryFeatures, KnownVectors, OnlineFeatures
from serving.late_features import LateFeatures
from serving.pace import rest
from serving.status import CatalogueState, StoreState
from tests.serving.example import (
    PAGE,
    ListedPolicies,
    example_catalogue,
    loaded,
    logged_pages,
    metric,
    readiness,
    running,
    settings_in,
    wait_for,
)
from tests.serving.feature_contract import example_rows


def test_a_store_that_is_not_there_yet_is_cold_and_opened_when_it_comes(tmp_path: Path) -> None:
    rows = example_rows()
    outcomes: list[OnlineFeatures | NotAppliedError] = [NotAppliedError("never"), NotAppliedError("never")]

    def open_features() -> OnlineFeatures:
        outcome = outcomes.pop(0) if outcomes else InMemoryFeatures(rows.profiles, ttl=timedelta(days=10_000))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    settings = settings_in(tmp_path, feature_refresh_seconds=0.05, feature_budget_ms=5_000)
    with running(settings, features=LateFeatures(open_features)) as server:
        status, ready = readiness(server)
        assert (status, ready["features"]) in {(200, StoreState.NOT_APPLIED), (200, "ok")}
        wait_for(lambda: readiness(server)[1]["features"] == "ok")
        server.client.post("/v1/pages", json={**PAGE, "profile_id": "p-known"})
    (page,) = logged_pages(settings.events_dir)
    assert page.profile_features == rows.profiles["p-known"][0].vector.tobytes()


def test_a_catalogue_that_is_replaced_is_picked_up_and_a_broken_one_kept_out(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, feature_refresh_seconds=0.05)
    with running(settings) as server:
        assert readiness(server)[1]["n_artworks"] == 12
        settings.catalogue_path.write_bytes(b"not parquet")
        wait_for(lambda: metric(server, "marquee_refresh_failures_total") > 0)
        assert readiness(server)[1]["n_artworks"] == 12
        write_catalogue(example_catalogue(4, 5), settings.catalogue_path)
        wait_for(lambda: readiness(server)[1]["n_artworks"] == 20)
        page = server.client.post("/v1/pages", json={**PAGE, "titles": ["t3"]}).json()
        assert page["decisions"][0]["propensity"] == 0.2


class Mortal(InMemoryFeatures):
    """One title's vector is ones, while the store lives."""

    def __init__(self, *, is_dead: bool = False) -> None:
        super().__init__(titles={"t0": np.ones(len(TITLE), dtype=np.float32)}, known_us=1)
        self.is_dead = is_dead

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        if self.is_dead:
            raise FeatureUnavailableError("redis is gone")
        return super().titles(title_ids)


def test_a_store_that_is_dead_at_the_start_leaves_every_title_cold_and_is_read_when_it_answers(tmp_path: Path) -> None:
    features = Mortal(is_dead=True)
    settings = settings_in(tmp_path, feature_refresh_seconds=0.05)
    with running(settings, features=features, policies=ListedPolicies(loaded("v1"))) as server:
        assert readiness(server)[1]["n_artworks"] == 12
        wait_for(lambda: metric(server, "marquee_refresh_failures_total") > 1)
        page = server.client.post("/v1/pages", json=PAGE).json()
        assert {decision["intent"] for decision in page["decisions"]} == {"fallback:vectors_unavailable"}
        assert not server.service.scorer.index.title_vectors.any()
        assert readiness(server)[1]["features"] == StoreState.UNREAD_YET
        features.is_dead = False
        wait_for(lambda: readiness(server)[1]["features"] == StoreState.OK)
        assert server.service.scorer.index.title_vectors.any()
        page = server.client.post("/v1/pages", json=PAGE).json()
        assert {decision["intent"] for decision in page["decisions"]} == {"live"}


def test_a_catalogue_without_titles_has_no_vectors_to_wait_for(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_catalogue(Catalogue((), ()), settings.catalogue_path)
    with running(settings) as server:
        told = readiness(server)[1]
        assert (told["catalogue"], told["features"], told["n_titles"]) == (CatalogueState.OK, StoreState.OK, 0)


def test_an_artwork_that_is_withdrawn_is_gone_without_a_feature_store_and_the_others_keep_their_vectors(
    tmp_path: Path,
) -> None:
    features = Mortal()
    settings = settings_in(tmp_path, feature_refresh_seconds=0.05)
    with running(settings, features=features) as server:
        assert readiness(server)[1]["n_artworks"] == 12
        features.is_dead = True
        write_catalogue(example_catalogue(3, 2), settings.catalogue_path)
        wait_for(lambda: readiness(server)[1]["n_artworks"] == 6)
        assert server.service.scorer.index.title_vectors[0].all()
        page = server.client.post("/v1/pages", json={**PAGE, "titles": ["t0"]}).json()
        (decision,) = page["decisions"]
        assert (decision["propensity"], decision["intent"]) == (0.5, "live")


def test_a_new_catalogue_is_kept_from_the_garbage_collector_and_no_garbage_with_it(tmp_path: Path) -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    settings = settings_in(tmp_path, feature_refresh_seconds=0.2)
    with running(settings, freeze=True) as server:
        try:
            for n_artworks in range(2, 5):
                old = Cycle()
                found = weakref.ref(old)
                gc.collect()
                gc.collect()
                del old
                n_frozen = gc.get_freeze_count()
                write_catalogue(example_catalogue(3, n_artworks), settings.catalogue_path)
                wait_for(lambda expected=3 * n_artworks: readiness(server)[1]["n_artworks"] == expected)
                wait_for(lambda before=n_frozen: gc.get_freeze_count() > before)
                gc.collect()
                assert found() is None
        finally:
            gc.unfreeze()


def test_a_catalogue_that_is_broken_does_not_keep_vectors_from_being_read(tmp_path: Path) -> None:
    features = Mortal()
    settings = settings_in(tmp_path, feature_refresh_seconds=0.05)
    with running(settings, features=features) as server:
        assert server.service.scorer.index.known_us == 1
        settings.catalogue_path.write_bytes(b"not parquet")
        wait_for(lambda: readiness(server)[1]["catalogue"] == CatalogueState.REFUSED)
        features._known_us = 2
        wait_for(lambda: server.service.scorer.index.known_us == 2)
        assert readiness(server)[1]["n_artworks"] == 12


class Watched(InMemoryFeatures):
    """Tells how long a rest took after two milliseconds of work in each reading of titles, on its thread."""

    def __init__(self) -> None:
        super().__init__(titles={"t0": np.ones(len(TITLE), np.float32)}, known_us=1)
        self.rested: list[float] = []

    def titles(self, title_ids: Sequence[str]) -> KnownVectors:
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        began = time.perf_counter()
        rest()
        self.rested.append(time.perf_counter() - began)
        return super().titles(title_ids)


def test_the_first_reading_is_in_a_hurry_later_ones_are_not_and_what_they_find_again_replaces_nothing(
    tmp_path: Path,
) -> None:
    features = Watched()
    with running(settings_in(tmp_path, feature_refresh_seconds=0.05), features=features) as server:
        in_force = server.service.scorer._in_force
        wait_for(lambda: len(features.rested) > 3)
        assert server.service.scorer._in_force is in_force
        features._known_us = 2
        wait_for(lambda: server.service.scorer.index.known_us == 2)
        assert server.service.scorer._in_force is not in_force
    assert features.rested[0] < 0.01
    assert min(features.rested[1:4]) > 0.01


def test_the_end_does_not_wait_for_a_reading_that_rests(tmp_path: Path) -> None:
    class Long(Watched):
        def titles(self, title_ids: Sequence[str]) -> KnownVectors:
            found = super().titles(title_ids)
            for _ in range(1_000 if len(self.rested) > 1 else 0):
                until = time.thread_time() + 0.001
                while time.thread_time() < until:
                    pass
                rest()
            return found

    features = Long()
    with running(settings_in(tmp_path, feature_refresh_seconds=0.05), features=features):
        wait_for(lambda: len(features.rested) > 1)
        began = time.perf_counter()
    assert time.perf_counter() - began < 5.0, "a second of work that rests takes ten"
