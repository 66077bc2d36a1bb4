"""One score a profile, whatever a profile sees and however often."""

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import bounds_of
from evaluation.gate_budget import single_look
from evaluation.profile_score import FULL_VOTE_DECISIONS, SCORE_BOUND, profile_scores, scores_of
from models.policy import UniformPolicy
from tests.evaluation.world import TasteFirst, make_world

POLICIES = {"uniform": UniformPolicy(), "taste": TasteFirst(0.1)}


def test_a_profile_seen_less_has_a_smaller_vote_and_nobody_has_more_than_one() -> None:
    n = np.array([FULL_VOTE_DECISIONS / 5, FULL_VOTE_DECISIONS, FULL_VOTE_DECISIONS * 8.0])
    assert scores_of(0.1 * n, n) * SCORE_BOUND == pytest.approx([0.02, 0.1, 0.1])
    found = profile_scores(0.1 * n, n)
    assert found.mean / found.mean_vote == pytest.approx(0.1)
    assert found.n == 3
    assert (found.least, found.most) == pytest.approx((0.04, 0.2))


def test_an_evaluation_carries_what_bounds_need() -> None:
    world = make_world(np.random.default_rng(3), n_profiles=300, per_profile=60)
    comparison = evaluate(POLICIES, world.batches(), champion="uniform").comparison("taste")
    scores, difference = comparison.scores, comparison.difference
    assert scores is not None
    assert difference is not None
    assert scores.n == 300
    # all have a full vote, and as many decisions: the scores' mean is the difference
    assert scores.mean / scores.mean_vote == pytest.approx(difference.value, rel=1e-9)
    assert scores.deviation / scores.mean_vote / np.sqrt(300) == pytest.approx(difference.standard_error, rel=0.01)


def test_seeing_everything_ten_times_makes_nothing_surer() -> None:
    world = make_world(np.random.default_rng(3), n_profiles=150, per_profile=60)
    once = evaluate(POLICIES, world.batches(), champion="uniform").comparison("taste").scores
    logs = [world.logged] * 10
    often = evaluate(POLICIES, lambda: iter(logs), champion="uniform").comparison("taste").scores
    assert once is not None
    assert often is not None
    assert often.n == once.n
    assert often.deviation == pytest.approx(once.deviation, rel=0.05)  # the reward model has seen ten times as much
    bounds = [bounds_of(scores, single_look(1), 0.05) for scores in (once, often)]
    width = [each.upper - each.lower for each in bounds]
    assert width[1] == pytest.approx(width[0], rel=0.05)


def test_bounds_lie_around_the_difference_in_take_fractions() -> None:
    rng = np.random.default_rng(6)
    n = rng.integers(1, 120, 4_000).astype(np.float64)
    # the mean of a profile's decisions varies less the more there are
    found = profile_scores(n * (0.03 + rng.normal(0, 0.6, 4_000) / np.sqrt(n)), n)
    bounds = bounds_of(found, single_look(1), 0.05)
    assert 0.015 < bounds.lower < 0.03 < bounds.upper < 0.045
