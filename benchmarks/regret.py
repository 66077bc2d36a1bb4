"""Thirty days of closed loops, one for each policy: what each loses to the oracle, and how soon taste is learned anew.

Every candidate has a loop of its own in the same world, with the same visitors and the same luck: it decides from the
second day on (the first is uniform), and learns anew each night. On day `Size.change_day`, counted from 0, all profiles
have another taste from one day to the next. The regret of a day is the oracle's exact take fraction less the policy's,
over all of the day's decisions and before anybody is drawn for the uniform cell; times the decisions, it is quality
plays.

- `regret_…`: of 30 days, in quality plays for 1,000 decisions, mean over seeds; `regret_…_day_…`, up to that day.
- `lift_share_…`: the part of the oracle's lift over uniform that is earned, mean of five days before the change.
- `days_to_recover_…`: full days after the change until a policy earns, in the mean over seeds, 90 % or more of the lift
  over uniform of those five days again, as a part of the oracle's; 0 is the day of the change itself, and a policy that
  does not by the last day has the number of days that there were. `days_to_recover` is that of `CONTEXTUAL`.
- `days_to_recover_value_…`: the same for 90 % of the value itself, as a part of the oracle's: a weaker demand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.chart import Line, line_chart
from benchmarks.closed_loop import ClosedLoop, loop_settings
from benchmarks.seeds import half_width, over_seeds
from models.batch import Floats
from models.candidate import CANDIDATES, Candidate, candidate
from models.policy import Policy, UniformPolicy
from pipelines.settings import Settings
from simulation.world import DEMO_SPEC, World

CONTEXTUAL: Final = "linucb"
_BEFORE: Final = 5
_RECOVERED: Final = 0.9
_PLOTTED_EVERY: Final = 2


@dataclass(frozen=True, slots=True)
class Size:
    """How large a loop is, how long, and on which day taste changes."""

    n_profiles: int
    n_pages_a_day: int
    n_days: int
    change_day: int


@dataclass(frozen=True, slots=True)
class Course:
    """What each day of one loop was worth: exact take fractions, `(n_days,)` each."""

    value: Floats
    uniform: Floats
    oracle: Floats


QUICK: Final = Size(n_profiles=100, n_pages_a_day=100, n_days=10, change_day=6)
FULL: Final = Size(n_profiles=200, n_pages_a_day=300, n_days=30, change_day=20)
_QUICK_CANDIDATES: Final = ("uniform", "best-artwork", CONTEXTUAL)


def run(full: bool) -> dict[str, float | int | str]:
    """Run three policies for 10 days in one world; with `full`, every candidate for 30 days in 4 worlds."""
    size, n_seeds = (FULL, 4) if full else (QUICK, 1)
    chosen = CANDIDATES if full else tuple(candidate(name) for name in _QUICK_CANDIDATES)
    work = [(seed, one) for seed in range(n_seeds) for one in chosen]
    courses = over_seeds(partial(_course_of, work=work, size=size), len(work))
    by_name: dict[str, list[Course]] = {one.name: [] for one in chosen}
    for (_, one), course in zip(work, courses, strict=True):
        by_name[one.name].append(course)
    return figures_of(by_name, size)


def plot(figures: Mapping[str, float | int | str]) -> str:
    """Draw cumulative regret by day for every policy as SVG."""
    days = range(0, int(figures["n_days"]) + 1, _PLOTTED_EVERY)
    names = [key.removeprefix("lift_share_") for key in figures if key.startswith("lift_share_")]
    names.sort(key=lambda name: -float(figures[f"regret_{name}"]))
    lines = [
        Line(name, list(days), [float(figures[f"regret_{name}_day_{day}"]) if day else 0.0 for day in days])
        for name in names
    ]
    title = f"Regret against the oracle; on day {figures['change_day']} all tastes change"
    return line_chart(lines, title=title, x_label="day", y_label="quality plays lost, for 1,000 decisions a month")


def course_of(one: Candidate, seed: int, size: Size, settings: Settings | None = None) -> Course:
    """Let one candidate decide, learn and decide again in the world of a seed."""
    spec = replace(DEMO_SPEC, seed=seed, n_profiles=size.n_profiles)
    world = World(replace(spec, change=replace(spec.change, taste_change_day=size.change_day)))
    loop = ClosedLoop(world, settings or loop_settings(), size.n_pages_a_day)
    policy: Policy = UniformPolicy()
    days = []
    with TemporaryDirectory(prefix="marquee-regret-") as workdir:
        for number in range(size.n_days):
            days.append(loop.run_day(policy))
            if number + 1 < size.n_days:
                policy = loop.learn(one, Path(workdir) / f"day-{number}").policy
    ends = [made.decided.yardstick for made in days]
    return Course(
        np.array([made.value for made in days]),
        np.array([each.uniform for each in ends]),
        np.array([each.oracle for each in ends]),
    )


def figures_of(courses: Mapping[str, Sequence[Course]], size: Size) -> dict[str, float | int | str]:
    """Put the loops together, by policy."""
    figures: dict[str, float | int | str] = {}
    for name, seeds in courses.items():
        lost = np.array([np.cumsum(each.oracle - each.value) for each in seeds]) * 1_000 / size.n_days
        figures[f"regret_{name}"] = float(lost[:, -1].mean())
        figures[f"regret_{name}_half_width"] = half_width(lost[:, -1])
        for day in range(_PLOTTED_EVERY, size.n_days + 1, _PLOTTED_EVERY):
            figures[f"regret_{name}_day_{day}"] = float(lost[:, day - 1].mean())
        shares = np.mean([_lift_share(each) for each in seeds], axis=0)
        figures[f"lift_share_{name}"] = float(shares[size.change_day - _BEFORE : size.change_day].mean())
        figures[f"days_to_recover_{name}"] = days_to_recover(shares, size.change_day)
        of_oracle = np.mean([each.value / each.oracle for each in seeds], axis=0)
        figures[f"days_to_recover_value_{name}"] = days_to_recover(of_oracle, size.change_day)
    first = {"days_to_recover": figures[f"days_to_recover_{CONTEXTUAL}"]} if CONTEXTUAL in courses else {}
    n_seeds = len(next(iter(courses.values())))
    return {**first, **figures, "n_seeds": n_seeds, "n_days": size.n_days, "change_day": size.change_day}


def days_to_recover(shares: Floats, change_day: int) -> int:
    """Count the days from a change until `(n_days,)` shares are at 90 % of what they were in the five days before."""
    wanted = _RECOVERED * shares[change_day - _BEFORE : change_day].mean()
    after = shares[change_day:] >= wanted
    return int(np.argmax(after)) if after.any() else len(after)


def _lift_share(course: Course) -> Floats:
    return np.asarray((course.value - course.uniform) / (course.oracle - course.uniform))


def _course_of(number: int, work: Sequence[tuple[int, Candidate]], size: Size) -> Course:
    seed, one = work[number]
    return course_of(one, seed, size)
