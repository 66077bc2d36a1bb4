"""The budget is never overspent, whatever the looks, and no look gains by what other versions won earlier."""

from itertools import pairwise
from math import log

import numpy as np
import pytest

from evaluation.audit import PastLook, plan_look
from evaluation.gate_budget import Look, look_share, next_look, single_look
from models.error import ContractError

ALPHA = 0.05


@pytest.mark.parametrize("n_planned", [1, 30, 720])
def test_the_shares_of_all_looks_there_will_ever_be_sum_to_one(n_planned: int) -> None:
    shares = [look_share(number, n_planned) for number in range(1, 200_001)]
    assert sum(shares) == pytest.approx(1.0, abs=1e-3)
    assert sum(shares) < 1
    assert min(shares) > 0
    assert sum(shares[:n_planned]) == pytest.approx(0.8)
    assert all(later <= earlier for earlier, later in pairwise(shares))


def test_a_champion_that_stays_for_a_year_can_still_be_beaten() -> None:
    assert look_share(365) > look_share(1) / 1_000


def test_a_look_shares_its_part_among_its_candidates() -> None:
    assert next_look(3, 20).level(ALPHA) * 20 == pytest.approx(ALPHA * look_share(3))
    assert single_look(4).level(ALPHA) == ALPHA / 4
    assert single_look(0).level(ALPHA) == ALPHA


@pytest.mark.parametrize("n_better", [0, 2])
def test_versions_that_are_no_better_are_promoted_within_the_budget_whatever_other_versions_are(n_better: int) -> None:
    """Capital 1/q with probability q, the worst case that there is, and the same luck at many looks of a run.

    Some candidates alternate: a version that is far better and that a guardrail holds back, then one that is no better.
    """
    rng, n_runs, m, n_looks = np.random.default_rng(3), 4_000, 5, 12
    promoted = 0
    for _ in range(n_runs):
        past: list[PastLook] = []
        hit = False
        luck = rng.random(m)
        for _ in range(n_looks):
            look = plan_look(past, "a", m)
            luck = np.where(rng.random(m) < 0.3, rng.random(m), luck)
            for place in range(m):
                is_better = place < n_better and look.number % 2 == 1
                chance = look.level(ALPHA)
                won = 40.0 if is_better else -log(chance) if luck[place] < chance else -50.0
                hit |= not is_better and won >= -log(chance)
            past.append(PastLook(rollback_to="a", look=look, is_spent=True))
        promoted += hit
    # 12 of 30 planned looks may spend 0.32 of alpha: 64 of 4,000 runs, and four standard errors are 32
    assert promoted <= 96
    assert promoted > 10


def past(number: int, champion: str = "a", *, is_spent: bool = True, n_planned: int = 30) -> PastLook:
    return PastLook(rollback_to=champion, look=next_look(number, 2, n_planned), is_spent=is_spent)


def test_looks_are_counted_within_a_champions_reign() -> None:
    assert plan_look([], "a", 2) == next_look(1, 2)
    looks = [past(1), past(2), past(1, "b")]
    assert [plan_look(looks, champion, 3) for champion in "abc"] == [next_look(number, 3) for number in (3, 2, 1)]


def test_a_round_in_which_nobody_could_be_promoted_is_no_look() -> None:
    assert plan_look([past(1), past(2, is_spent=False)], "a", 1) == next_look(2, 1)


def test_a_round_that_was_judged_before_keeps_its_place_unless_another_took_it() -> None:
    later = [past(1), past(3)]
    assert plan_look(later, "a", 1, again=next_look(2, 1)) == next_look(2, 1)
    assert plan_look(later, "a", 1, again=next_look(3, 1)).number == 4


def test_a_reign_keeps_the_plan_that_it_began_with() -> None:
    assert plan_look([], "a", 1, n_planned=720) == next_look(1, 1, 720)
    assert plan_look([past(1), past(2)], "a", 1, n_planned=720) == next_look(3, 1, 30)
    assert plan_look([], "a", 1, n_planned=720, again=next_look(1, 1, 30)) == next_look(1, 1, 30)
    assert plan_look([past(1)], "b", 1, n_planned=720) == next_look(1, 1, 720)


@pytest.mark.parametrize(
    "wrong", [{"number": 0}, {"n_candidates": 0}, {"n_planned": 0}, {"share": 0.0}, {"share": 1.5}]
)
def test_a_look_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="must be"):
        Look(**wrong)  # type: ignore[arg-type]
