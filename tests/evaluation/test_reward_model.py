"""The reward model learns, and never from the profile that it speaks of."""

import numpy as np
import pytest

from evaluation import reward_sample
from evaluation.reward_model import NoModel, fit_reward_model
from evaluation.reward_sample import N_FOLDS, RewardSample, fold_of
from models.batch import LoggedBatch
from models.draw import mix
from tests.evaluation.world import World, log_of, make_world, plain_batch, split


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(3), n_profiles=2_000, ragged=True, lift=0.4)


def with_reward(logged: LoggedBatch, reward: np.ndarray) -> LoggedBatch:
    return log_of(logged.batch, logged.chosen, logged.propensity, reward)


def test_predictions_explain_what_the_world_does(world: World) -> None:
    predicted = fit_reward_model(world.batches(1_000)()).predict(world.logged.batch)
    assert np.corrcoef(predicted, world.truth)[0, 1] > 0.9
    assert predicted.mean() == pytest.approx(world.truth.mean(), abs=0.02)


def test_no_reward_of_a_profile_is_in_its_own_predictions(world: World) -> None:
    batch, folds = world.logged.batch, fold_of(world.logged.batch.profile_keys)
    before = fit_reward_model(world.batches()()).predict(batch)
    for fold in range(N_FOLDS):
        own = folds == fold
        spoilt = np.where(own, 1 - world.logged.reward, world.logged.reward)
        after = fit_reward_model(iter([with_reward(world.logged, spoilt)])).predict(batch)
        candidates = own[batch.owner]
        assert np.array_equal(before[candidates], after[candidates])
        assert not np.array_equal(before[~candidates], after[~candidates])


def test_folds_are_of_about_the_same_size() -> None:
    folds = fold_of(mix(np.arange(1, 30_001, dtype=np.uint64)))
    assert np.abs(np.bincount(folds, minlength=N_FOLDS) / 30_000 - 1 / N_FOLDS).max() < 0.02


def test_an_artwork_that_takes_more_than_others_is_known_by_its_key() -> None:
    rng, n = np.random.default_rng(2), 6_000
    artworks = np.tile(mix(np.array([1, 2], dtype=np.uint64)), n)
    batch = plain_batch(np.arange(n + 1) * 2, mix(np.arange(1, n + 1, dtype=np.uint64)), artworks)
    place = rng.integers(0, 2, n)
    reward = (rng.random(n) < np.where(place == 0, 0.1, 0.3)).astype(float)
    logged = log_of(batch, batch.offsets[:-1] + place, np.full(n, 0.5), reward)
    predicted = fit_reward_model(iter([logged])).predict(batch).reshape(n, 2).mean(axis=0)
    assert predicted == pytest.approx([0.1, 0.3], abs=0.03)


def test_rewards_that_are_not_0_or_1_are_predicted_within_their_range(world: World) -> None:
    minutes = world.logged.reward * 90 + np.random.default_rng(1).random(len(world.logged))
    predicted = fit_reward_model(iter([with_reward(world.logged, minutes)])).predict(world.logged.batch)
    assert predicted.min() >= minutes.min()
    assert predicted.max() <= minutes.max()
    assert np.corrcoef(predicted, world.truth)[0, 1] > 0.9


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_rewards_without_contrast_are_predicted_as_they_are(world: World, value: float) -> None:
    reward = np.full(len(world.logged), value)
    predicted = fit_reward_model(iter([with_reward(world.logged, reward)])).predict(world.logged.batch)
    assert predicted == pytest.approx(np.full(len(predicted), value))


def test_an_empty_log_gives_the_model_that_predicts_nothing(world: World) -> None:
    model = fit_reward_model(iter([]))
    assert isinstance(model, NoModel)
    assert not model.predict(world.logged.batch).any()


def test_a_log_without_features_and_with_one_artwork_is_predicted_by_its_mean() -> None:
    n = 300
    batch = plain_batch(np.arange(n + 1), mix(np.arange(1, n + 1, dtype=np.uint64)), np.ones(n))
    logged = log_of(batch, np.arange(n), np.ones(n), (np.arange(n) % 4 == 0).astype(float))
    assert fit_reward_model(iter([logged])).predict(batch) == pytest.approx(np.full(n, 0.25), abs=0.05)


def test_the_sample_is_bounded_and_the_same_whatever_the_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_sample, "MAX_SAMPLE", 700)
    found = []
    for size in (50, 900, 10_000):
        sample = RewardSample()
        for logged in reversed(list(split(world.logged, size))):
            sample.add(logged)
        rows = sample.rows()
        assert len(rows.reward) == 700
        found.append(rows)
    for rows in found[1:]:
        for name in ("lot", "artwork", "fold", "decision", "candidate", "reward"):
            assert np.array_equal(getattr(rows, name), getattr(found[0], name)), name


@pytest.mark.parametrize("uniform", [True, False])
def test_predictions_of_unseen_profiles_are_calibrated(uniform: bool) -> None:
    """In every tenth of the predictions, takes are as frequent as predicted, by profiles that the model never saw."""
    world = make_world(np.random.default_rng(23), n_profiles=6_000, per_profile=4, ragged=True, uniform=uniform)
    logged = world.logged
    predicted = fit_reward_model(world.batches()()).predict(logged.batch)[logged.chosen]
    order = np.argsort(predicted + 1e-9 * np.random.default_rng(0).random(len(predicted)))
    for tenth in np.array_split(order, 10):
        error = np.sqrt(predicted[tenth].mean() * (1 - predicted[tenth].mean()) / len(tenth))
        assert abs(logged.reward[tenth].mean() - predicted[tenth].mean()) < 4 * error
    assert np.ptp(predicted) > 0.15  # and it tells them apart: the world's take fractions are 0.15 and 0.35
