"""The budget is never overspent, whatever the looks, and what a look leaves counts once and only for its own series."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.audit import PastLook, PastVerdict, plan_look
from evaluation.gate import Bounds
from evaluation.gate_budget import Look, look_share, next_look, single_look
from models.error import ContractError

ALPHA = 0.05


def test_the_shares_of_all_looks_there_will_ever_be_sum_to_one() -> None:
    shares = [look_share(number) for number in range(1, 200_001)]
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)
    assert sum(shares) < 1
    assert min(shares) > 0
    assert sum(shares[:30]) == pytest.approx(0.8)


def test_a_look_shares_its_part_among_its_candidates() -> None:
    look = next_look(3, 20, {})
    assert look.plain_level(ALPHA) * 20 == pytest.approx(ALPHA * look_share(3))
    assert look.level(ALPHA, "any") == pytest.approx(look.plain_level(ALPHA))
    assert single_look(4).level(ALPHA, "any") == ALPHA / 4
    assert single_look(0).level(ALPHA, "any") == ALPHA


def test_evidence_of_earlier_looks_raises_the_level_of_its_own_series_alone_up_to_a_limit() -> None:
    carried = {"near": 15.0, "there": 25.0, "far": 0.001}
    look = next_look(2, 10, carried)
    assert look.level(ALPHA, "near") == pytest.approx(look_share(2) / 10 / (1 / ALPHA - 15))
    assert look.level(ALPHA, "other") < look.level(ALPHA, "far") < look.level(ALPHA, "near")
    assert look.level(ALPHA, "there") == ALPHA / 10
    assert next_look(2, 10, {"almost": 19.999999}).level(ALPHA, "almost") == ALPHA / 10


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=60), st.integers(1, 30))
def test_crossing_the_level_is_what_makes_the_carried_sum_large(log_capitals: list[float], m: int) -> None:
    """The level is only another way to say Σ γ_j E_j / m ≥ 1/alpha, but for its limit."""
    total = 0.0
    for number, log_capital in enumerate(log_capitals, start=1):
        look = next_look(number, m, {"one": total})
        crossed = log_capital >= -log(look.level(ALPHA, "one"))
        total += look.left(log_capital)
        if crossed:
            assert total >= 1 / ALPHA * (1 - 1e-9)
        elif look.level(ALPHA, "one") < ALPHA / m:
            assert total < 1 / ALPHA * (1 + 1e-9)


def test_bets_that_win_nothing_on_average_are_promoted_within_the_budget_although_looks_repeat_each_other() -> None:
    """Capital 1/q with probability q, the worst case that there is, and the same luck at every look of a run."""
    rng, n_runs, m, n_looks = np.random.default_rng(3), 4_000, 5, 12
    promoted = 0
    for _ in range(n_runs):
        carried: dict[str, float] = {}
        hit = False
        luck = rng.random(m)
        for number in range(1, n_looks + 1):
            look = next_look(number, m, dict(carried))
            luck = np.where(rng.random(m) < 0.3, rng.random(m), luck)
            for place in range(m):
                name, chance = str(place), look.level(ALPHA, str(place))
                won = -log(chance) if luck[place] < chance else -50.0
                hit |= won >= -log(look.level(ALPHA, name))
                carried[name] = carried.get(name, 0.0) + look.left(won)
        promoted += hit
    # 12 of 30 planned looks may spend 0.32 of alpha: 64 of 4,000 runs, and four standard errors are 32
    assert promoted <= 96
    assert promoted > 10


def past(
    number: int, champion: str = "a", *, left: float = 1.0, is_spent: bool = True, is_sound: bool = True
) -> PastLook:
    bounds = Bounds(
        difference=0.0, level=0.1, upper_level=0.1, lower=0.0, upper=0.0, log_capital=0.0, carried=0.0, left=left
    )
    verdicts = (PastVerdict("one", bounds, is_sound), PastVerdict("no-overlap", None, False))
    return PastLook(rollback_to=champion, look=next_look(number, 2, {}), is_spent=is_spent, verdicts=verdicts)


def test_looks_are_counted_within_a_champions_reign() -> None:
    assert plan_look([], "a", 2) == next_look(1, 2, {})
    looks = [past(1), past(2), past(1, "b")]
    assert plan_look(looks, "a", 3) == next_look(3, 3, {"one": 2.0})
    assert plan_look(looks, "b", 3) == next_look(2, 3, {"one": 1.0})
    assert plan_look(looks, "c", 3) == next_look(1, 3, {})


def test_a_round_in_which_nobody_could_be_promoted_is_no_look() -> None:
    assert plan_look([past(1), past(2, is_spent=False)], "a", 1) == next_look(2, 1, {"one": 1.0})


def test_evidence_from_a_log_that_failed_its_checks_counts_for_nothing() -> None:
    assert plan_look([past(1, is_sound=False), past(2, left=0.5)], "a", 1) == next_look(3, 1, {"one": 0.5})


def test_a_round_that_was_judged_before_keeps_its_place_unless_another_took_it() -> None:
    later = [past(1, left=0.25), past(3, left=8.0)]
    assert plan_look(later, "a", 1, number=2) == next_look(2, 1, {"one": 0.25})
    assert plan_look(later, "a", 1, number=3).number == 4


@pytest.mark.parametrize(
    "wrong", [{"number": 0}, {"n_candidates": 0}, {"share": 0.0}, {"share": 1.5}, {"carried": {"one": -1.0}}]
)
def test_a_look_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ContractError, match="must be"):
        Look(**wrong)
