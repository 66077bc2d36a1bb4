"""Uniform, best artwork, contextual: whether each is better than the one before, in truth and by replay.

Each seed is a world of its own and a closed loop: the first day is uniform, then the policy in force is `CONTEXTUAL`,
learned anew each night. In the end every candidate learns once from the whole log. Then come days on which artwork is
drawn uniformly, as in the Netflix article, and on their matured decisions, from which nobody learned, all are judged:
`value_…` is each policy's exact take fraction, `replay_…` what replay of these days says (with a 95 % interval over
seeds), and `lift_share_…` the part of the oracle's lift over uniform that the policy earns, the mean over seeds.

`share_ordered` and `share_ordered_replay` are the shares of seeds with uniform < best-artwork < `CONTEXTUAL`, strictly;
`share_ordered_…` the same in truth with each other contextual policy. `rank_correlation` is the mean over seeds of
Spearman's coefficient between replay and truth over all candidates; `rank_correlation_of_means` the one coefficient
between both when they are first averaged over the seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from benchmarks.chart import Interval, interval_chart
from benchmarks.closed_loop import ClosedLoop, Judged, loop_settings
from benchmarks.seeds import half_width, over_seeds
from evaluation.replay import replay
from evaluation.score import pool
from models.batch import Floats
from models.candidate import CANDIDATES, Candidate, candidate
from models.policy import Policy, UniformPolicy
from simulation.value import Yardstick
from simulation.world import DEMO_SPEC, World

UNIFORM: Final = "uniform"
BEST_ARTWORK: Final = "best-artwork"
CONTEXTUAL: Final = "linucb"
"""The policy in force from the second day on, and the one that is held against best artwork."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a seed's loop is."""

    n_profiles: int
    n_pages_a_day: int
    n_days: int
    n_judged_days: int

    @property
    def n_decisions(self) -> int:
        """How many decisions a seed has: a judged day is `JUDGED_DAY` times as busy."""
        return (self.n_days + JUDGED_DAY * self.n_judged_days) * self.n_pages_a_day * DEMO_SPEC.page_titles


@dataclass(frozen=True, slots=True)
class Outcome:
    """One seed: what there was to be won, and the true value and the replay estimate of each policy, by name."""

    n_judged: int
    yardstick: Yardstick
    value: dict[str, float]
    replay: dict[str, float]

    def lift_share(self, name: str) -> float:
        """Give the part of the oracle's lift over uniform that a policy earns."""
        return (self.value[name] - self.yardstick.uniform) / (self.yardstick.oracle - self.yardstick.uniform)


JUDGED_DAY: Final = 6
QUICK: Final = Size(n_profiles=300, n_pages_a_day=250, n_days=4, n_judged_days=1)
FULL: Final = Size(n_profiles=600, n_pages_a_day=500, n_days=6, n_judged_days=2)


def run(full: bool) -> dict[str, float | int | str]:
    """Run 2 seeds of a small loop; with `full`, 100 seeds of a larger one."""
    size, n_seeds = (FULL, 100) if full else (QUICK, 2)
    return figures_of(over_seeds(partial(outcome_of, size=size), n_seeds), size)


def plot(figures: Mapping[str, float | int | str]) -> str:
    """Draw take fractions by replay with intervals over seeds, and the true values, as SVG."""
    rows = [
        Interval(
            label,
            float(figures[f"replay_{name}"]),
            float(figures[f"replay_low_{name}"]),
            float(figures[f"replay_high_{name}"]),
            float(figures[f"value_{name}"]),
        )
        for label, name in (("contextual", CONTEXTUAL), ("best artwork", BEST_ARTWORK), ("uniform", UNIFORM))
    ]
    title = f"Take fraction by replay, mean of {figures['n_seeds']} simulated services"
    return interval_chart(rows, title=title, x_label="take fraction", reference_label="true value")


def outcome_of(seed: int, size: Size, candidates: Sequence[Candidate] = CANDIDATES) -> Outcome:
    """Run one seed's loop, and judge the candidates on the days after what they learned from."""
    world = World(replace(DEMO_SPEC, seed=seed, n_profiles=size.n_profiles))
    loop = ClosedLoop(world, loop_settings(), size.n_pages_a_day)
    with TemporaryDirectory(prefix="marquee-ordering-") as workdir:
        policy: Policy = UniformPolicy()
        for number in range(size.n_days):
            loop.run_day(policy)
            if number + 1 < size.n_days:
                policy = loop.learn(candidate(CONTEXTUAL), Path(workdir) / f"day-{number}").policy
        learned = {one.name: loop.learn(one, Path(workdir) / one.name).policy for one in candidates}
    judged = [loop.run_day(UniformPolicy(), busier=JUDGED_DAY) for _ in range(size.n_judged_days)]
    return judge(learned, list(loop.matured(since=judged[0].interval.start_at)))


def judge(policies: Mapping[str, Policy], log: Sequence[Judged]) -> Outcome:
    """Give the true value and the replay estimate of policies over one log."""
    sizes = [len(part.logged) for part in log]
    yardsticks = [part.yardstick for part in log]
    value, estimate = {}, {}
    for name, policy in policies.items():
        pmfs = [policy.pmf(part.logged.batch) for part in log]
        value[name] = _mean([part.value(pmf) for part, pmf in zip(log, pmfs, strict=True)], sizes)
        estimate[name] = _replayed(pmfs, log)
    ends = {each: _mean([getattr(one, each) for one in yardsticks], sizes) for each in Yardstick.__slots__}
    return Outcome(sum(sizes), Yardstick(**ends), value, estimate)


def figures_of(outcomes: Sequence[Outcome], size: Size) -> dict[str, float | int | str]:
    """Put the seeds together."""
    names = list(outcomes[0].value)
    contextual = [name for name in names if name not in (UNIFORM, BEST_ARTWORK)]
    figures: dict[str, float | int | str] = {
        "share_ordered": share_ordered([each.value for each in outcomes], CONTEXTUAL),
        "share_ordered_replay": share_ordered([each.replay for each in outcomes], CONTEXTUAL),
        "rank_correlation": float(np.mean([_spearman(each.replay, each.value) for each in outcomes])),
        "rank_correlation_of_means": _spearman(
            _means([o.replay for o in outcomes]), _means([o.value for o in outcomes])
        ),
    }
    for name in contextual:
        if name != CONTEXTUAL:
            figures[f"share_ordered_{name}"] = share_ordered([each.value for each in outcomes], name)
    for name in names:
        estimates = np.array([each.replay[name] for each in outcomes])
        half = half_width(estimates)
        figures[f"lift_share_{name}"] = float(np.mean([each.lift_share(name) for each in outcomes]))
        figures[f"value_{name}"] = float(np.mean([each.value[name] for each in outcomes]))
        figures[f"replay_{name}"] = float(estimates.mean())
        figures[f"replay_low_{name}"] = float(estimates.mean()) - half
        figures[f"replay_high_{name}"] = float(estimates.mean()) + half
    figures["value_oracle"] = float(np.mean([each.yardstick.oracle for each in outcomes]))
    return figures | {
        "n_seeds": len(outcomes),
        "n_decisions": size.n_decisions,
        "n_judged": int(np.mean([each.n_judged for each in outcomes])),
    }


def share_ordered(found: Sequence[Mapping[str, float]], contextual: str) -> float:
    """Give the share of seeds with uniform < best artwork < contextual."""
    return float(np.mean([each[UNIFORM] < each[BEST_ARTWORK] < each[contextual] for each in found]))


def _replayed(pmfs: Sequence[Floats], log: Sequence[Judged]) -> float:
    logs = [part.logged for part in log]
    agreement = np.concatenate([pmf[logged.chosen] for pmf, logged in zip(pmfs, logs, strict=True)])
    propensity, reward = (
        np.concatenate([getattr(logged, part) for logged in logs]) for part in ("propensity", "reward")
    )
    return float(pool(replay(agreement, propensity, reward)).value)


def _spearman(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    return float(spearmanr([first[name] for name in second], list(second.values())).statistic)


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights))
