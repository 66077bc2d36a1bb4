"""The gate's confidence sequence holds the mean at all times, forgets its scores, and obeys its laws."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from evaluation.sequence_betting import BETS, growth, log_capital, log_capital_path, log_prior, lower_bound
from models.batch import Floats
from models.error import ContractError

few = settings(max_examples=50, deadline=None)
some_scores = st_numpy.arrays(np.float64, st.integers(1, 80), elements=st.floats(-1, 3, width=32))
levels = st.floats(1e-6, 0.3)


def bound(scores: Floats, alpha: float) -> float:
    n = scores.shape[-1]
    return float(lower_bound(growth(scores), n, log_prior(n, alpha), alpha))


def test_the_growth_is_the_sum_of_logarithms() -> None:
    scores = np.random.default_rng(0).uniform(-1, 2, (3, 2, 101))
    assert np.allclose(growth(scores), np.log1p(BETS * scores[..., None]).sum(axis=-2), rtol=1e-12)
    assert growth(np.zeros(0)).tolist() == [0.0] * len(BETS)


@pytest.mark.parametrize("kind", ["takes", "skewed", "unlike"])
def test_the_bound_holds_the_mean_at_all_times_together(kind: str) -> None:
    rng, n_paths, n, alpha = np.random.default_rng(8), 400, 2_000, 0.1
    if kind == "takes":
        scores = np.where(rng.random((n_paths, n)) < 0.1, 0.9, -0.1)
    elif kind == "skewed":  # rare large losses: the hard side for a lower bound
        scores = np.where(rng.random((n_paths, n)) < 0.02, -0.98, 0.02)
    else:  # each score has a mean of its own, all together 0
        means = np.tile(rng.permutation(np.repeat([-0.3, 0.3], n // 2)), (n_paths, 1))
        scores = means + rng.uniform(-0.5, 0.5, (n_paths, n))
    path = log_capital_path(scores, log_prior(n, alpha))
    at_end = path[:, -1] >= -log(alpha)
    # at most 0.1 is promised: four standard errors of 400 paths are 0.06
    assert at_end.mean() < 0.16
    if kind != "unlike":  # means that change are promised at the end alone: their average is 0 only there
        assert (path >= -log(alpha)).any(axis=-1).mean() < 0.16


def test_the_bound_is_of_use() -> None:
    """Where the prior fits, it is as if the normal bound asked for half a standard error more."""
    rng, n, alpha = np.random.default_rng(4), 4_000, 0.001
    scores = rng.normal(0.02, 0.12, (60, n)).clip(-1)
    found = lower_bound(growth(scores), n, log_prior(n, alpha), alpha)
    normal = scores.mean(axis=-1) - 3.0902 * scores.std(axis=-1) / np.sqrt(n)
    assert (found < normal).all()
    assert ((normal - found) / (0.12 / np.sqrt(n))).max() < 1.2


@few
@given(some_scores, levels, st.randoms(use_true_random=False))
def test_the_order_of_scores_does_not_matter(scores: Floats, alpha: float, random: object) -> None:
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert np.allclose(growth(scores), growth(scores[order]), atol=1e-9)
    assert bound(scores, alpha) == pytest.approx(bound(scores[order], alpha), abs=1e-9)


@few
@given(some_scores, some_scores)
def test_sums_of_parts_add_up(one: Floats, other: Floats) -> None:
    assert np.allclose(growth(np.concatenate((one, other))), growth(one) + growth(other), atol=1e-9)


@few
@given(some_scores, levels, st.integers(0, 1_000), st.floats(0, 1))
def test_a_score_that_rises_never_lowers_the_bound(scores: Floats, alpha: float, place: int, rise: float) -> None:
    raised = scores.copy()
    raised[place % len(scores)] += rise
    assert bound(raised, alpha) >= bound(scores, alpha) - 1e-9


@few
@given(some_scores, levels)
def test_no_bound_is_above_the_mean_and_none_is_sure_of_more_at_a_smaller_level(scores: Floats, alpha: float) -> None:
    n, prior = len(scores), log_prior(len(scores), alpha)
    strict, lax = (float(lower_bound(growth(scores), n, prior, level)) for level in (alpha / 2, alpha))
    assert strict <= lax <= scores.mean() + 1e-9


@few
@given(some_scores, levels, st.floats(-0.5, 0.5))
def test_a_mean_is_ruled_out_exactly_when_the_capital_against_it_is_large(
    scores: Floats, alpha: float, mean: float
) -> None:
    prior = log_prior(len(scores), alpha)
    won = float(log_capital(growth(scores), len(scores), prior, mean))
    found = float(lower_bound(growth(scores), len(scores), prior, alpha))
    if abs(found - mean) > 1e-9:
        assert (won >= -log(alpha)) == (found > mean)


@few
@given(some_scores, st.floats(-0.5, 0.5))
def test_the_capital_on_the_way_ends_where_the_sums_say(scores: Floats, mean: float) -> None:
    prior = log_prior(50, 0.01)
    path = log_capital_path(scores, prior, mean)
    assert path.shape == scores.shape
    for n in (1, len(scores)):
        assert path[n - 1] == pytest.approx(float(log_capital(growth(scores[:n]), n, prior, mean)), abs=1e-8)


@pytest.mark.parametrize(("n", "alpha"), [(1, 0.5), (400, 1e-4), (20_000, 0.025), (10**9, 1e-12)])
def test_the_prior_is_one_at_any_size_and_level(n: int, alpha: float) -> None:
    prior = log_prior(n, alpha)
    assert prior.shape == BETS.shape
    assert np.exp(prior).sum() == pytest.approx(1.0)


def test_a_score_below_what_a_bet_can_bear_ruins_it_and_leaves_the_others() -> None:
    scores = np.append(np.full(2_000, 0.05), -3.0)
    found = growth(scores)
    sane = np.log1p(0.05 * BETS) * 2_000 + np.log(np.maximum(1 - 3 * BETS, 1e-9))
    assert np.allclose(found, sane, atol=1e-6)
    ruined = BETS > 1 / 3
    assert (found - np.log1p(0.05 * BETS) * 2_000)[ruined].max() < -20
    assert -1 < bound(scores, 0.01) < bound(scores[:-1], 0.01)
    many = np.concatenate((np.full(2_000, 0.05), np.full(100, -30.0)))
    assert bound(many, 0.01) < 0
    assert np.isfinite(growth(many)).all()


def test_cutting_scores_from_above_only_lowers_the_bound() -> None:
    scores = np.random.default_rng(2).exponential(0.3, 500) - 0.2
    assert bound(np.minimum(scores, 0.5), 0.01) < bound(scores, 0.01)
    endless = np.append(scores, 1e200)
    assert bound(endless, 0.01) == bound(np.append(scores, 1e6), 0.01)


def test_scores_that_say_nothing_bound_nothing() -> None:
    assert bound(np.zeros(3), 0.05) < -0.5
    assert exp(float(log_capital(growth(np.zeros(3)), 3, log_prior(3, 0.05)))) == pytest.approx(1.0)


def test_a_score_that_is_not_finite_is_refused_with_its_value() -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(ContractError, match=f"scores must be finite, got {value}"):
            growth(np.array([0.0, value]))
        with pytest.raises(ContractError, match=f"scores must be finite, got {value}"):
            log_capital_path(np.array([0.0, value]), log_prior(2, 0.1))
