"""A scorer with Redis as Feast's online store, as `feature_store.redis.yaml` configures it, against a real Redis."""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from redis import Redis

from models.error import FeatureUnavailableError
from models.identity import keys_of
from models.interval import Interval
from models.layout import FAMILIARITY, PROFILE, TITLE
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import view_path
from pipelines.part import part_bytes, write_whole
from pipelines.settings import Settings
from serving.catalogue_file import write_catalogue
from serving.feast_features import FeastFeatures, open_features
from serving.late_features import LateFeatures
from serving.lookup import BudgetedLookup, Lookup
from serving.packed_online_store import key_of, view_name
from serving.status import StoreState
from tests.serving.example import ListedPolicies, example_catalogue, free_port, loaded, logged_pages, running, wait_for
from tests.serving.feature_contract import check_online_features
from tests.serving.online_stores import redis_server
from tests.serving.test_feast_features import fill

INTERVAL = Interval.containing(datetime.now(UTC) - timedelta(days=2), 24.0)
TASTE = np.linspace(-1, 1, len(PROFILE), dtype=np.float32)
ABOUT = np.linspace(0, 2, len(TITLE), dtype=np.float32)


@pytest.fixture
def redis_settings(redis_address: str, tmp_path: Path, applied_settings: Settings, monkeypatch: Any) -> Iterator[dict]:
    """Settings that lead to the configuration for Redis, in a project of its own: the Redis may be somebody's."""
    project, name = f"marquee_test_{uuid4().hex}", "feature_store.redis.yaml"
    repo = tmp_path / "repo"
    repo.mkdir()
    text = (applied_settings.feature_repo / name).read_text()
    assert "project: marquee\n" in text
    (repo / name).write_text(text.replace("project: marquee\n", f"project: {project}\n"))
    monkeypatch.setenv("MARQUEE_REDIS", redis_address)
    yield {"feature_repo": repo, "feature_store_file": name}
    host, _, port = redis_address.partition(":")
    with Redis(host, int(port or 6379)) as client:
        for key in list(client.scan_iter(match=f"*{project}*", count=1_000)):
            client.delete(key)


def _write(settings: Settings, view: str, **row: object) -> None:
    stamps = {"event_timestamp": INTERVAL.end_at, "created_timestamp": INTERVAL.end_at}
    rows = pa.Table.from_pylist([row | stamps], schema=VIEWS[view])
    write_whole(view_path(settings, view, INTERVAL.key), part_bytes(rows))


def _materialize(settings: Settings, store: Any) -> None:
    """Bring a profile that has met title t1, and that title, online, as the refreshing DAG does."""
    (key,) = keys_of(["t1"]).view(np.int64).tolist()
    _write(settings, "profile_taste", profile_id="p-redis", vector=TASTE)
    _write(settings, "profile_familiarity", profile_id="p-redis", title_keys=[key], minutes=[30.0], impressions=[4.0])
    _write(settings, "title_profile", title_id="t1", vector=ABOUT)
    views = ["profile_taste", "profile_familiarity", "title_profile"]
    store.materialize(start_date=INTERVAL.end_at, end_date=INTERVAL.end_at, feature_views=views)


def test_redis_keeps_the_contract_of_online_features(redis_settings, scratch_store):
    _, store = scratch_store(**redis_settings)
    check_online_features(lambda rows: fill(store, rows))


def test_rows_that_were_materialised_to_redis_are_served_and_logged(redis_settings, scratch_store):
    settings, store = scratch_store(**redis_settings, policy_poll_seconds=0.05, feature_budget_ms=10_000)
    settings = settings.model_copy(update={"uniform_cell_share": 0.0})
    write_catalogue(example_catalogue(), settings.catalogue_path)
    _materialize(settings, store)
    found = open_features(settings).profile("p-redis", datetime.now(UTC))
    assert found is not None
    np.testing.assert_array_equal(found.vector, TASTE)
    np.testing.assert_array_equal(found.title_keys, keys_of(["t1"]))
    features = LateFeatures(lambda: open_features(settings))
    with running(settings, features=features, policies=ListedPolicies(loaded("v1"))) as server:
        assert server.client.get("/readyz").json()["features"] == "ok"
        wait_for(lambda: server.client.get("/readyz").json()["policy_version"] == "v1")
        answer = server.client.post("/v1/pages", json={"profile_id": "p-redis", "titles": ["t0", "t1"]})
        assert answer.status_code == 200
    (page,) = logged_pages(settings.events_dir)
    assert {decision.intent for decision in page.decisions} == {"live"}
    np.testing.assert_array_equal(np.frombuffer(page.profile_features, "<f4"), TASTE)
    served = np.frombuffer(page.decisions[1].features, "<f4")
    title, familiarity = served[: len(TITLE)], served[len(TITLE) : len(TITLE) + len(FAMILIARITY)]
    np.testing.assert_array_equal(title, ABOUT)
    np.testing.assert_allclose(familiarity, np.float32([1, np.log1p(30), np.log1p(4)]), rtol=1e-6)


def test_a_page_reads_past_feast_what_feast_reads_from_redis(redis_settings, scratch_store):
    _, store = scratch_store(**redis_settings)
    check_online_features(lambda rows: fill(store, rows, by_feast=True))


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "says-nothing"])
def test_a_dead_redis_costs_a_look_up_its_budget_and_a_redis_that_is_back_answers(
    redis_settings, scratch_store, redis_program, tmp_path, monkeypatch, silent
):
    budget_ms, port = 100.0, free_port()
    monkeypatch.setenv("MARQUEE_REDIS", f"127.0.0.1:{port}")
    settings, store = scratch_store(**redis_settings, feature_budget_ms=budget_ms)
    with redis_server(redis_program, tmp_path, port):
        _materialize(settings, store)
        features = open_features(settings)
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: features.profile("p-redis", datetime.now(UTC)), range(64)))
        assert all(profile is not None for profile in found)
    listener = socket.create_server(("127.0.0.1", port), backlog=64) if silent else nullcontext()
    with listener, ThreadPoolExecutor(8) as threads:
        seconds = list(threads.map(lambda _: _failing_read(features), range(24)))
    # Connecting and reading may take the budget each, and a busy machine its own time.
    assert max(seconds) < 2 * budget_ms / 1000 + 2.0
    with redis_server(redis_program, tmp_path, port):
        _materialize(settings, store)
        for _ in range(20):
            assert features.profile("p-redis", datetime.now(UTC)) is not None


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "says-nothing"])
def test_a_page_waits_for_a_dead_redis_no_longer_than_its_budget_and_reads_one_that_is_back(
    redis_settings, scratch_store, redis_program, tmp_path, monkeypatch, silent
):
    port = free_port()
    monkeypatch.setenv("MARQUEE_REDIS", f"127.0.0.1:{port}")
    settings, store = scratch_store(**redis_settings)

    async def look_up(lookup: BudgetedLookup) -> tuple[Lookup, float]:
        began = perf_counter()
        return await lookup.look_up("p-redis", datetime.now(UTC)), perf_counter() - began

    async def until_read(lookup: BudgetedLookup) -> None:
        until = perf_counter() + 20
        while (await look_up(lookup))[0].profile is None:
            assert perf_counter() < until
            await asyncio.sleep(0.01)

    async def live_on() -> None:
        with redis_server(redis_program, tmp_path, port):
            _materialize(settings, store)
            lookup = BudgetedLookup(open_features(settings), budget_ms=100)
            await until_read(lookup)
        with socket.create_server(("127.0.0.1", port), backlog=64) if silent else nullcontext():
            found = [each for _ in range(3) for each in await asyncio.gather(*(look_up(lookup) for _ in range(24)))]
            assert max(seconds for _, seconds in found) < 2.0
            # The connection that was lost is told at once, and so is one that is refused.
            failures = {each.failure for each, _ in found}
            assert failures == {"features_unavailable"} | ({"features_timeout"} if silent else set())
        with redis_server(redis_program, tmp_path, port):
            _materialize(settings, store)
            await until_read(lookup)
        lookup.close()

    asyncio.run(live_on())


def _failing_read(features: FeastFeatures) -> float:
    began = perf_counter()
    with pytest.raises(FeatureUnavailableError, match="p-redis"):
        features.profile("p-redis", datetime.now(UTC))
    return perf_counter() - began


def test_a_redis_that_is_not_there_costs_features_and_no_page(redis_settings, scratch_store, monkeypatch):
    monkeypatch.setenv("MARQUEE_REDIS", f"127.0.0.1:{free_port()}")
    settings, _ = scratch_store(**redis_settings)
    write_catalogue(example_catalogue(), settings.catalogue_path)
    with running(settings, features=LateFeatures(lambda: open_features(settings))) as server:
        ready = server.client.get("/readyz").json()
        assert (ready["n_artworks"], ready["features"]) == (12, StoreState.UNREAD)
        answer = server.client.post("/v1/pages", json={"profile_id": "p-redis", "titles": ["t0"], "explain": True})
        assert answer.status_code == 200
        (choice,) = answer.json()["decisions"]
        assert choice["intent"] == "fallback:features_unavailable"
        assert choice["propensity"] == 0.25


@pytest.mark.parametrize("is_hash", [True, False], ids=["a-malformed-row", "a-key-of-another-type"])
def test_one_broken_row_empties_no_starting_scorer_and_freezes_no_running_one(redis_settings, scratch_store, is_hash):
    settings, store = scratch_store(**redis_settings, feature_refresh_seconds=0.05)
    write_catalogue(example_catalogue(), settings.catalogue_path)
    _materialize(settings, store)
    view = view_name(store.config, store.get_feature_view("title_profile"))
    key = f"{store.config.project}/".encode() + key_of(store.config, "title_id", "t0")
    host, _, port = store.config.online_store.connection_string.partition(":")
    with Redis(host, int(port or 6379)) as client:
        if is_hash:
            client.hset(key, view, bytes(17))
        else:
            client.set(key, "no hash")
    features = LateFeatures(lambda: open_features(settings))
    with running(settings, features=features) as server:
        ready = server.client.get("/readyz").json()
        assert (ready["n_titles"], ready["features"], ready["catalogue"]) == (3, "ok", "ok")
        index = server.service.scorer.index
        assert index.n_refused_vectors == 1
        np.testing.assert_array_equal(index.title_vectors[:2], [np.zeros(len(TITLE)), ABOUT])
        write_catalogue(example_catalogue(4, 5), settings.catalogue_path)
        wait_for(lambda: server.client.get("/readyz").json()["n_titles"] == 4)
