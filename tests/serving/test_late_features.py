"""What a scorer says of features that it could not read: no store yet is cold, one that is broken is a fallback."""

from pathlib import Path

import numpy as np
import pytest

from models.layout import PROFILE
from serving.catalogue_file import write_catalogue
from serving.feast_features import open_features
from serving.late_features import LateFeatures
from serving.status import StoreState
from tests.serving.example import (
    PAGE,
    ListedPolicies,
    example_catalogue,
    loaded,
    logged_pages,
    readiness,
    running,
    settings_in,
    wait_for,
)
from tests.serving.feature_contract import NOW, example_rows
from tests.serving.test_feast_features import fill

COLD = np.zeros(len(PROFILE), np.float32).tobytes()


@pytest.mark.parametrize("content", [None, b"this is no registry"])
def test_a_feature_store_that_cannot_be_opened_is_a_fallback_until_it_can(scratch_store, content: bytes | None) -> None:
    settings, store = scratch_store(
        policy_poll_seconds=0.05, feature_refresh_seconds=0.1, feature_budget_ms=10_000, uniform_cell_share=0.0
    )
    write_catalogue(example_catalogue(), settings.catalogue_path)
    fill(store, example_rows())
    registry = Path(store.config.registry.path)
    whole = registry.read_bytes()
    registry.unlink()
    if content is not None:
        registry.write_bytes(content)
    features = LateFeatures(lambda: open_features(settings))
    page = PAGE | {"profile_id": "p-known"}
    with running(settings, features=features, policies=ListedPolicies(loaded()), clock=lambda: NOW) as server:
        ready = readiness(server)[1]
        assert (ready["features"], ready["n_titles"], ready["policy_version"]) == (StoreState.REFUSED, 3, "v1")
        answer = server.client.post("/v1/pages", json=page).json()
        assert {each["intent"] for each in answer["decisions"]} == {"fallback:features_unavailable"}
        registry.write_bytes(whole)
        wait_for(lambda: readiness(server)[1]["features"] == "ok")
        answer = server.client.post("/v1/pages", json=page).json()
        assert {each["intent"] for each in answer["decisions"]} == {"live"}
    logged = [each.profile_features for each in logged_pages(settings.events_dir)]
    assert logged == [b"", example_rows().profiles["p-known"][0].vector.tobytes()]


def test_where_no_features_were_ever_made_everybody_is_cold(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, feature_budget_ms=10_000)
    features = LateFeatures(lambda: open_features(settings))
    with running(settings, features=features, policies=ListedPolicies(loaded())) as server:
        assert readiness(server)[1]["features"] == StoreState.NOT_APPLIED
        answer = server.client.post("/v1/pages", json=PAGE).json()
        assert {each["intent"] for each in answer["decisions"]} == {"live"}
    (page,) = logged_pages(settings.events_dir)
    assert page.profile_features == COLD
