"""A small world brought through the feature steps by Feast: built once, read by many tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.identity import keys_of
from pipelines.feature_tables import build_features
from pipelines.freshen import Freshener
from pipelines.lake import Lake
from pipelines.materialize import materialize
from pipelines.settings import Settings
from serving.catalogue_file import write_catalogue
from serving.feast_features import FeastFeatures, open_features
from serving.features import familiarity_matrix
from tests.pipelines.feature_world import N_DAYS, World, catalogue, day, make_world
from tests.pipelines.promotion_world import made_rounds, made_world, unpublished  # noqa: F401


@pytest.fixture(scope="session")
def feast_world(applied_settings: Settings) -> Settings:
    """Four days; the first three are online, and the fourth's pages were served from that and logged so."""
    settings = applied_settings
    write_catalogue(catalogue(), settings.catalogue_path)
    world = make_world(N_DAYS)
    world.write(settings, range(N_DAYS - 1))
    for number in range(N_DAYS - 1):
        build_features(settings, day(number))
        materialize(settings, day(number))
    serve(world, open_features(settings))
    world.write(settings, [N_DAYS - 1])
    build_features(settings, day(N_DAYS - 1))
    return settings


def serve(world: World, features: FeastFeatures) -> None:
    """Log the vectors of the last day's decisions as a scorer would have read them."""
    for row in world.tables["decisions"]:
        if row["decided_at"] < day(N_DAYS - 1).start_at:
            continue
        profile = features.profile(row["profile_id"], row["decided_at"])
        vector = np.zeros(32, np.float32) if profile is None else profile.vector
        parts = (
            features.titles([row["title_id"]]).vectors,
            familiarity_matrix(profile, keys_of([row["title_id"]])),
            features.artworks([row["artwork_id"]]).vectors,
        )
        row["profile_features"] = vector.astype("<f4").tobytes()
        row["features"] = np.concatenate([part[0] for part in parts]).astype("<f4").tobytes()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def home(scratch_store: Callable[..., tuple[Settings, Any]]) -> tuple[Settings, Any]:
    """A home with a catalogue and nothing else, and its store."""
    settings, store = scratch_store()
    write_catalogue(catalogue(), settings.catalogue_path)
    return settings, store


@pytest.fixture
def fresh(home: tuple[Settings, Any]) -> Iterator[Freshener]:
    freshener = Freshener(*home)
    yield freshener
    freshener.close()
