"""Fresh rows held against those of the batch."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from models.interval import Interval
from pipelines.attribution import attribute
from pipelines.feature_tables import build_features, view_path
from pipelines.freshen import Freshener
from pipelines.ingest import ingest
from pipelines.settings import Settings
from serving.feast_features import open_features
from serving.features import ProfileFeatures
from tests.pipelines.event_log import page

FLOAT32 = 2e-6
"""What a float32 of at most 3 holds, and a second of 30 days' decay."""


def drain(freshener: Freshener) -> int:
    """Step until nothing is left to do; gives the rows written."""
    n_written = 0
    while (done := freshener.step()).n_lines or done.n_profiles:
        n_written += done.n_profiles
    return n_written


def batch(settings: Settings, interval: Interval) -> None:
    ingest(settings, interval)
    attribute(settings, interval)
    build_features(settings, interval)


def row(settings: Settings, view: str, interval: Interval, profile_id: str) -> dict[str, Any]:
    """Read a profile's row of the batch; who saw and played nothing has none of familiarity."""
    rows = pq.read_table(view_path(settings, view, interval.key), partitioning=None).to_pylist()
    nothing = {"title_keys": [], "minutes": [], "impressions": []} if view == "profile_familiarity" else None
    found = next((each for each in rows if each["profile_id"] == profile_id), nothing)
    assert found is not None
    return found


def online(settings: Settings, profile_id: str, moment: datetime) -> ProfileFeatures:
    found = open_features(settings).profile(profile_id, moment)
    assert found is not None
    return found


def check_equals_batch(settings: Settings, interval: Interval, profile_id: str) -> None:
    found = online(settings, profile_id, interval.end_at)
    taste, met = (row(settings, view, interval, profile_id) for view in ("profile_taste", "profile_familiarity"))
    np.testing.assert_allclose(found.vector, taste["vector"], rtol=0, atol=FLOAT32)
    assert found.title_keys.view(np.int64).tolist() == met["title_keys"]
    np.testing.assert_array_equal(found.minutes, np.float32(met["minutes"]))
    np.testing.assert_array_equal(found.impressions, np.float32(met["impressions"]))


def closing(interval: Interval, profiles: list[str]) -> list[Any]:
    """Let every profile ask for a page as the interval ends, so that no row is older than that."""
    end = interval.end_at - timedelta(microseconds=1)
    return [page(end, f"{interval.key}-{name}", profile_id=name, title_id="title-0") for name in profiles]
