"""Laws that no log may break."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluation.evaluation import evaluate
from evaluation.record import Evaluation
from evaluation.score import pool
from evaluation.self_normalized import self_normalized
from models.batch import Batch, Floats, LoggedBatch
from models.draw import mix
from models.policy import UniformPolicy
from tests.evaluation.world import Fixed, TasteFirst, World, log_of, make_world, split

worlds = st.builds(
    lambda seed, ragged, uniform: make_world(
        np.random.default_rng(seed), n_profiles=40, per_profile=4, ragged=ragged, uniform=uniform
    ),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
)
POLICIES = {"uniform": UniformPolicy(), "taste": TasteFirst(0.2), "sure": TasteFirst()}
few = settings(max_examples=15, deadline=None)


def values(evaluation: Evaluation) -> Floats:
    """Every figure about every policy, end to end."""
    found = []
    for result in evaluation.policies:
        support = result.support
        found += [support.mean_weight, support.effective_sample_size, support.changed_share, result.n_matched]
        for estimate in result.estimates.values():
            found += [estimate.value, estimate.standard_error, estimate.low, estimate.high]
    for comparison in evaluation.comparisons:
        assert comparison.difference is not None
        found += [comparison.difference.value, comparison.difference.standard_error]
        found += [each.difference.value for each in comparison.segments if each.difference is not None]
    return np.array(found)


def run(world: World, batches: list[LoggedBatch] | None = None) -> Evaluation:
    logs = [world.logged] if batches is None else batches
    return evaluate(POLICIES, lambda: iter(logs), champion="uniform")


@few
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_uniform_policy_on_a_uniform_log_has_exactly_its_mean_reward(seed: int, ragged: bool) -> None:
    world = make_world(np.random.default_rng(seed), n_profiles=30, ragged=ragged)
    result = run(world).policy("uniform")
    for name in ("replay", "ips", "snips"):
        assert result.estimates[name].value == world.logged.reward.mean()
    assert result.support.effective_sample_size == len(world.logged)
    assert result.n_matched == pytest.approx((1 / world.logged.batch.counts).sum())


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(-1, 1)), min_size=2, max_size=40),
    st.floats(-10, 10),
)
def test_snips_moves_with_the_rewards(rows: list[tuple[float, float]], shift: float) -> None:
    weight, reward = np.array(rows).T
    assume(weight.sum() > 1e-3)
    before, after = pool(self_normalized(reward, weight)), pool(self_normalized(reward + shift, weight))
    assert after.value == pytest.approx(before.value + shift, abs=1e-9)
    assert np.allclose(after.influence, before.influence, atol=1e-6)


@few
@given(worlds, st.integers(1, 160))
def test_splitting_a_log_into_batches_and_pooling_agrees(world: World, size: int) -> None:
    assert np.allclose(values(run(world)), values(run(world, list(split(world.logged, size)))), rtol=1e-12, atol=1e-12)


@few
@given(worlds, st.randoms(use_true_random=False))
def test_the_order_of_batches_does_not_matter(world: World, random: object) -> None:
    parts = list(split(world.logged, 23))
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert np.allclose(values(run(world, parts)), values(run(world, shuffled)), rtol=1e-9, atol=1e-10)


@few
@given(worlds, st.integers(0, 2**32 - 1))
def test_relabelling_and_reordering_artworks_changes_nothing(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch, logged = world.logged.batch, world.logged
    order = np.lexsort((rng.random(len(batch.artwork_keys)), batch.owner))  # within each decision
    relabelled = Batch(
        offsets=batch.offsets,
        profile_keys=batch.profile_keys,
        title_keys=batch.title_keys,
        artwork_keys=mix(batch.artwork_keys[order] + np.uint64(7)),
        shared=batch.shared,
        artworks=batch.artworks[order],
    )
    chosen = np.argsort(order)[logged.chosen]
    other = log_of(relabelled, chosen, logged.propensity, logged.reward)
    assert np.allclose(values(run(world)), values(run(world, [other])), rtol=1e-9, atol=1e-10)


@few
@given(worlds)
def test_a_log_twice_over_says_the_same_with_twice_the_sample(world: World) -> None:
    once, twice = run(world), run(world, [world.logged, world.logged])
    for name in POLICIES:
        before, after = once.policy(name), twice.policy(name)
        for estimator in ("replay", "ips", "snips"):
            assert after.estimates[estimator].value == pytest.approx(before.estimates[estimator].value, rel=1e-12)
            # profiles, not impressions, are counted: seeing everything twice makes nothing surer
            assert after.estimates[estimator].standard_error == pytest.approx(
                before.estimates[estimator].standard_error, rel=1e-9
            )
        assert after.support.effective_sample_size == pytest.approx(2 * before.support.effective_sample_size)


@few
@given(worlds)
def test_no_repeat_of_a_log_makes_it_more_than_its_independent_decisions(world: World) -> None:
    """Luck within profiles may let their weights balance, but by no more than a factor of ten."""
    seen = {n: run(world, [world.logged] * n) for n in (1, 10, 20)}
    for name in ("taste", "sure"):
        once, often, more = (found.policy(name).support.independent_sample_size for found in seen.values())
        assert once <= often * (1 + 1e-9)
        assert more == pytest.approx(often, rel=1e-6)


@few
@given(worlds)
def test_a_policy_is_never_different_from_itself(world: World) -> None:
    twin = {"uniform": UniformPolicy(), "twin": Fixed(UniformPolicy().pmf(world.logged.batch))}
    comparison = evaluate(twin, lambda: iter([world.logged]), champion="uniform").comparison("twin")
    assert comparison.difference is not None
    assert comparison.difference.value == comparison.difference.low == comparison.difference.high == 0


def test_the_truth_is_met_when_the_log_is_the_whole_world() -> None:
    """Every (decision, candidate) pair logged once with its true mean reward: IPS, SNIPS and DR are then exact."""
    world = make_world(np.random.default_rng(4), n_profiles=50, ragged=True)
    parts = list(_every_pair(world))
    evaluation = evaluate(POLICIES, lambda: iter(parts), champion="uniform")
    for name, policy in POLICIES.items():
        truth = world.value(policy.pmf(world.logged.batch))
        for estimator in ("ips", "dr", "snips", "replay"):
            assert evaluation.policy(name).estimates[estimator].value == pytest.approx(truth, rel=1e-9), estimator


def _every_pair(world: World) -> Iterator[LoggedBatch]:
    """Log each candidate of each decision equally often: a lot of `lcm(2, 3, 4) / K` rows each."""
    batch = world.logged.batch
    rows = np.repeat(np.arange(len(batch)), 12)
    taken = batch.take(rows)
    place = np.tile(np.arange(12), len(batch)) % taken.counts
    chosen = taken.offsets[:-1] + place
    truth = world.truth[batch.candidate_rows(rows)]
    yield log_of(taken, chosen, 1 / taken.counts, truth[chosen])
