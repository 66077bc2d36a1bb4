"""The gate: whether a candidate may take the champion's place, with the reason in a sentence.

Every check must pass before lift counts at all. Then the candidate is rejected if the upper bound of its paired
difference to the champion, one doubly robust score a profile (`profile_score`), is below 0, and promoted if the lower
bound is above 0 and every guardrail holds. The bounds are those of a mixture of bets (`sequence_betting`) at the level
of each candidate at this look (`gate_budget`): whatever the number of looks and candidates, a champion loses its place
to a policy that is no better with probability `alpha` at most. docs/adr/0004 says why, and what would break it.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np

from evaluation.gate_budget import Look, single_look
from evaluation.gate_check import CHECKS, GUARDRAILS, Case, Check, GateRules
from evaluation.interval import Estimate
from evaluation.profile_score import ProfileScores
from evaluation.record import Comparison, Evaluation
from evaluation.sequence_betting import log_capital, log_prior, lower_bound
from models.batch import Floats

__all__ = ["Bounds", "Check", "GateRules", "Ruling", "Verdict", "choose", "judge", "log_capital_of"]


class Ruling(StrEnum):
    """What the gate can say."""

    PROMOTE = "promote"
    HOLD = "hold"
    REJECT = "reject"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the scores say of one candidate at one look.

    `difference` is the mean score as a difference of take fractions; `lower` and `upper` are its one-sided bounds, each
    at `level`. `log_capital` is what the bets against "no better" won.
    """

    difference: float
    level: float
    lower: float
    upper: float
    log_capital: float


class Verdict(msgspec.Struct, frozen=True):
    """The gate's word on one candidate; `is_sound` says whether the log could carry one, guardrails aside.

    `difference` is candidate less champion over all decisions, with a normal interval: a diagnostic. `bounds` decide,
    and `level`, `lower` and `upper` are theirs; all are None, and the level is 0, where there was nothing to compare.
    """

    candidate: str
    champion: str
    decision: Ruling
    reason: str
    checks: tuple[Check, ...]
    level: float
    difference: Estimate | None = None
    lower: float | None = None
    upper: float | None = None
    bounds: Bounds | None = None
    is_sound: bool = False


def judge(
    evaluation: Evaluation,
    candidate: str,
    rules: GateRules,
    *,
    n_candidates: int | None = None,
    look: Look | None = None,
    matured_share: float | None = None,
) -> Verdict:
    """Promote, hold or reject one candidate.

    Args:
        evaluation: with the candidate and its champion.
        candidate: the name of one of its policies.
        rules: what is put up with.
        n_candidates: how many share `alpha` at a look that is the only one; every policy that was compared, if not
            given. Without meaning beside `look`.
        look: which of the looks of a reign this is; the only one ever, if not given.
        matured_share: the share of the window's impression-bearing decisions whose rewards are known, where it is.

    Raises:
        ContractError: if the candidate was not compared.
    """
    comparison = evaluation.comparison(candidate)
    look = look or single_look(len(evaluation.comparisons) if n_candidates is None else n_candidates)
    case = Case(evaluation, comparison, rules, matured_share)
    checks, guardrails = (tuple(check(case) for check in group) for group in (CHECKS, GUARDRAILS))
    bounds = bounds_of(comparison.scores, look, rules.alpha) if comparison.scores else None
    is_sound = bounds is not None and all(check.passed for check in checks)
    if bounds is None:  # nothing was compared: no other check has anything to say
        ruling, reason = Ruling.HOLD, _held(candidate, checks[:1])
    elif not is_sound:
        ruling, reason = Ruling.HOLD, _held(candidate, (*checks, *guardrails))
    else:
        ruling, reason = _ruling(evaluation, comparison, bounds, guardrails)
    verdict = Verdict(
        candidate, comparison.champion, ruling, reason, (*checks, *guardrails), 0.0, comparison.difference
    )
    if bounds is None:
        return verdict
    return msgspec.structs.replace(
        verdict, level=bounds.level, lower=bounds.lower, upper=bounds.upper, bounds=bounds, is_sound=is_sound
    )


def bounds_of(scores: ProfileScores, look: Look, alpha: float) -> Bounds:
    """Bound a difference to the champion at one look."""
    level, unit = look.level(alpha), scores.mean_vote
    prior, up, down = log_prior(scores.n, level), np.array(scores.growth), np.array(scores.growth_down)
    return Bounds(
        difference=scores.mean / unit,
        level=level,
        lower=float(lower_bound(up, scores.n, prior, level)) / unit,
        upper=-float(lower_bound(down, scores.n, prior, level)) / unit,
        log_capital=float(log_capital_of(up, scores.n, level)),
    )


def log_capital_of(growth: Floats, n: int, level: float) -> Floats:
    """Give the log capital won against "no better", `(…)`, for growths `(…, len(BETS))` of n scores.

    A lower bound at this level is above 0 where it is −log(level) or more.
    """
    return log_capital(growth, n, log_prior(n, level))


def choose(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Pick the promotable candidate with the best lower bound, the first by name on ties; None if there is none."""
    promotable = [verdict for verdict in verdicts if verdict.decision is Ruling.PROMOTE and verdict.lower is not None]
    return min(promotable, key=_by_bound, default=None)


def _by_bound(verdict: Verdict) -> tuple[float, str]:
    return -(verdict.lower or 0.0), verdict.candidate


def _held(name: str, checks: Sequence[Check]) -> str:
    return f"Hold {name}: {'; '.join(check.detail for check in checks if not check.passed)}."


def _ruling(
    evaluation: Evaluation, comparison: Comparison, bounds: Bounds, guardrails: Sequence[Check]
) -> tuple[Ruling, str]:
    name, lift = comparison.candidate, _lift(evaluation, comparison, bounds)
    if bounds.upper < 0:
        return Ruling.REJECT, f"Reject {name}: {lift}; the upper bound is below 0."
    if not all(check.passed for check in guardrails):
        return Ruling.HOLD, _held(name, guardrails)
    if bounds.lower > 0:
        return Ruling.PROMOTE, f"Promote {name}: {lift}; the lower bound is above 0."
    return Ruling.HOLD, f"Hold {name}: {lift}; the log does not settle which is better."


def _lift(evaluation: Evaluation, comparison: Comparison, bounds: Bounds) -> str:
    base = evaluation.policy(comparison.champion).estimates["dr"].value
    relative = f" ({bounds.difference / base:+.1%} of {base:.4f})" if base > 0 else ""
    log = evaluation.log
    return (
        f"by votes of profiles its take fraction differs from {comparison.champion}'s by {bounds.difference:+.5f}"
        f"{relative}, between {bounds.lower:+.5f} and {bounds.upper:+.5f} (each at level {bounds.level:.2g}: for all "
        f"looks and candidates at once), over {log.n_profiles:,} profiles and {log.n_decisions:,} decisions"
        f"{_by_decisions(comparison)}"
    )


def _by_decisions(comparison: Comparison) -> str:
    found = comparison.difference
    return "" if found is None else f" (by decisions {found.value:+.5f}, which does not decide)"
