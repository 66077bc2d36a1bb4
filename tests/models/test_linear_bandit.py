"""LinUCB, linear Thompson sampling and the supervised model: their own arithmetic and what they refuse."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from models.argument import numbers
from models.artwork_lift import lifts_of, total_of
from models.batch import LoggedBatch
from models.candidate import Learner
from models.compact import COMPACT, compact_features
from models.crossed import N_CROSSED, compiled, crossed
from models.crossfit import crossfit_lifts, half_of
from models.error import ContractError, DivergedModelError, NotReadyError
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, PROFILE_PART, SHARED, TASTES, TITLE_PART
from models.linear import LinearPolicy
from models.linear_bandit import fit_linucb, fit_thompson
from models.ridge import RidgeSums
from models.supervised import fit_supervised
from models.thompson import ThompsonPolicy
from tests.models.world import World, batch_of

RULE = Exploration(ExplorationKind.GREEDY, floor=0.02)
FITS = [fit_linucb, fit_thompson, fit_supervised]


def test_compact_features_are_what_their_names_say() -> None:
    batch = batch_of(np.array([2, 3, 1]), np.random.default_rng(1))
    found = compact_features(batch)
    assert found.shape == (6, len(COMPACT))
    n = len(TASTES)
    for row, owner in enumerate(batch.owner):
        shared = dict(zip(SHARED, batch.shared[owner].astype(float), strict=True))
        own = dict(zip(ARTWORK, batch.artworks[row].astype(float), strict=True))
        taste = batch.shared[owner, PROFILE_PART.start : PROFILE_PART.start + n].astype(float)
        about = batch.shared[owner, TITLE_PART.start : TITLE_PART.start + n].astype(float)
        style = batch.artworks[row, :n].astype(float)
        seen, minutes = shared["familiarity/seen_before"], shared["familiarity/log_minutes"]
        made = {
            "constant": 1.0,
            "taste·about": taste @ about,
            "|taste|": np.linalg.norm(taste),
            "match": taste @ style,
            "match × score": taste @ style * shared["context/score"],
            "match × seen_before": taste @ style * seen,
            "match × log_minutes": taste @ style * minutes,
            "fit": about @ style,
            "fit × seen_before": about @ style * seen,
            "take_lift × seen_before": own["take_lift"] * seen,
        }
        expected = [{**shared, **own, **made}[name] for name in COMPACT]
        np.testing.assert_allclose(found[row], expected, atol=1e-12)


def test_ridge_from_sums_is_ridge_from_rows() -> None:
    rng = np.random.default_rng(1)
    features, noise = rng.normal(size=(500, 4)), rng.normal(size=500)
    rewards = features @ [1.0, -2.0, 0.0, 0.5] + 0.3 * noise
    sums = RidgeSums.none(4)
    for first in range(0, 500, 90):
        sums = sums.plus(features[first : first + 90], rewards[first : first + 90])
    found = sums.solved(2.0)
    precision = features.T @ features + 2.0 * np.eye(4)
    weights = np.linalg.solve(precision, features.T @ rewards)
    np.testing.assert_allclose(found.weights, weights, atol=1e-10)
    assert found.noise == pytest.approx(np.mean((rewards - features @ weights) ** 2))
    np.testing.assert_allclose(found.factor @ found.factor.T, found.noise * np.linalg.inv(precision), atol=1e-12)


def test_samples_are_drawn_from_what_is_believed() -> None:
    """4,000 samples: their mean and covariance are the ridge regression's, within what chance allows."""
    log = list(World(seed=3).log(4_000))
    one = fit_thompson(lambda: iter(log), ("--samples", "4000"), RULE).policy
    other = fit_thompson(lambda: iter(log), ("--samples", "4000", "--seed", "2"), RULE).policy
    assert isinstance(one, ThompsonPolicy)
    assert isinstance(other, ThompsonPolicy)
    spread = one.weights.std(axis=0)
    apart = (one.weights.mean(axis=0) - other.weights.mean(axis=0)) / np.sqrt(2 / 4000) / np.maximum(spread, 1e-12)
    assert np.abs(apart).max() < norm.isf(1e-5 / len(COMPACT))
    np.testing.assert_allclose(other.weights.std(axis=0), spread, rtol=0.06)


def test_an_unknown_artwork_gains_most_from_optimism() -> None:
    """Nobody's taste matters here, and artworks differ: what is uncertain is what was shown least."""
    world = World(seed=3, n_titles=20, match=0.0)
    log = list(world.log(20_000))
    batch, _ = world.decisions(50, part=77)
    batch.artwork_keys[::6] = 12345
    policies = [fit_linucb(lambda: iter(log), ("--alpha", alpha), RULE).policy for alpha in ("0", "2")]
    gained = (policies[1].scores(batch) - policies[0].scores(batch)).reshape(50, 6)
    assert (gained > 0).all()
    assert (np.argmax(gained, axis=1) == 0).mean() > 0.9


def test_a_row_never_meets_a_lift_that_was_learned_from_itself() -> None:
    """Whatever a profile's own half was rewarded, the lifts that its rows meet stay the same."""
    log = list(World(seed=3).log(2_000, n_batches=2))

    def changed() -> Iterator[LoggedBatch]:
        for logged in log:
            own = half_of(logged.batch.profile_keys) == 0
            yield replace(logged, reward=np.where(own, 1.0 - logged.reward, logged.reward))

    before, after = crossfit_lifts(lambda: iter(log)), crossfit_lifts(changed)
    for logged in log:
        own = half_of(logged.batch.profile_keys) == 0
        assert 0.4 < own.mean() < 0.6
        np.testing.assert_array_equal(before.of_others(logged)[own], after.of_others(logged)[own])
        assert (before.of_others(logged)[~own] != after.of_others(logged)[~own]).mean() > 0.5
    np.testing.assert_array_equal(before.whole.lift, lifts_of(total_of(log)).lift)


def test_a_model_over_crossed_rows_is_a_linear_policy() -> None:
    rng = np.random.default_rng(1)
    batch = batch_of(np.array([2, 5, 1]), rng)
    weights = rng.normal(size=N_CROSSED)
    arrays, lift_weight = compiled(weights)
    rows = crossed(batch.shared[batch.owner], batch.artworks, np.zeros(8))
    scores = LinearPolicy.flat(RULE, **arrays).scores(batch)
    np.testing.assert_allclose(scores, rows @ weights, rtol=1e-5, atol=1e-4)
    with_lift = crossed(batch.shared[batch.owner], batch.artworks, np.full(8, 0.02))
    np.testing.assert_allclose((with_lift - rows) @ weights, 0.02 * lift_weight, atol=1e-9)


def test_the_supervised_model_knows_how_likely_a_quality_play_is() -> None:
    """Calibration on decisions of no log: in each tenth of the predictions the truth is within .04 of them."""
    world = World(seed=2)
    policy = fit_supervised(lambda: world.log(40_000), (), RULE).policy
    batch, chances = world.decisions(20_000, part=55)
    predicted = 1.0 / (1.0 + np.exp(-policy.scores(batch)))
    for rows in np.array_split(np.argsort(predicted), 10):
        assert predicted[rows].mean() == pytest.approx(chances[rows].mean(), abs=0.04)


@pytest.mark.parametrize("fitting", FITS)
def test_nothing_to_learn_from_is_said(fitting: type) -> None:
    with pytest.raises(NotReadyError):
        fitting(lambda: iter(()), (), RULE)


@pytest.mark.parametrize("fitting", FITS)
def test_progress_is_told_to_the_last_decision(fitting: type) -> None:
    told: list[int] = []
    fitting(lambda: World(seed=3).log(400), (), RULE, told.append)
    assert told == sorted(told)
    assert told[-1] == 400


def test_sums_that_overflow_are_a_diverged_model() -> None:
    with pytest.raises(DivergedModelError):
        RidgeSums.none(1).plus(np.array([[1e200]]), np.array([1.0])).solved(1.0)


def test_features_that_only_a_penalty_tells_apart_want_one() -> None:
    twins = RidgeSums.none(2).plus(np.ones((3, 2)), np.array([0.0, 1.0, 1.0]))
    with pytest.raises(DivergedModelError, match=r"penalty of 0\.0"):
        twins.solved(0.0)
    np.testing.assert_allclose(twins.solved(1.0).weights, [2 / 7, 2 / 7])


def test_a_logistic_regression_that_overflows_is_a_diverged_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.supervised._RATE", 1e300)
    with pytest.raises(DivergedModelError):
        fit_supervised(lambda: World(seed=3).log(400), (), RULE)


def test_rewards_that_are_no_plays_are_refused_by_decision() -> None:
    logged = next(World(seed=3).log(40, n_batches=1))
    logged.reward[7] = 0.5
    with pytest.raises(ContractError, match="decision-7"):
        fit_supervised(lambda: iter([logged]), (), RULE)


@pytest.mark.parametrize("wrong", [("--beta", "1"), ("--alpha",), ("--alpha", "x"), ("--alpha", "-1"), ("alpha", "1")])
def test_arguments_that_are_none_are_refused(wrong: tuple[str, ...]) -> None:
    with pytest.raises(ContractError):
        numbers(wrong, alpha=1.0)


def test_every_learner_is_on_the_list() -> None:
    assert {each.value for each in Learner} >= {"linucb", "thompson", "supervised"}
