"""The share of known rewards counts what is still open as of the training set, each decision once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from models.interval import Interval
from pipelines.lake import Lake
from pipelines.maturity import matured_share
from pipelines.settings import Settings
from pipelines.table import IMPRESSIONS
from pipelines.training_set import TrainingSet

AS_OF = datetime(2026, 11, 8, tzinfo=UTC)


def impressions(at: datetime, decision_ids: list[str]) -> pa.Table:
    times = {"seen_at": at, "received_at": at, "decided_at": at}
    ids = {"delivery": "fresh", "profile_id": "p", "title_id": "t", "artwork_id": "a"}
    return pa.Table.from_pylist(
        [{"decision_id": decision_id} | times | ids for decision_id in decision_ids], schema=IMPRESSIONS.schema
    )


def training_set(n_decisions: int) -> TrainingSet:
    return TrainingSet("file:///none", AS_OF, AS_OF - timedelta(days=5), AS_OF, n_decisions, (), 0.4)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, attribution_window_hours=48, attribution_grace_hours=6)
    lake = Lake(settings.lake_dir)
    for days, names in ((4, ["old", "older"]), (2, ["open-1"]), (1, ["open-1", "open-2", "open-3"]), (0, ["later"])):
        at = AS_OF - timedelta(days=days) + timedelta(hours=1)
        lake.overwrite(IMPRESSIONS, Interval.containing(at, 24), impressions(at, names))
    return settings


def test_open_decisions_are_counted_once_and_later_ones_not_at_all(settings: Settings) -> None:
    assert matured_share(settings, training_set(7)) == 0.7


def test_longer_attribution_leaves_more_open(settings: Settings) -> None:
    slow = settings.model_copy(update={"attribution_window_hours": 96})
    assert matured_share(slow, training_set(5)) == 0.5


def test_without_anything_seen_nothing_is_known(tmp_path: Path) -> None:
    assert matured_share(Settings(home=tmp_path), training_set(0)) == 0.0
    assert matured_share(Settings(home=tmp_path), training_set(4)) == 1.0
