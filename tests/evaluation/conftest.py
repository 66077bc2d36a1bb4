"""A world whose candidates have been evaluated, to be judged."""

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.record import Evaluation
from tests.evaluation.gate_case import POLICIES
from tests.evaluation.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(3), n_profiles=2_000, ragged=True)


@pytest.fixture(scope="module")
def evaluation(world: World) -> Evaluation:
    return evaluate(POLICIES, world.batches(), champion="uniform")
