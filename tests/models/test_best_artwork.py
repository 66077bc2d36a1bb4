"""The best artwork, learned without being misled by who saw what."""

import numpy as np
import pytest

from models.batch import Batch, LoggedBatch
from models.best_artwork import fit_best_artwork
from models.error import ContractError, NotReadyError
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, SHARED
from models.policy import UniformPolicy
from tests.models.world import World, logged_of

RULE = Exploration(ExplorationKind.GREEDY, floor=0.05)


def titles_of(titles: np.ndarray, n_artworks: int) -> Batch:
    """One decision for each entry of `titles`, whose artworks have the keys title · 1000 + 0, 1, 2 …"""
    n = len(titles)
    keys = (titles[:, None] * 1000 + np.arange(n_artworks)).ravel().astype(np.uint64)
    return Batch(
        offsets=np.arange(0, n * n_artworks + 1, n_artworks),
        profile_keys=np.arange(n, dtype=np.uint64),
        title_keys=titles.astype(np.uint64),
        artwork_keys=keys,
        shared=np.zeros((n, len(SHARED)), dtype=np.float32),
        artworks=np.zeros((n * n_artworks, len(ARTWORK)), dtype=np.float32),
    )


def confounded(seed: int, n: int = 40_000) -> LoggedBatch:
    """Fans (30 %) take artwork 0 in .8 of cases and others in .1: .31 in all. Everybody takes artwork 1 in .4.

    The logging policy knows fans, and shows artwork 0 to nearly no one else: there it looks like .72.
    """
    rng = np.random.default_rng(seed)
    batch = titles_of(np.zeros(n, dtype=np.int64), 2)
    fan = rng.random(n) < 0.3
    first = np.where(fan, 0.95, 0.05)
    chances = np.stack([np.where(fan, 0.8, 0.1), np.full(n, 0.4)], axis=1)
    return logged_of(batch, np.stack([first, 1 - first], axis=1).ravel(), rng, chances.ravel())


@pytest.mark.parametrize("seed", range(5))
def test_an_artwork_shown_to_its_fans_is_not_taken_for_the_best(seed: int) -> None:
    logged = confounded(seed)
    shown_first = logged.chosen % 2 == 0
    assert logged.reward[shown_first].mean() > 0.6 > 0.45 > logged.reward[~shown_first].mean()
    policy = fit_best_artwork([logged], RULE).policy
    bias = policy.bias_of(np.array([0, 1], dtype=np.uint64))
    # The weights' standard error is about .03 for artwork 0 and .006 for artwork 1; shrinkage takes little.
    assert bias[1] - bias[0] == pytest.approx(0.4 - 0.31, abs=0.08)
    assert bias[1] > bias[0]


def test_several_batches_teach_the_same_as_one() -> None:
    logged = confounded(seed=1, n=3_000)
    parts = [logged.take(np.arange(first, first + 1_000)) for first in (0, 1_000, 2_000)]
    told: list[int] = []
    one, many = fit_best_artwork([logged], RULE), fit_best_artwork(parts, RULE, told.append)
    np.testing.assert_allclose(many.policy.bias, one.policy.bias, atol=1e-6)
    assert told == [1_000, 2_000, 3_000]
    assert one.diagnostics["n_decisions"] == many.diagnostics["n_decisions"] == 3_000


def test_uniform_logs_give_the_plain_posterior_mean() -> None:
    """Equal propensities: the weights cancel, and n is the number of impressions."""
    logged = next(World(seed=3, n_titles=1, n_artworks=3).log(3_000, n_batches=1))
    fitted = fit_best_artwork([logged], RULE)
    keys = logged.batch.artwork_keys[logged.chosen]
    strength, overall = fitted.diagnostics["prior_strength"], logged.reward.mean()
    for key in np.unique(keys):
        taken, shown = logged.reward[keys == key].sum(), (keys == key).sum()
        posterior = (strength * overall + taken) / (strength + shown)
        assert fitted.policy.bias_of(np.array([key]))[0] == pytest.approx(posterior - overall, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strength", [20.0, 100.0])
def test_the_prior_is_learned_from_all_titles(seed: int, strength: float) -> None:
    rng = np.random.default_rng([seed, 11])
    n_titles, n_artworks, n = 400, 6, 100_000
    base = np.repeat(rng.uniform(0.1, 0.4, size=n_titles), n_artworks)
    truth = rng.beta(strength * base, strength * (1 - base)).reshape(n_titles, n_artworks)
    titles = rng.integers(n_titles, size=n)
    batch = titles_of(titles, n_artworks)
    logged = logged_of(batch, UniformPolicy().pmf(batch), rng, truth[titles].ravel())
    assert fit_best_artwork([logged], RULE).diagnostics["prior_strength"] == pytest.approx(strength, rel=0.4)


def test_being_new_is_neither_a_merit_nor_a_fault() -> None:
    """Two titles, one ten times as popular: a new artwork of either ranks between its title's better and worse."""
    rng = np.random.default_rng(1)
    titles = rng.integers(2, size=20_000)
    batch = titles_of(titles, 2)
    truth = np.array([[0.03, 0.07], [0.3, 0.7]])
    policy = fit_best_artwork([logged_of(batch, UniformPolicy().pmf(batch), rng, truth[titles].ravel())], RULE).policy
    scores = policy.scores(titles_of(np.array([0, 1]), 3)).reshape(2, 3)
    assert (scores[:, 0] < scores[:, 2]).all()
    assert (scores[:, 2] < scores[:, 1]).all()


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(NotReadyError):
        fit_best_artwork([], RULE)


def test_one_decision_is_enough_to_go_on() -> None:
    policy = fit_best_artwork([confounded(seed=1, n=1)], RULE).policy
    assert np.isfinite(policy.bias).all()


def test_rewards_that_are_no_fractions_are_refused_by_decision() -> None:
    logged = confounded(seed=1, n=10)
    logged.reward[4] = 1.5
    with pytest.raises(ContractError, match="decision-4"):
        fit_best_artwork([logged], RULE)
