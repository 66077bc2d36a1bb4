"""An evaluation says what it should, and refuses what it must."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.importance import importance_weights
from evaluation.interval import Estimate
from evaluation.inverse_propensity import inverse_propensity
from evaluation.record import decode_evaluation, encode
from evaluation.replay import replay
from evaluation.score import Ratio, pool
from evaluation.self_normalized import self_normalized
from models.batch import Batch, Floats, LoggedBatch
from models.error import ContractError, NoOverlapError
from models.policy import UniformPolicy
from tests.evaluation.open_bandit import open_bandit
from tests.evaluation.world import Fixed, TasteFirst, World, log_of, make_world, split


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(3), n_profiles=300, ragged=True)


def only(logged: LoggedBatch) -> Iterator[LoggedBatch]:
    return iter([logged])


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_a_random_click_log_gives_the_uniform_policy_exactly_its_click_rate(shared_data: Path, campaign: str) -> None:
    logged = open_bandit(shared_data, "random", campaign)
    n_items = int(logged.batch.counts[0])
    evaluation = evaluate(
        {"uniform": UniformPolicy(), "last": Last()}, lambda: split(logged, 2_000), champion="uniform"
    )
    uniform = evaluation.policy("uniform").estimates
    click_rate = int(logged.reward.sum()) / len(logged)
    assert uniform["replay"].value == uniform["ips"].value == uniform["snips"].value == click_rate
    assert evaluation.log.take_fraction.value == click_rate
    assert evaluation.policy("last").n_matched == (logged.chosen % n_items == n_items - 1).sum()
    assert evaluation.sample_ratio.n_decisions == len(logged)
    assert evaluation.sample_ratio.p_value is not None
    assert evaluation.sample_ratio.p_value > 0.001


class Last:
    def pmf(self, batch: Batch) -> Floats:
        pmf = np.zeros(len(batch.artwork_keys))
        pmf[batch.offsets[1:] - 1] = 1
        return pmf


def test_an_evaluation_turns_into_json_and_back(world: World) -> None:
    evaluation = evaluate(
        {"uniform": UniformPolicy(), "taste": TasteFirst(0.1)},
        world.batches(),
        champion="uniform",
        bootstrap=np.random.default_rng(0),
    )
    assert decode_evaluation(encode(evaluation)) == evaluation
    assert encode(decode_evaluation(encode(evaluation))) == encode(evaluation)
    with pytest.raises(ContractError, match="champion"):
        decode_evaluation(b"{}")


def test_a_comparison_carries_a_bootstrap_interval_when_asked_for(world: World) -> None:
    policies = {"uniform": UniformPolicy(), "taste": TasteFirst(0.1)}
    evaluation = evaluate(policies, world.batches(), champion="uniform", bootstrap=np.random.default_rng(0))
    comparison = evaluation.comparison("taste")
    assert isinstance(comparison.bootstrap, Estimate)
    assert comparison.difference is not None
    assert comparison.bootstrap.standard_error == pytest.approx(comparison.difference.standard_error, rel=0.25)
    assert evaluate(policies, world.batches(), champion="uniform").comparison("taste").bootstrap is None


def test_the_log_and_its_days_are_counted(world: World) -> None:
    evaluation = evaluate({"uniform": UniformPolicy()}, world.batches(100), champion="uniform")
    log = evaluation.log
    assert (log.n_decisions, log.n_profiles, log.n_clusters) == (1500, 300, 300)
    assert log.n_rewarded == world.logged.reward.sum()
    assert [day.day for day in log.days] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert sum(day.n_decisions for day in log.days) == log.n_decisions
    takes = sum(day.n_decisions * day.take_fraction for day in log.days)
    assert takes == pytest.approx(log.n_rewarded)
    assert [day.take_fraction for day in evaluation.policies[0].days] == [day.take_fraction for day in log.days]
    assert log.first_decided_at.isoformat() == "2026-11-01T00:00:00+00:00"
    assert evaluation.comparisons == ()


def test_the_share_of_changed_artworks_is_the_distance_between_two_policies(world: World) -> None:
    sure, batch = TasteFirst(), world.logged.batch
    evaluation = evaluate({"uniform": UniformPolicy(), "sure": sure}, world.batches(), champion="uniform")
    expected = np.abs(sure.pmf(batch) - UniformPolicy().pmf(batch)).sum() / 2 / len(batch)
    assert evaluation.policy("sure").support.changed_share == pytest.approx(expected)
    assert evaluation.policy("uniform").support.changed_share == 0


def test_merging_profiles_keeps_estimates_and_hardly_moves_intervals() -> None:
    world = make_world(np.random.default_rng(8), n_profiles=4_000, per_profile=3, ragged=True)
    policies = {"uniform": UniformPolicy(), "taste": TasteFirst(0.1)}
    exact = evaluate(policies, world.batches(), champion="uniform")
    merged = evaluate(policies, world.batches(1_000), champion="uniform", max_clusters=1_000)
    again = evaluate(policies, world.batches(3_000), champion="uniform", max_clusters=1_000)
    assert merged.log.n_clusters == again.log.n_clusters <= 1_000
    assert merged.log.n_profiles == pytest.approx(4_000, rel=0.1)
    for name in policies:
        one, other = exact.policy(name).estimates["dr"], merged.policy(name).estimates["dr"]
        assert other.value == pytest.approx(one.value, rel=1e-12)
        assert other.standard_error == pytest.approx(one.standard_error, rel=0.25)


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(ContractError, match="at least one decision, got 0"):
        evaluate({"uniform": UniformPolicy()}, lambda: iter([]), champion="uniform")


def test_a_log_of_one_profile_is_refused_with_a_decision(world: World) -> None:
    alone = make_world(np.random.default_rng(3), n_profiles=1)
    with pytest.raises(ContractError, match=r"at least 2 profiles, got 1 \(decision_id=d0\)"):
        evaluate({"uniform": UniformPolicy()}, alone.batches(), champion="uniform")


def test_a_champion_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(ContractError, match="champion must be one of"):
        evaluate({"uniform": UniformPolicy()}, world.batches(), champion="nobody")


def test_batches_that_can_be_read_once_only_are_refused(world: World) -> None:
    spent = only(world.logged)
    with pytest.raises(ContractError, match="same log each time, got 1500 decisions and then 0"):
        evaluate({"uniform": UniformPolicy()}, lambda: spent, champion="uniform")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda pmf: pmf * 1.01, r"pmf of 'odd' must sum to 1, got 1\.01.* \(decision_id=d0\)"),
        (lambda pmf: np.where(np.arange(len(pmf)) == 9, np.nan, pmf), r"at least 0, got nan \(decision_id=d\d+\)"),
        (lambda pmf: -pmf, r"at least 0, got -.* \(decision_id=d0\)"),
        (lambda pmf: pmf[:-1], "must have shape"),
    ],
)
def test_a_pmf_that_is_none_is_refused_with_its_decision_and_value(world: World, spoil: object, message: str) -> None:
    pmf = UniformPolicy().pmf(world.logged.batch)
    policies = {"uniform": UniformPolicy(), "odd": Fixed(spoil(pmf))}  # type: ignore[operator]
    with pytest.raises(ContractError, match=message):
        evaluate(policies, lambda: only(world.logged), champion="uniform")


def test_a_reward_that_is_no_number_never_becomes_an_estimate(world: World) -> None:
    reward = world.logged.reward.copy()
    reward[17] = np.nan
    with pytest.raises(ContractError, match=r"reward must be finite, got nan \(decision_id=d17\)"):
        log_of(world.logged.batch, world.logged.chosen, world.logged.propensity, reward)
    with pytest.raises(ContractError, match=r"numerator must be finite, got nan \(row=17\)"):
        self_normalized(reward, np.ones(len(reward)))


def test_weights_come_from_probabilities_only() -> None:
    ones = np.ones(3)
    for propensity, target, message in (
        (np.array([0.5, 0.0, 1.0]), ones, r"propensity must be a probability, got 0\.0 \(row=1\)"),
        (np.array([0.5, 1.0, 1.5]), ones, r"propensity must be a probability, got 1\.5 \(row=2\)"),
        (ones, np.array([0.5, np.nan, 1.0]), r"target probability must be a probability, got nan \(row=1\)"),
    ):
        with pytest.raises(ContractError, match=message):
            importance_weights(target, propensity)


def test_weights_that_are_all_zero_are_an_error_and_never_a_number() -> None:
    zeros, ones = np.zeros(4), np.ones(4)
    for ratios in (
        inverse_propensity(ones, zeros), self_normalized(ones, zeros), replay(zeros, ones, ones)
    ):  # fmt: skip
        with pytest.raises(NoOverlapError, match="all 4 weights are 0"):
            pool(ratios)


def test_no_decision_at_all_is_an_error() -> None:
    with pytest.raises(ContractError, match="at least one decision, got 0"):
        pool((Ratio(np.zeros(0)),))


def test_a_policy_that_the_log_never_shows_has_no_estimate_and_says_why(world: World) -> None:
    batch = world.logged.batch
    never = np.ones(len(batch.artwork_keys))
    never[world.logged.chosen] = 0
    never /= np.add.reduceat(never, batch.offsets[:-1])[batch.owner]
    policies = {"uniform": UniformPolicy(), "never": Fixed(never)}
    evaluation = evaluate(policies, lambda: only(world.logged), champion="uniform")
    result = evaluation.policy("never")
    assert result.estimates == {}
    assert "no overlap" in result.problem
    assert (result.n_matched, result.support.effective_sample_size) == (0, 0)
    assert evaluation.comparison("never").difference is None
    assert evaluation.comparison("never").problem.startswith("never: no overlap")
    assert decode_evaluation(encode(evaluation)) == evaluation
    other_way = evaluate(policies, lambda: only(world.logged), champion="never")
    assert other_way.comparison("uniform").problem.startswith("never: no overlap")
