"""What was served is held against what was joined; every difference has a name, and too many stop the training."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.error import SkewError
from models.layout import ARTWORK, PROFILE, TITLE
from pipelines import steps
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import view_path
from pipelines.lake import Lake
from pipelines.point_in_time import Times
from pipelines.settings import Settings
from pipelines.skew import Skew, refuse_skew
from pipelines.skew_cause import Asked, Cause, explain
from pipelines.status import status
from pipelines.table import DECISIONS
from pipelines.training_set import build_training_set
from serving.features import InMemoryFeatures, ProfileFeatures
from tests.pipelines.conftest import serve
from tests.pipelines.feature_world import N_DAYS, day, make_world

LAST = day(N_DAYS - 1)
Relog = Callable[..., Skew]


def online_after(settings: Settings, n_days: int, *, profiles: bool = True, boost: int = 0) -> InMemoryFeatures:
    """Hold what an online store holds after the first `n_days` were materialised.

    Args: profiles, whether it holds any; boost, impressions that each profile's rows count beside.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {view: {} for view in VIEWS}
    for view, schema in VIEWS.items():
        for number in range(n_days):
            rows = pq.read_table(view_path(settings, view, day(number).key), partitioning=None).to_pylist()
            found[view] |= {row[schema.names[0]]: row for row in rows}
    vectors = {
        view: {key: np.float32(row["vector"]) for key, row in found[view].items()}
        for view in ("title_profile", "artwork_profile")
    }
    known = {
        key: _profile(row, found["profile_familiarity"][key], boost) for key, row in found["profile_taste"].items()
    }
    return InMemoryFeatures(known if profiles else {}, vectors["title_profile"], vectors["artwork_profile"])


def _profile(taste: dict[str, Any], met: dict[str, Any], boost: int) -> tuple[ProfileFeatures, Any]:
    vector = np.float32(taste["vector"])
    place = PROFILE.index("log_impressions")
    vector[place] = np.log1p(np.expm1(vector[place] * 3.0) + boost) / 3.0
    values = (np.array(met["title_keys"], np.int64).view(np.uint64), np.float32(met["minutes"]))
    return ProfileFeatures(vector, *values, np.float32(met["impressions"]) + boost), taste["event_timestamp"]


@pytest.fixture
def relog(feast_world: Settings) -> Any:
    """Log the last day again as another scorer would have served it, and measure; the log is put back at the end."""
    lake = Lake(feast_world.lake_dir)
    original = lake.read(DECISIONS, LAST.start_at, LAST.end_at)

    def measure(features: InMemoryFeatures, change: Callable[[dict], object] = lambda row: None) -> Skew:
        world = make_world(N_DAYS)
        serve(world, features)
        for row in world.tables["decisions"]:
            change(row)
        lake.overwrite(DECISIONS, LAST, world.rows(DECISIONS, "decided_at", LAST))
        return build_training_set(feast_world, LAST.end_at).skew

    yield measure
    lake.overwrite(DECISIONS, LAST, original)
    build_training_set(feast_world, LAST.end_at)


def test_what_was_served_in_time_is_equal_and_needs_no_cause(feast_world, relog):
    skew = relog(online_after(feast_world, N_DAYS - 1))
    assert (skew.share_equal, skew.causes, skew.share_skewed) == (1.0, {}, 0.0)
    refuse_skew(skew, 0.0)


@pytest.mark.usefixtures("airflow_home")
def test_pages_served_before_the_newest_materialize_are_stale_and_stop_a_training(feast_world, relog, monkeypatch):
    skew = relog(online_after(feast_world, N_DAYS - 2))
    assert set(skew.causes) == {Cause.STALE}
    assert skew.causes[Cause.STALE] + skew.share_equal == pytest.approx(1.0)
    assert skew.share_skewed > 0.1
    assert status(feast_world).skew_causes == skew.causes
    for name in ("home", "feature_repo", "attribution_window_hours", "attribution_grace_hours"):
        monkeypatch.setenv(f"MARQUEE_{name.upper()}", str(getattr(feast_world, name)))
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=r"stale \(served from an earlier row.*MARQUEE_MAX_SKEWED_SHARE=1"):
        steps.build_training_set(LAST.end_at.isoformat())
    monkeypatch.setenv("MARQUEE_MAX_SKEWED_SHARE", "1")
    assert steps.build_training_set(LAST.end_at.isoformat())


def test_rows_that_were_online_once_and_are_gone_are_missing(feast_world, relog):
    skew = relog(online_after(feast_world, N_DAYS - 1, profiles=False))
    assert skew.causes[Cause.MISSING_ROW] > 0.3
    assert set(skew.causes) <= {Cause.MISSING_ROW, Cause.STALE}, "a profile's very first row may not be online yet"
    assert skew.share_equal_by_part["title"] == skew.share_equal_by_part["artwork"] == 1.0


def test_pages_whose_profile_could_not_be_read_in_time_are_named_so(feast_world, relog):
    def without_profile(row: dict[str, Any]) -> None:
        row["profile_features"] = b""

    skew = relog(online_after(feast_world, N_DAYS - 1), without_profile)
    assert set(skew.causes) == {Cause.NOT_READ}
    assert skew.causes[Cause.NOT_READ] == pytest.approx(1.0 - skew.share_equal_by_part["profile"])


def test_pages_decided_before_any_vector_was_read_are_named_so(feast_world, relog):
    def without_vectors(row: dict[str, Any]) -> None:
        served = np.frombuffer(row["features"], "<f4").copy()
        served[: len(TITLE)] = served[-len(ARTWORK) :] = 0.0
        row.update(features=served.tobytes(), intent="fallback:vectors_unavailable")

    skew = relog(online_after(feast_world, N_DAYS - 1), without_vectors)
    assert set(skew.causes) == {Cause.NOT_READ}
    assert skew.causes[Cause.NOT_READ] > 0.5


def test_another_feature_service_or_length_is_another_layout(feast_world, relog):
    features = online_after(feast_world, N_DAYS - 1)
    assert relog(features, lambda row: row.update(feature_service="artwork_ranker_v0")).causes == {
        Cause.OTHER_LAYOUT: 1.0
    }
    shorter = relog(features, lambda row: row.update(features=row["features"][:-4]))
    assert shorter.causes == {Cause.OTHER_LAYOUT: 1.0}


def test_fresher_features_than_the_batch_has_are_named_and_stop_nothing(feast_world, relog):
    skew = relog(online_after(feast_world, N_DAYS - 1, boost=2))
    assert set(skew.causes) == {Cause.FRESH}
    assert skew.causes[Cause.FRESH] > 0.5
    refuse_skew(skew, 0.0)


def test_what_nothing_explains_is_called_that(feast_world, relog):
    def garbled(row: dict[str, Any]) -> None:
        if row["profile_features"]:
            row["profile_features"] = (np.frombuffer(row["profile_features"], "<f4") - np.float32(0.3)).tobytes()

    skew = relog(online_after(feast_world, N_DAYS - 1), garbled)
    assert set(skew.causes) == {Cause.UNEXPLAINED}
    with pytest.raises(SkewError, match="unexplained"):
        refuse_skew(skew, 0.5)


def test_a_row_past_its_time_to_live_that_was_served_all_the_same_is_expired(feast_world):
    row = (
        pq.read_table(view_path(feast_world, "profile_taste", day(0).key), partitioning=None).slice(0, 1).to_pylist()[0]
    )
    at: Times = np.array([day(0).end_at.replace(tzinfo=None)], "datetime64[us]")
    asked = Asked(pa.array([row["profile_id"]]), at, pa.array(["title-0"]))
    served, nothing = np.float32([row["vector"]]), np.zeros((1, len(PROFILE)), np.float32)
    assert explain(feast_world, "profile_taste", asked, served, nothing) == [Cause.EXPIRED]
    before = Asked(asked.keys, at - np.timedelta64(timedelta(hours=1)), asked.title_ids)
    assert explain(feast_world, "profile_taste", before, served, nothing) != [Cause.EXPIRED], "it was not known yet"
