"""The gate promotes, rejects and holds, each for a reason that it says with figures."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import Ruling, Verdict, choose, judge
from evaluation.gate_budget import look_share, next_look
from evaluation.gate_check import GateRules
from evaluation.interval import Estimate
from evaluation.log_check import DrawTest
from evaluation.record import Evaluation, SegmentResult
from models.error import ContractError
from models.policy import UniformPolicy
from tests.evaluation.gate_case import POLICIES, RULES
from tests.evaluation.open_bandit import open_bandit
from tests.evaluation.world import Fixed, World, log_of, split


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_a_better_candidate_is_promoted_by_its_lower_bound(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, "taste", RULES)
    assert verdict.decision is Ruling.PROMOTE
    assert failed(verdict) == []
    assert verdict.lower is not None
    assert verdict.lower > 0
    assert verdict.reason.startswith(
        "Promote taste: by votes of profiles its take fraction differs from uniform's by +0."
    )
    assert f"{verdict.lower:+.5f}" in verdict.reason
    assert "2,000 profiles and 10,000 decisions" in verdict.reason


def test_a_worse_candidate_is_rejected_by_its_upper_bound(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, "worse", RULES)
    assert verdict.decision is Ruling.REJECT
    assert verdict.upper is not None
    assert verdict.upper < 0
    assert "the upper bound is below 0" in verdict.reason


def test_a_candidate_that_the_log_cannot_tell_from_the_champion_is_held(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, "chance", RULES, n_candidates=10_000)
    assert verdict.decision is Ruling.HOLD
    assert failed(verdict) == []
    assert "does not settle which is better" in verdict.reason


def test_the_level_is_shared_by_the_candidates_of_the_day(evaluation: Evaluation) -> None:
    alone, crowded = (judge(evaluation, "taste", RULES, n_candidates=n) for n in (1, 20))
    assert (alone.level, crowded.level) == (0.05, 0.0025)
    assert judge(evaluation, "taste", RULES).level == 0.05 / (len(POLICIES) - 1)
    assert crowded.lower is not None
    assert alone.lower is not None
    assert alone.bounds is not None
    assert crowded.lower < alone.lower < alone.bounds.difference


def test_a_look_of_many_spends_its_share_alone_however_much_earlier_ones_won(evaluation: Evaluation) -> None:
    only = judge(evaluation, "taste", RULES, n_candidates=3)
    first, later = (judge(evaluation, "taste", RULES, look=next_look(number, 3)) for number in (1, 40))
    assert only.level > first.level > later.level
    assert first.level == pytest.approx(RULES.alpha * look_share(1) / 3)
    lowers = [verdict.lower for verdict in (only, first, later)]
    assert lowers[0] > lowers[1] > lowers[2]  # type: ignore[operator]


def test_the_bound_is_above_0_exactly_when_the_capital_exceeds_the_level(evaluation: Evaluation) -> None:
    ruled = set()
    for comparison in evaluation.comparisons:
        for number, n_candidates in ((1, 1), (31, 20), (100_000, 20)):
            look = next_look(number, n_candidates)
            bounds = judge(evaluation, comparison.candidate, RULES, look=look).bounds
            assert bounds is not None
            assert (bounds.lower > 0) == (bounds.log_capital >= -np.log(bounds.level))
            ruled.add(bounds.lower > 0)
    assert ruled == {True, False}


def test_a_candidate_that_changes_nothing_is_held(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, "twin", RULES)
    assert (verdict.decision, failed(verdict)) == (Ruling.HOLD, ["changed_share"])
    assert verdict.reason == "Hold twin: it shows exactly what uniform shows."


def with_segments(evaluation: Evaluation, high: float) -> Evaluation:
    """Tell of four segments: two too small for an interval, one that gains, and one whose loss is at most −`high`."""
    told = (
        SegmentResult("device", "watch", 3, 2),
        SegmentResult("device", "tv", 5_000, 900, Estimate(0.1, 0.01, 0.08, 0.12), 0.06, 0.14),
        SegmentResult("country", "NL", 4_000, 800, Estimate(high - 0.02, 0.01, high - 0.04, high), high - 0.05, high),
        SegmentResult("country", "other", 2, 1),
    )
    return msgspec.structs.replace(
        evaluation,
        comparisons=tuple(msgspec.structs.replace(each, segments=told) for each in evaluation.comparisons),
    )


HELD: dict[str, tuple[GateRules, Callable[[Evaluation], Evaluation], str]] = {
    "profiles": (
        GateRules(min_profiles=5_000),
        lambda same: same,
        "2,000 profiles are fewer than the minimum of 5,000",
    ),
    "effective_sample": (
        GateRules(min_effective_sample=1e6),
        lambda same: same,
        r"support is too thin: taste rests on [\d,.]+ independent decisions of 1,000,000 needed",
    ),
    "rewarded": (GateRules(min_rewarded=9_000), lambda same: same, "decisions were rewarded, fewer than 9,000"),
    "changed_share": (GateRules(max_changed_share=0.1), lambda same: same, "at most, more than 0.100"),
    "segments": (
        GateRules(max_segment_loss=0.01),
        lambda same: with_segments(same, -0.015),
        r"in the segment country: NL \(at best -0.01500 over 800 profiles\); 2 more have too few profiles to judge",
    ),
    "mean_weight": (
        RULES,
        lambda same: with_mean_weight(same, "taste", 1.2),
        r"the mean weight of taste is 1\.2000, [\d.]+ standard errors off 1",
    ),
    "sample_ratio": (
        RULES,
        lambda same: msgspec.structs.replace(same, sample_ratio=DrawTest(500, 90, 40.0, 2e-5)),
        "sample ratio of the uniform cell disagree with the draw: p = 2e-05 over 500 decisions of 90 profiles",
    ),
    "calibration": (
        RULES,
        lambda same: msgspec.structs.replace(same, calibration=DrawTest(10_000, 2_000, 60.0, 4e-9)),
        "logged propensities against drawn positions disagree with the draw: p = 4e-09",
    ),
}


def with_mean_weight(evaluation: Evaluation, name: str, mean: float) -> Evaluation:
    return msgspec.structs.replace(
        evaluation,
        policies=tuple(
            msgspec.structs.replace(result, support=msgspec.structs.replace(result.support, mean_weight=mean))
            if result.name == name
            else result
            for result in evaluation.policies
        ),
    )


@pytest.mark.parametrize("name", HELD)
def test_a_candidate_is_held_whatever_its_lift_when_a_check_fails(evaluation: Evaluation, name: str) -> None:
    rules, spoil, reason = HELD[name]
    verdict = judge(spoil(evaluation), "taste", rules)
    assert (verdict.decision, failed(verdict)) == (Ruling.HOLD, [name])
    assert verdict.reason.startswith("Hold taste: ")
    assert re.search(reason, verdict.reason), verdict.reason
    assert verdict.lower is not None
    assert verdict.lower > 0


def test_rewards_that_are_mostly_open_are_held_whatever_the_lift(evaluation: Evaluation) -> None:
    verdict = judge(evaluation, "taste", RULES, matured_share=0.31)
    assert (verdict.decision, failed(verdict), verdict.is_sound) == (Ruling.HOLD, ["maturity"], False)
    assert verdict.reason == "Hold taste: a share of 0.31 of the window's rewards is known, less than 0.50."
    assert judge(evaluation, "taste", RULES, matured_share=0.5).decision is Ruling.PROMOTE


def test_a_loss_within_the_margin_or_that_is_not_shown_does_not_hold(evaluation: Evaluation) -> None:
    tolerant = GateRules(max_segment_loss=0.02)
    assert judge(with_segments(evaluation, -0.015), "taste", tolerant).decision is Ruling.PROMOTE
    passed = judge(with_segments(evaluation, 0.001), "taste", RULES)
    assert passed.decision is Ruling.PROMOTE
    (told,) = (check.detail for check in passed.checks if check.name == "segments")
    assert told == (
        "none of 2 segments is shown to lose more than 0, which is not to say that none does: the lowest estimate is "
        "-0.01900 in country: NL; 2 more have too few profiles to judge"
    )
    without = msgspec.structs.replace(
        evaluation, comparisons=tuple(msgspec.structs.replace(each, segments=()) for each in evaluation.comparisons)
    )
    verdict = judge(without, "taste", RULES)
    assert verdict.decision is Ruling.PROMOTE
    assert "no segments" in [check.detail for check in verdict.checks]


def test_the_share_of_changed_artworks_is_limited_by_the_most_that_can_change(evaluation: Evaluation) -> None:
    distance = evaluation.policy("taste").support.changed_share
    most = 2 * distance / (1 + distance)
    for limit, decision in ((most - 0.001, Ruling.HOLD), (most + 0.001, Ruling.PROMOTE)):
        verdict = judge(evaluation, "taste", GateRules(max_changed_share=limit))
        assert verdict.decision is decision
        (told,) = (check.detail for check in verdict.checks if check.name == "changed_share")
        assert told.startswith(
            f"a share of {distance:.3f} of artworks would change at least, and of {most:.3f} at most"
        )


def test_a_guardrail_holds_no_rejection_back(evaluation: Evaluation) -> None:
    rules = GateRules(max_changed_share=0.01)
    verdict = judge(with_segments(evaluation, -0.1), "worse", rules)
    assert (verdict.decision, verdict.is_sound) == (Ruling.REJECT, True)
    assert {"segments", "changed_share"} <= set(failed(verdict))


def test_a_candidate_without_overlap_is_held_for_that_reason(world: World) -> None:
    batch = world.logged.batch
    never = np.ones(len(batch.artwork_keys))
    never[world.logged.chosen] = 0
    never /= np.add.reduceat(never, batch.offsets[:-1])[batch.owner]
    policies = {"uniform": UniformPolicy(), "never": Fixed(never)}
    verdict = judge(evaluate(policies, lambda: iter([world.logged]), champion="uniform"), "never", RULES)
    assert verdict.decision is Ruling.HOLD
    assert verdict.reason == "Hold never: never: no overlap: it never shows the artwork that the log shows."
    assert (verdict.difference, verdict.lower, verdict.upper) == (None, None, None)


def test_a_log_with_wrong_propensities_is_held_end_to_end(world: World) -> None:
    """The uniform cell says 1/K and shows the first artwork more often."""
    rng, batch = np.random.default_rng(9), world.logged.batch
    first = rng.random(len(batch)) < 0.15
    chosen = np.where(first, batch.offsets[:-1], world.logged.chosen)
    faulty = log_of(batch, chosen, world.logged.propensity, world.logged.reward)
    verdict = judge(evaluate(POLICIES, lambda: iter([faulty]), champion="uniform"), "taste", RULES)
    assert verdict.decision is Ruling.HOLD
    assert {"sample_ratio", "calibration"} <= set(failed(verdict))


def test_rewards_without_contrast_are_held_and_never_promoted_by_rounding(world: World) -> None:
    for value in (0.0, 1.0):
        log = log_of(
            world.logged.batch, world.logged.chosen, world.logged.propensity, np.full(len(world.logged), value)
        )
        evaluation = evaluate(POLICIES, lambda log=log: split(log, 999), champion="uniform")  # type: ignore[misc]
        for comparison in evaluation.comparisons:
            verdict = judge(evaluation, comparison.candidate, RULES)
            assert verdict.decision is Ruling.HOLD
            assert "rewarded" in failed(verdict)


def test_a_bernoulli_thompson_log_is_too_thin_to_judge_the_uniform_policy(shared_data: Path) -> None:
    logged = open_bandit(shared_data, "bts", "women")
    n_items = int(logged.batch.counts[0])
    popular = np.bincount(logged.chosen % n_items, minlength=n_items) / len(logged)
    policies = {"thompson": Fixed(np.tile(popular, len(logged))), "uniform": UniformPolicy()}
    evaluation = evaluate(policies, lambda: iter([logged]), champion="thompson")
    verdict = judge(evaluation, "uniform", RULES)
    assert verdict.decision is Ruling.HOLD
    assert "effective_sample" in failed(verdict)
    assert "support is too thin" in verdict.reason
    assert evaluation.policy("uniform").support.effective_sample_size < 10


def test_a_candidate_that_was_not_compared_is_refused(evaluation: Evaluation) -> None:
    for name in ("nobody", "uniform"):
        with pytest.raises(ContractError, match="candidate must be one of"):
            judge(evaluation, name, RULES)


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(ContractError, match=r"alpha must be in \(0, 1\), got 0"):
        GateRules(alpha=0.0)
    with pytest.raises(ContractError, match="min_profiles must be at least 2, got 1"):
        GateRules(min_profiles=1)
    with pytest.raises(ContractError, match="max_segment_loss must be at least 0"):
        GateRules(max_segment_loss=-0.1)


def test_the_promotable_candidate_with_the_best_lower_bound_is_chosen(evaluation: Evaluation) -> None:
    verdicts = [judge(evaluation, comparison.candidate, RULES) for comparison in evaluation.comparisons]
    promotable = {verdict.candidate for verdict in verdicts if verdict.decision is Ruling.PROMOTE}
    assert {"taste", "mild"} <= promotable
    chosen = choose(verdicts)
    assert chosen is not None
    assert chosen.candidate == "taste"
    assert choose(list(reversed(verdicts))) == chosen
    assert choose([verdict for verdict in verdicts if verdict.decision is not Ruling.PROMOTE]) is None
    assert choose([]) is None
