"""Policies trained once for all tests of the bandit."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from models.candidate import CANDIDATES, candidate, fit
from models.fitted import FittedPolicy
from tests.models.world import World

settings.register_profile("marquee", deadline=None)  # a slow machine is no failure
settings.load_profile("marquee")

N_LEARNED = 8_000

Fitted = Callable[[str], FittedPolicy]


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Give a candidate of the written list, trained on a small world; each is trained once, when first asked for."""
    done: dict[str, FittedPolicy] = {}

    def give(name: str) -> FittedPolicy:
        if name not in done:
            workdir = tmp_path_factory.mktemp(name)
            done[name] = fit(candidate(name), lambda: World(seed=1).log(N_LEARNED), workdir)
        return done[name]

    return give


@pytest.fixture(params=[each.name for each in CANDIDATES])
def candidate_name(request: pytest.FixtureRequest) -> str:
    """Each name of the written list in turn."""
    return str(request.param)


@pytest.fixture(params=["path", "file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a place for bundles, in each way that one can be named."""
    places = {"path": str(tmp_path / "policies"), "file": (tmp_path / "policies").as_uri()}
    return places.get(request.param, f"memory://policies-{uuid4().hex}")
