"""A score and what it is made of."""

import numpy as np
import pytest

from models.contribution import ARTWORK_ID, CONSTANT, DOUBT, contributions
from models.exploration import Exploration, ExplorationKind
from models.linear import LinearPolicy
from models.policy import UniformPolicy
from models.shape import SHAPES
from tests.models.conftest import Fitted
from tests.models.example import EXAMPLES
from tests.models.world import World, batch_of

RULE = Exploration(ExplorationKind.GREEDY)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_the_parts_of_a_score_add_up_to_it(shape: type) -> None:
    policy = EXAMPLES[shape](RULE)
    batch = batch_of(np.array([1, 5, 30]), np.random.default_rng(1))
    known = policy.arrays().get("bias_keys", policy.arrays().get("lift_keys"))
    batch.artwork_keys[::2] = known[: len(batch.artwork_keys[::2])]
    batch.artworks[3, :2] = [np.nan, 1e9]
    scores = np.atleast_2d(policy.scores(batch)).mean(axis=0)
    parts = contributions(policy, batch)
    np.testing.assert_allclose(np.sum(list(parts.values()), axis=0), scores, rtol=1e-9, atol=1e-9)
    assert ARTWORK_ID in parts


def test_parts_of_candidates_add_up_too(fitted: Fitted, candidate_name: str) -> None:
    policy = fitted(candidate_name).policy
    batch, _ = World(seed=1).decisions(30, part=9)
    scores = np.atleast_2d(policy.scores(batch)).mean(axis=0)
    parts = contributions(policy, batch)
    np.testing.assert_allclose(np.sum([np.zeros(180), *parts.values()], axis=0), scores, rtol=1e-9, atol=1e-9)


def test_what_a_world_of_matches_taught_is_told_as_taste_and_style(fitted: Fitted) -> None:
    """The world's truth is taste × style, and so the group that tells candidates apart most."""
    batch, _ = World(seed=1).decisions(200, part=9)
    for name in ("vw-softmax", "vw-bag", "linucb", "thompson", "supervised"):
        parts = contributions(fitted(name).policy, batch)
        within = {group: part.reshape(200, 6).std(axis=1).mean() for group, part in parts.items()}
        assert max(within, key=lambda group: within[group]) == "taste × style"
    assert DOUBT in contributions(fitted("linucb").policy, batch)


def test_groups_that_weigh_nothing_are_left_out() -> None:
    batch = batch_of(np.array([3]), np.random.default_rng(1))
    assert set(contributions(LinearPolicy.flat(RULE, constant=0.2), batch)) == {CONSTANT}


def test_a_policy_without_scores_is_refused() -> None:
    with pytest.raises(TypeError, match="UniformPolicy"):
        contributions(UniformPolicy(), batch_of(np.array([2]), np.random.default_rng(1)))
