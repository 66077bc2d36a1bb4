"""What is broken comes back as a named error with the decision and the value, never as a number."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import Ruling, judge
from evaluation.gate_check import GateRules
from evaluation.record import Evaluation
from evaluation.score import pool
from evaluation.self_normalized import self_normalized
from models.batch import Batch, Floats, LoggedBatch
from models.error import ContractError, NoOverlapError
from models.policy import Policy, UniformPolicy
from tests.evaluation.world import Fixed, TasteFirst, World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(3), n_profiles=60, ragged=True)


def run(logged: LoggedBatch | Callable[[], LoggedBatch], policy: Policy | None = None) -> Evaluation:
    """Evaluate a log that is made while it is read, as from a file."""

    def batches():  # type: ignore[no-untyped-def]
        yield logged() if callable(logged) else logged

    return evaluate({"uniform": UniformPolicy(), "odd": policy or TasteFirst(0.1)}, batches, champion="uniform")


def spoiled(values: np.ndarray, value: float, row: int = 7) -> np.ndarray:
    out = values.copy()
    out[row] = value
    return out


@pytest.mark.parametrize("value", [0.0, -0.25, 1.0000001, 2.0, np.nan, np.inf])
def test_a_propensity_outside_0_to_1_is_refused(world: World, value: float) -> None:
    with pytest.raises(ContractError, match=rf"propensity must be in \(0, 1\], got {value} \(decision_id=d7\)"):
        run(lambda: replace(world.logged, propensity=spoiled(world.logged.propensity, value)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_not_finite_is_refused(world: World, value: float) -> None:
    with pytest.raises(ContractError, match=rf"reward must be finite, got {value} \(decision_id=d7\)"):
        run(lambda: replace(world.logged, reward=spoiled(world.logged.reward, value)))


@pytest.mark.parametrize("off", [-1, 1])
def test_a_chosen_artwork_outside_the_eligible_set_is_refused(world: World, off: int) -> None:
    offsets = world.logged.batch.offsets
    outside = int(offsets[7] - 1 if off < 0 else offsets[8])
    message = rf"chosen must be among the decision's own candidates, got {outside} \(decision_id=d7\)"
    with pytest.raises(ContractError, match=message):
        run(lambda: replace(world.logged, chosen=spoiled(world.logged.chosen, outside)))


class Spoiled:
    """The uniform policy, but for one candidate of decision d7."""

    def __init__(self, value: float | None = None, off: float = 0.0) -> None:
        self._value, self._off = value, off

    def pmf(self, batch: Batch) -> Floats:
        pmf = UniformPolicy().pmf(batch)
        row = batch.offsets[7]
        pmf[row] = pmf[row] + self._off if self._value is None else self._value
        return pmf


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_a_probability_that_is_none_is_refused(world: World, value: float) -> None:
    with pytest.raises(ContractError, match=rf"pmf of 'odd' must be at least 0, got {value} \(decision_id=d7\)"):
        run(world.logged, Spoiled(value))


@pytest.mark.parametrize("off", [-0.1, 0.1, 1e-5])
def test_probabilities_that_do_not_sum_to_one_are_refused(world: World, off: float) -> None:
    with pytest.raises(ContractError) as refused:
        run(world.logged, Spoiled(off=off))
    found = re.search(r"pmf of 'odd' must sum to 1, got (\S+) \(decision_id=d7\)", str(refused.value))
    assert found is not None
    assert float(found.group(1)) == pytest.approx(1 + off)


def test_the_champions_probabilities_are_held_to_the_same(world: World) -> None:
    policies: dict[str, Policy] = {"live": Spoiled(off=0.1), "odd": TasteFirst()}
    with pytest.raises(ContractError, match=r"pmf of 'live' must sum to 1.*decision_id=d7"):
        evaluate(policies, lambda: iter([world.logged]), champion="live")


def test_an_empty_log_is_refused(world: World) -> None:
    nothing = world.logged.take(np.zeros(0, dtype=np.int64))
    with pytest.raises(ContractError, match="at least one decision, got 0"):
        run(nothing)


def test_one_profile_is_refused_with_its_first_decision(world: World) -> None:
    mine = np.flatnonzero(world.logged.batch.profile_keys == world.logged.batch.profile_keys[10])
    first = world.logged.decision_ids[mine[0]]
    with pytest.raises(ContractError, match=rf"at least 2 profiles, got 1 \(decision_id={first}\)"):
        run(world.logged.take(mine))


def test_a_candidate_all_of_whose_weights_are_zero_has_no_numbers_and_is_held_for_that(world: World) -> None:
    batch = world.logged.batch
    never = np.ones(len(batch.artwork_keys))
    never[world.logged.chosen] = 0
    never /= np.add.reduceat(never, batch.offsets[:-1])[batch.owner]
    found = run(world.logged, Fixed(never))
    assert found.policy("odd").estimates == {}
    assert "no overlap" in found.policy("odd").problem
    comparison = found.comparison("odd")
    assert (comparison.difference, comparison.segments) == (None, ())
    verdict = judge(found, "odd", GateRules())
    assert verdict.decision is Ruling.HOLD
    assert "no overlap" in verdict.reason


def test_a_champion_all_of_whose_weights_are_zero_holds_everything(world: World) -> None:
    batch = world.logged.batch
    never = np.ones(len(batch.artwork_keys))
    never[world.logged.chosen] = 0
    never /= np.add.reduceat(never, batch.offsets[:-1])[batch.owner]
    policies: dict[str, Policy] = {"live": Fixed(never), "odd": TasteFirst(0.1)}
    found = evaluate(policies, lambda: iter([world.logged]), champion="live")
    assert found.policy("odd").estimates
    assert judge(found, "odd", GateRules()).reason == (
        "Hold odd: live: no overlap: it never shows the artwork that the log shows."
    )


def test_an_estimator_alone_names_the_missing_overlap() -> None:

    with pytest.raises(NoOverlapError, match="all 5 weights are 0"):
        pool(self_normalized(np.ones(5), np.zeros(5)))
