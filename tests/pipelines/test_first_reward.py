"""Who asks a young log for rewards is told how long one takes and from when on there are some, and that is so."""

from datetime import timedelta
from pathlib import Path

import pytest

from models.error import NotReadyError
from pipelines.attribution import attribute
from pipelines.first_reward import when_known
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import REWARDS
from pipelines.training_set import build_training_set
from tests.pipelines.feature_world import day, make_world

TAKES = "it takes 54 hours to be known"


@pytest.fixture
def young(feast_world: Settings, tmp_path: Path) -> Settings:
    """Three days of a log whose rewards take 54 hours, and none of them attributed yet."""
    hours = {"attribution_window_hours": 48.0, "attribution_grace_hours": 6.0}
    settings = feast_world.model_copy(update=hours | {"lake_url": str(tmp_path / "lake")})
    world = make_world(3)
    world.tables["rewards"] = []
    world.write(settings, range(3))
    return settings


def test_the_first_rewards_are_there_when_it_was_said_that_they_would_be(young: Settings, tmp_path: Path) -> None:
    told = f"{TAKES}, and this log begins at 2026-11-01T00:00:00: there are some once it is refreshed through "
    assert when_known(young, day(0).end_at) == when_known(young, day(1).end_at) == f"{told}2026-11-04T00:00:00 UTC"
    assert when_known(young, day(2).end_at) == TAKES
    assert [attribute(young, day(number)).n_rewards > 0 for number in range(3)] == [False, False, True]
    for number in range(2):
        with pytest.raises(NotReadyError, match=r"the 28 days before .*: it takes 54 hours .* through 2026-11-04T00"):
            build_training_set(young, day(number).end_at, tmp_path / "set")
    assert build_training_set(young, day(2).end_at, tmp_path / "set").n_decisions > 0


def test_a_set_without_a_row_is_not_sealed(young: Settings, tmp_path: Path) -> None:
    assert Lake(young.lake_dir).intervals(REWARDS)
    with pytest.raises(NotReadyError, match="no reward matured"):
        build_training_set(young, day(0).end_at, tmp_path / "set")
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_a_log_that_is_not_ingested_is_told_so(young: Settings, tmp_path: Path) -> None:
    bare = young.model_copy(update={"lake_url": str(tmp_path / "other")})
    assert when_known(bare, day(0).end_at) == f"{TAKES}, and the lake holds no decision yet"
    with pytest.raises(NotReadyError, match=r"in the 0\.5 days before"):
        build_training_set(bare.model_copy(update={"training_window_days": 0.5}), day(0).end_at + timedelta(hours=1))
