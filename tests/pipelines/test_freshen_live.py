"""From a play that a device reports to the features of the next page, within seconds."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from redis import Redis

from models.context import device_place
from models.identity import keys_of
from models.interval import Interval
from models.layout import DEVICES, FAMILIARITY, PROFILE, TASTES, TITLE
from pipelines.freshen import freshen
from pipelines.settings import Settings
from serving.catalogue_file import write_catalogue
from serving.feast_features import open_features
from serving.late_features import LateFeatures
from tests.pipelines.feature_world import catalogue
from tests.pipelines.fresh_batch import batch, row
from tests.serving.conftest import redis_address  # noqa: F401 - a fixture
from tests.serving.example import logged_pages, running, wait_for


@pytest.fixture(params=["sqlite", "redis"])
def live_home(request: pytest.FixtureRequest, tmp_path: Path, applied_settings: Settings, scratch_store: Any) -> Any:
    """A home whose online rows are in SQLite or Redis, and a scorer's patience."""
    changes: dict[str, Any] = {"feature_budget_ms": 10_000, "uniform_cell_share": 0.0, "freshen_seconds": 0.2}
    changes["settle_seconds"] = 0.0
    if request.param == "redis":
        address, name = request.getfixturevalue("redis_address"), "feature_store.redis.yaml"
        monkeypatch, project = request.getfixturevalue("monkeypatch"), f"marquee_test_{uuid4().hex}"
        (tmp_path / "repo").mkdir()
        text = (applied_settings.feature_repo / name).read_text().replace("project: marquee\n", f"project: {project}\n")
        (tmp_path / "repo" / name).write_text(text)
        monkeypatch.setenv("MARQUEE_REDIS", address)
        changes |= {"feature_repo": tmp_path / "repo", "feature_store_file": name}
    settings, store = scratch_store(**changes)
    write_catalogue(catalogue(), settings.catalogue_path)
    yield settings, store
    if request.param == "redis":
        host, _, port = address.partition(":")
        with Redis(host, int(port or 6379)) as client:
            for key in list(client.scan_iter(match=f"*{project}*", count=1_000)):
                client.delete(key)


def test_a_play_is_in_the_features_of_a_page_within_five_seconds(live_home):
    settings, _ = live_home
    stop = threading.Event()
    keeper = threading.Thread(target=freshen, args=(settings, stop))
    asked = {"profile_id": "viewer", "titles": ["title-1"], "context": {"device": "tv"}}
    with running(settings, features=LateFeatures(lambda: open_features(settings))) as server:
        keeper.start()
        try:
            answer = server.client.post("/v1/pages", json=asked).json()
            wait_for(lambda: _profile_of_next_page(server, settings, asked)[0].any())
            time.sleep(1.0)  # Redis keeps whole seconds
            now = datetime.now(UTC)
            events = {
                "impressions": [{"decision_id": answer["decisions"][0]["decision_id"], "seen_at": now.isoformat()}],
                "plays": [
                    {"play_id": "y", "profile_id": "viewer", "title_id": "title-1", "started_at": now.isoformat()}
                    | {"minutes": 90.0, "completion": 1.0}
                ],
            }
            assert server.client.post("/v1/events", json=events).status_code < 300
            sent = time.monotonic()
            wait_for(lambda: _profile_of_next_page(server, settings, asked)[1][1] > 0, seconds=30)
            waited_seconds = time.monotonic() - sent
        finally:
            stop.set()
            keeper.join(30)
        vector, familiarity = _profile_of_next_page(server, settings, asked)
    assert waited_seconds < 5.0
    np.testing.assert_allclose(familiarity, np.float32([1.0, np.log1p(90.0), np.log1p(1.0)]), rtol=1e-6)
    _check_next_batch(settings, vector)


def _profile_of_next_page(server: Any, settings: Settings, asked: dict[str, Any]) -> tuple[Any, Any]:
    """Ask for a page; give profile vector and familiarity as they were served and logged."""
    page_id = server.client.post("/v1/pages", json=asked).json()["page_id"]
    logged = next(each for each in logged_pages(settings.events_dir) if each.page_id == page_id)
    features = np.frombuffer(logged.decisions[0].features, "<f4")
    return np.frombuffer(logged.profile_features, "<f4"), features[len(TITLE) : len(TITLE) + len(FAMILIARITY)]


def _check_next_batch(settings: Settings, served: Any) -> None:
    """Build the running interval as a batch will: counts are equal, and taste but for a day's decay."""
    interval = Interval.containing(datetime.now(UTC), settings.interval_hours)
    batch(settings, interval)
    found = np.float32(row(settings, "profile_taste", interval, "viewer")["vector"])
    counts = [PROFILE.index(name) for name in ("log_impressions", "log_plays", "quality_rate")]
    np.testing.assert_array_equal(found[counts], served[counts])
    np.testing.assert_allclose(found[: len(TASTES)], served[: len(TASTES)], rtol=0.03)
    assert served[PROFILE.index(f"share:{DEVICES[device_place('tv')]}")] == 1.0
    met = row(settings, "profile_familiarity", interval, "viewer")
    assert met["title_keys"] == keys_of(["title-1"]).view(np.int64).tolist()
    assert (met["minutes"], met["impressions"]) == ([90.0], [1.0])
