"""What must hold before and beside the lift: each check passes or says, with figures, why not."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from evaluation.log_check import DrawTest
from evaluation.record import Comparison, Evaluation, PolicyResult, SegmentResult
from evaluation.title_draw import TitleShare, TitleTest
from models.error import ContractError


class GateRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate puts up with.

    `alpha` is the probability with which a champion ever loses its place to a policy that is no better, over all
    candidates and all looks. `max_weight_errors` is how many standard errors a mean weight may be off 1. `check_alpha`
    is how often a sound log fails one of the two checks of its draw, whose tests share it. `min_effective_sample` asks
    for so many independent decisions (`Support.independent_sample_size`), `min_rewarded` for so many decisions with a
    reward, and as many without. `min_matured_share` asks for the share of the window's decisions
    whose rewards are known. `max_segment_loss` is the take fraction that a segment may be shown to lose, by an interval
    that holds for all segments at once. `max_changed_share` limits the share of artworks that can change.

    Raises:
        ContractError: if a rule cannot be.
    """

    alpha: float = 0.05
    min_profiles: int = 200
    min_effective_sample: float = 500.0
    max_weight_errors: float = 3.0
    check_alpha: float = 0.001
    min_rewarded: int = 30
    min_matured_share: float = 0.5
    max_segment_loss: float = 0.0
    max_changed_share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("alpha", "check_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise ContractError(f"{name} must be in (0, 1), got {getattr(self, name)}")
        if self.min_profiles < 2:
            raise ContractError(f"min_profiles must be at least 2, got {self.min_profiles}")
        if self.max_segment_loss < 0:
            raise ContractError(f"max_segment_loss must be at least 0, got {self.max_segment_loss}")


class Check(msgspec.Struct, frozen=True):
    """One check: whether it passed, and what was seen, in words with figures."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Case:
    """What a check looks at."""

    evaluation: Evaluation
    comparison: Comparison
    rules: GateRules
    matured_share: float | None = None

    @property
    def sides(self) -> tuple[PolicyResult, PolicyResult]:
        """The candidate and the champion: their difference rests on the weights of both."""
        return self.evaluation.policy(self.comparison.candidate), self.evaluation.policy(self.comparison.champion)


def overlap(case: Case) -> Check:
    """Ask that the log shows, at least sometimes, what each side would show."""
    problem = case.comparison.problem
    matched = " and ".join(f"{side.n_matched:,.0f} decisions match {side.name}" for side in case.sides)
    return Check("overlap", not problem, problem or matched)


def profiles(case: Case) -> Check:
    """Ask for many profiles: so few say little of all the others."""
    n, least = case.evaluation.log.n_profiles, case.rules.min_profiles
    return Check("profiles", n >= least, f"{n:,} profiles {_held(n >= least)} the minimum of {least:,}")


def maturity(case: Case) -> Check:
    """Ask that most rewards of the window are known: what comes late may come from others than what comes early."""
    share, least = case.matured_share, case.rules.min_matured_share
    if share is None:
        return Check("maturity", True, "rewards: how many are still open was not told")
    detail = f"a share of {share:.2f} of the window's rewards is known"
    return Check("maturity", share >= least, detail if share >= least else f"{detail}, less than {least:.2f}")


def rewarded(case: Case) -> Check:
    """Ask that takes and their absence were both seen often enough."""
    log, least = case.evaluation.log, case.rules.min_rewarded
    seen = min(log.n_rewarded, log.n_decisions - log.n_rewarded)
    detail = f"{log.n_rewarded:,} of {log.n_decisions:,} decisions were rewarded"
    return Check("rewarded", seen >= least, detail if seen >= least else f"{detail}, fewer than {least:,} of one kind")


def effective_sample(case: Case) -> Check:
    """Ask that each side's weights rest on enough of the log, in which a sticky draw seen again is nothing new."""
    worst, least = min(case.sides, key=_independent), case.rules.min_effective_sample
    size, support = _independent(worst), "ample" if _independent(worst) >= least else "too thin"
    detail = f"support is {support}: {worst.name} rests on {size:,.1f} independent decisions of {least:,.0f} needed"
    kish = f"its effective sample size, repeats of draws included, is {worst.support.effective_sample_size:,.1f}"
    return Check("effective_sample", size >= least, f"{detail} ({kish})")


def mean_weight(case: Case) -> Check:
    """Ask for mean weights of 1, which they are if the propensities are those of the draw."""
    worst = max(case.sides, key=_errors_off)
    off, most = _errors_off(worst), case.rules.max_weight_errors
    detail = (
        f"the mean weight of {worst.name} is {worst.support.mean_weight:.4f}, {off:.1f} standard errors off 1 "
        f"({most:g} are allowed)"
    )
    return Check("mean_weight", off <= most, detail)


def sample_ratio(case: Case) -> Check:
    """Ask that the uniform cell shows every position, and every artwork of a title, as often as it says.

    Three tests share the level: positions over all titles, whether one title is faulty, whether many are a little.
    """
    level = case.rules.check_alpha / N_RATIO_TESTS
    what = "sample ratio of the uniform cell"
    by_position = _draw_check("sample_ratio", what, case.evaluation.sample_ratio, level)
    by_title = _title_check(case.evaluation.title_ratio, level)
    told = [each for each in (by_position, by_title) if by_position.passed == by_title.passed or not each.passed]
    return Check("sample_ratio", by_position.passed and by_title.passed, "; ".join(each.detail for each in told))


def calibration(case: Case) -> Check:
    """Ask that logged propensities are the frequencies with which artworks were drawn."""
    what = "logged propensities against drawn positions"
    return _draw_check("calibration", what, case.evaluation.calibration, case.rules.check_alpha)


def segments(case: Case) -> Check:
    """Ask that no segment is shown to lose more than the margin: a loss that the log cannot show is told, not held."""
    listed, most = case.comparison.segments, case.rules.max_segment_loss
    told = [segment for segment in listed if segment.high is not None]
    if not listed:
        return Check("segments", True, "no segments")
    n_small = len(listed) - len(told)
    small = f"; {n_small} more {'has' if n_small == 1 else 'have'} too few profiles to judge" if n_small else ""
    if not told:
        return Check("segments", True, f"none of {len(listed)} segments has enough profiles to judge")
    worst = min(told, key=_high)
    if _high(worst) < -most:
        at_best = f"at best {_high(worst):+.5f} over {worst.n_profiles:,} profiles"
        where = f"it loses more than {most:g} in the segment {worst.dimension}: {worst.name} ({at_best})"
        return Check("segments", False, f"{where}{small}")
    lowest = min(told, key=_estimated)
    seen = f"the lowest estimate is {_estimated(lowest):+.5f} in {lowest.dimension}: {lowest.name}"
    shown = f"none of {len(told)} segments is shown to lose more than {most:g}"
    return Check("segments", True, f"{shown}, which is not to say that none does: {seen}{small}")


def changed_share(case: Case) -> Check:
    """Limit the share of changed artworks (members recognise titles by them); and something must change."""
    support, most = case.sides[0].support, case.rules.max_changed_share
    if support.changed_share == 0:
        return Check("changed_share", False, f"it shows exactly what {case.comparison.champion} shows")
    share = support.most_changed_share
    detail = f"a share of {support.changed_share:.3f} of artworks would change at least, and of {share:.3f} at most"
    return Check("changed_share", share <= most, detail if share <= most else f"{detail}, more than {most:.3f}")


N_RATIO_TESTS = 3
"""How many tests share the level of the sample ratio: positions over all titles, one title, all titles together."""
CHECKS: tuple[Callable[[Case], Check], ...] = (
    overlap, profiles, maturity, rewarded, effective_sample, mean_weight, sample_ratio, calibration,
)  # fmt: skip
"""What must hold before the gate looks at any lift."""
GUARDRAILS: tuple[Callable[[Case], Check], ...] = (segments, changed_share)
"""What must hold beside the lift before a candidate is promoted; a worse one is rejected all the same."""
COUNTING = frozenset({profiles.__name__, maturity.__name__})
"""Checks that only count, and know nothing of draws and rewards: a look at which one fails for all is none."""


def _draw_check(name: str, what: str, test: DrawTest, level: float) -> Check:
    if test.p_value is None:
        return Check(name, True, f"{what}: not tested, {test.n_decisions:,} decisions of {test.n_profiles:,} profiles")
    passed = test.p_value >= level
    seen = f"p = {test.p_value:.2g} over {test.n_decisions:,} decisions of {test.n_profiles:,} profiles"
    return Check(name, passed, f"{what} {'agree' if passed else 'disagree with the draw'}: {seen}")


def _title_check(test: TitleTest | None, level: float) -> Check:
    name, what = "sample_ratio", "artworks of single titles there"
    if test is None or test.p_one is None or test.p_many is None or test.worst is None:
        return Check(name, True, f"{what}: not tested")
    seen = f"over {test.n_draws:,} draws of {test.n_titles:,} titles"
    if test.p_one < level:
        return Check(name, False, f"{_told(test.worst)}: p = {test.p_one:.2g} {seen}")
    if test.p_many < level:
        together = f"{what} disagree with the draw together: p = {test.p_many:.2g} {seen}"
        return Check(name, False, f"{together}; most against it has {_told(test.worst)}")
    return Check(name, True, f"{what} agree: p = {test.p_one:.2g} for one and {test.p_many:.2g} for all, {seen}")


def _told(worst: TitleShare) -> str:
    return (
        f"title {worst.title}, whose artwork {worst.artwork} has a share of {worst.share:.3f} of {worst.n_draws:,} "
        f"draws in the uniform cell where {worst.expected:.3f} is expected"
    )


def _estimated(segment: SegmentResult) -> float:
    return float("inf") if segment.difference is None else segment.difference.value


def _independent(side: PolicyResult) -> float:
    return side.support.independent_sample_size


def _high(segment: SegmentResult) -> float:
    return float("inf") if segment.high is None else segment.high


def _errors_off(side: PolicyResult) -> float:
    """How many standard errors a mean weight is off 1; one without spread that is off by more than rounding: ∞."""
    off, error = abs(side.support.mean_weight - 1), side.support.mean_weight_error
    if off <= 1e-9:
        return 0.0
    return off / error if error > 0 else float("inf")


def _held(is_enough: bool) -> str:
    return "reach" if is_enough else "are fewer than"
