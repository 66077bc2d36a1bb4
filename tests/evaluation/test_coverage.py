"""Intervals hold the truth as often as they say, also where one draw is seen ten times."""

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.doubly_robust import doubly_robust
from evaluation.evaluation import evaluate
from evaluation.interval import Estimate, bootstrap, clustered, one_sided
from evaluation.inverse_propensity import inverse_propensity
from evaluation.replay import replay
from evaluation.score import Ratio, pool
from evaluation.self_normalized import self_normalized
from models.batch import Floats
from models.policy import UniformPolicy
from tests.evaluation.world import TasteFirst, make_world

N_RUNS = 400
N_PROFILES, N_TITLES, N_ARTWORKS, N_REPEATS = 200, 3, 4, 10
TARGET = np.array([0.7, 0.1, 0.1, 0.1])
LOGGING = np.array([0.1, 0.2, 0.3, 0.4])


def sticky_log(rng: np.random.Generator) -> tuple[Floats, Floats, np.ndarray, Floats, float]:
    """One draw for each (profile, title), seen `N_REPEATS` times, by people who like some artworks and not others.

    Returns target probability, propensity, profile and reward of each impression, and the true policy value.
    """
    shape = (N_PROFILES * N_TITLES, N_ARTWORKS)
    liking = rng.beta(0.3, 0.9, shape) * np.linspace(0.6, 1.4, N_ARTWORKS).clip(max=1.0)
    drawn = rng.choice(N_ARTWORKS, len(liking), p=LOGGING)
    action = np.repeat(drawn, N_REPEATS)
    pair = np.repeat(np.arange(len(liking)), N_REPEATS)
    reward = (rng.random(len(pair)) < liking[pair, action]).astype(float)
    truth = float((0.25 * np.linspace(0.6, 1.4, N_ARTWORKS).clip(max=1.0)) @ TARGET)
    return TARGET[action], LOGGING[action], np.repeat(np.arange(N_PROFILES), N_TITLES * N_REPEATS), reward, truth


ESTIMATORS: dict[str, Callable[[Floats, Floats, Floats], tuple[Ratio, ...]]] = {
    "replay": lambda target, propensity, reward: replay(target, propensity, reward),
    "ips": lambda target, propensity, reward: inverse_propensity(reward, target / propensity),
    "snips": lambda target, propensity, reward: self_normalized(reward, target / propensity),
    "dr": lambda target, propensity, reward: doubly_robust(
        np.full(len(reward), 0.2), reward - 0.2, target / propensity
    ),
}


def test_clustered_intervals_hold_the_truth_at_their_rate_and_unclustered_ones_do_not() -> None:
    rng = np.random.default_rng(20261101)
    held = {name: np.zeros(2) for name in ESTIMATORS}
    for _ in range(N_RUNS):
        target, propensity, profile, reward, truth = sticky_log(rng)
        for name, estimator in ESTIMATORS.items():
            score = pool(estimator(target, propensity, reward))
            both = (
                clustered(score, profile.astype(np.uint64)),
                clustered(score, np.arange(len(reward), dtype=np.uint64)),
            )
            held[name] += [interval.low <= truth <= interval.high for interval in both]
    for name, (by_profile, by_impression) in held.items():
        # 400 runs at 0.95: four standard errors are 0.044
        assert 0.906 <= by_profile / N_RUNS <= 0.994, name
        assert by_impression / N_RUNS < 0.85, name


def test_one_sided_bounds_fail_at_their_level() -> None:
    rng = np.random.default_rng(7)
    missed = np.zeros(2)
    for _ in range(N_RUNS):
        target, propensity, profile, reward, truth = sticky_log(rng)
        estimate = clustered(pool(inverse_propensity(reward, target / propensity)), profile.astype(np.uint64))
        lower, upper = one_sided(estimate, 0.1)
        missed += [lower > truth, upper < truth]
    assert (missed / N_RUNS > 0.04).all()
    assert (missed / N_RUNS < 0.16).all()


def test_the_bootstrap_over_profiles_agrees_with_the_normal_interval() -> None:
    rng = np.random.default_rng(11)
    target, propensity, profile, reward, _ = sticky_log(rng)
    weight = target / propensity
    score = pool(self_normalized(reward, weight))
    normal = clustered(score, profile.astype(np.uint64))
    by_profile = Ratio(np.bincount(profile, weight * reward), np.bincount(profile, weight))
    found = bootstrap((by_profile,), rng, n_resamples=600)
    assert found.value == pytest.approx(normal.value)
    assert found.standard_error == pytest.approx(normal.standard_error, rel=0.15)
    assert found.high - found.low == pytest.approx(normal.high - normal.low, rel=0.2)


def test_a_whole_evaluation_holds_the_truth_of_every_policy_at_its_rate() -> None:
    """Doubly robust with the cross-fitted model, on a skewed log; and the paired difference to the champion."""
    rng, n_runs = np.random.default_rng(5), 120
    policies = {"uniform": UniformPolicy(), "taste": TasteFirst(0.1), "sure": TasteFirst()}
    held = {"taste": 0, "sure": 0, "difference": 0}
    errors: list[float] = []
    for _ in range(n_runs):
        world = make_world(rng, n_profiles=250, per_profile=4, ragged=True, uniform=False)
        truths = {name: world.value(policy.pmf(world.logged.batch)) for name, policy in policies.items()}
        evaluation = evaluate(policies, world.batches(), champion="uniform")
        for name in ("taste", "sure"):
            held[name] += _holds(evaluation.policy(name).estimates["dr"], truths[name])
        difference = evaluation.comparison("sure").difference
        held["difference"] += _holds(difference, truths["sure"] - truths["uniform"])
        assert difference is not None
        errors.append((difference.value - truths["sure"] + truths["uniform"]) / difference.standard_error)
    for name, count in held.items():
        # 120 runs at 0.95: four standard errors are 0.08
        assert count / n_runs >= 0.87, name
    assert abs(np.mean(errors)) < 4 / np.sqrt(n_runs)


def _holds(estimate: Estimate | None, truth: float) -> bool:
    assert estimate is not None
    return estimate.low <= truth <= estimate.high
