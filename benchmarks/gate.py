"""How often the gate errs over a month of daily looks at 20 candidates with sticky draws, and how soon it sees a lift.

Everything is together: 30 looks, 20 candidates that are other policies each day, profiles that return, and draws seen
ten times (`benchmarks.gate_world`). A false promotion is any at all in a month in which no candidate is better. `power`
and `median_day` are of one candidate that takes 10 % more than the policy that drew the log, among 19 that do not. The
gate's decisions are made by `evaluation.gate_budget` and `evaluation.gate` themselves. Beside it stand, on the same
logs, the naive gates of the facts page, which take each impression for a score:

- `naive_daily`: a 95 % interval looked at daily; `naive_once`: on the last day alone;
- `naive_bonferroni`: the error shared by the looks; `naive_mixture`: a normal-mixture confidence sequence;
- `naive_one_candidate`: `naive_once` for one candidate: what sticky draws alone do.
"""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_world import IMPRESSIONS_A_DAY, N_CANDIDATES, N_DAYS, DayLog, WorldSpec, days
from evaluation.gate import log_capital_of
from evaluation.gate_budget import next_look
from evaluation.interval import quantile
from evaluation.profile_score import scores_of
from evaluation.sequence_betting import growth
from models.batch import Floats

Flags = NDArray[np.bool_]

ALPHA = 0.05
_MIXTURE_DAY = 15

Days = Floats
"""By candidate, `(m,)`: the day on which a gate promoted it first, ∞ for never."""


def run(full: bool) -> dict[str, float | int | str]:
    """Simulate 80 months without and 40 with a lift; with `full`, 2,000 and 500."""
    n_null, n_lift, n_other = (2_000, 500, 200) if full else (80, 40, 10)
    null = [_month(WorldSpec(), (1, place)) for place in range(n_null)]
    lift = [_month(WorldSpec(lift=0.1), (2, place)) for place in range(n_lift)]
    figures: dict[str, float | int | str] = {}
    for name in null[0]:
        prefix = "" if name == "gate" else f"{name}_"
        figures[f"{prefix}false_promotion_share"] = _share([month[name] for month in null])
        figures |= _power(prefix, [month[name][0] for month in lift])
    figures["naive_one_candidate_false_promotion_share"] = _share([month["naive_once"][:1] for month in null])
    for name, spec in (
        ("flat_take_fraction", WorldSpec(lift=0.1, liking=0.0)),
        ("blind_reward_model", WorldSpec(lift=0.1, explained=0.0)),
        ("fixed_champion", WorldSpec(lift=0.1, champion="fixed")),
    ):
        months = [_month(spec, (3, place), naive=False)["gate"][0] for place in range(n_other)]
        figures |= _power(f"{name}_", months)
    return figures | {"n_null_months": n_null, "n_lift_months": n_lift}


def _month(spec: WorldSpec, seed: Sequence[int], naive: bool = True) -> dict[str, Days]:
    """Let every gate look daily at one log."""
    found = {"gate": np.full(N_CANDIDATES, inf)} | {name: np.full(N_CANDIDATES, inf) for name in _NAIVE if naive}
    for log in days(spec, np.random.default_rng(seed)):
        _note(found["gate"], gate_promotes(log), log.day)
        if naive:
            ratio = _naive_ratio(log)
            for name, limit in _NAIVE.items():
                _note(found[name], ratio > limit(log.day), log.day)
    return found


def gate_promotes(log: DayLog) -> Flags:
    """Tell, `(m,)`, whose lower bound the gate finds above 0 at this look."""
    level = next_look(log.day, N_CANDIDATES).level(ALPHA)
    won = log_capital_of(growth(scores_of(log.difference, log.n_decisions)), len(log.n_decisions), level)
    return np.asarray(won >= -np.log(level))


def _naive_ratio(log: DayLog) -> Floats:
    """Divide the mean difference by its standard error, as if impressions were independent."""
    n = float(log.n_decisions.sum())
    mean = log.plain_sum / n
    return np.asarray(mean / np.sqrt((log.plain_square / n - mean**2) / n), dtype=np.float64)


def _mixture_limit(day: int) -> float:
    """Give the normal-mixture boundary in standard errors, tuned for the middle of the month."""
    n, log_level = day * IMPRESSIONS_A_DAY, -2 * np.log(ALPHA)
    rho = _MIXTURE_DAY * IMPRESSIONS_A_DAY / (log_level + np.log1p(log_level))
    return float(np.sqrt((n + rho) / n * (np.log((n + rho) / rho) + log_level)))


_NAIVE: dict[str, Callable[[int], float]] = {
    "naive_daily": lambda day: quantile(1 - ALPHA / 2),
    "naive_once": lambda day: quantile(1 - ALPHA / 2) if day == N_DAYS else inf,
    "naive_bonferroni": lambda day: quantile(1 - ALPHA / 2 / N_DAYS),
    "naive_mixture": _mixture_limit,
}
"""By naive gate, how many standard errors above 0 promote on a day."""


def _note(first: Days, promoted: Flags, day: int) -> None:
    first[promoted & np.isinf(first)] = day


def _share(months: Sequence[Days]) -> float:
    return float(np.mean([np.isfinite(month).any() for month in months]))


def _power(prefix: str, found: Sequence[float]) -> dict[str, float | int | str]:
    """Give the share promoted and the median day; a median that is never reached counts as one day too many."""
    return {
        f"{prefix}power": float(np.isfinite(found).mean()),
        f"{prefix}median_day": float(np.minimum(np.median(found), N_DAYS + 1)),
    }
