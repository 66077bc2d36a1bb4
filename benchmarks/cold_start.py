"""What a new artwork is shown on its first day, what that costs, and what a new title earns on its own.

Each seed is a closed loop: a uniform day, days under `CONTEXTUAL` as the written list has it, and then `N_MEASURED`
days with more decisions under the same, learned anew each night. Measured is what launches on those days but the last,
in a world in which about three artworks and `TITLES_PER_DAY` titles launch a day, and all of it is of this one policy.

- `impressions_24h`: seen impressions of a new artwork of an older title within 24 hours of its launch, the mean;
  `impressions_24h_p10`, what nine in ten have; `share_with_200`, how many have 200.
- `exploration_share`: the share of the impressions of those days that do not show what the policy holds best, by exact
  probabilities: floor, rule and launch budget together. `launch_share` is the part that the launch budget adds.
- `take_fraction_loss`: what the launch budget costs in exact take fraction over all decisions of those days, relative
  to the same policy without it; `take_fraction_loss_absolute`, not relative.
- `new_title_beats_uniform`: the share of seeds in which the exact value of the policy, as it decided with its launch
  budget, is above uniform's over all decisions about new titles within 24 hours of their launch; `new_title_value` and
  `new_title_uniform` are the means.
- `new_title_beats_uniform_next_day`, `new_title_value_next_day`, `new_title_uniform_next_day`: the same over those of
  these decisions that come after the midnight of the launch. Until then a new artwork has no features, whatever the
  catalogue says of it, so that the policy can tell none from another and is uniform.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.closed_loop import ClosedLoop, Day, loop_settings
from benchmarks.seeds import over_seeds
from models.batch import Floats
from models.candidate import Candidate, candidate
from models.policy import UniformPolicy
from models.shape import PublishedPolicy, from_arrays, to_arrays
from simulation.value import uniform_pmf
from simulation.world import DEMO_SPEC, World

CONTEXTUAL: Final = "linucb"
"""The policy in force, as in `ordering` and `regret`."""
N_MEASURED: Final = 3
TITLES_PER_DAY: Final = 2.0
"""More than usual, so that hardly a seed has none."""
_FIRST: Final = np.timedelta64(24, "h")
_WANTED: Final = 200


@dataclass(frozen=True, slots=True)
class Size:
    """How large a seed's loop is; a measured day has `busier` times as many pages as a day to learn from."""

    n_profiles: int
    n_pages_a_day: int
    n_days: int
    busier: int


Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Launches:
    """One seed: impressions of each new artwork, and exact means over decisions. See the figures of these names.

    `new_title` and `new_title_next_day` are the policy's value and uniform's; None where there was no decision.
    """

    impressions: Floats
    n_titles: int
    exploration: float
    launch: float
    value: float
    value_without: float
    new_title: Pair | None
    new_title_next_day: Pair | None


QUICK: Final = Size(n_profiles=300, n_pages_a_day=300, n_days=3, busier=3)
FULL: Final = Size(n_profiles=2_000, n_pages_a_day=1_000, n_days=4, busier=5)


def run(full: bool) -> dict[str, float | int | str]:
    """Run one seed with a fifth of the traffic, for speed; with `full`, 10 seeds at full size."""
    size, n_seeds = (FULL, 10) if full else (QUICK, 1)
    return figures_of(over_seeds(partial(launches_of, size=size), n_seeds), size)


def launches_of(seed: int, size: Size, one: Candidate | None = None) -> Launches:
    """Run one seed's loop, and look at what launched while it was measured. Args: one, `CONTEXTUAL` if not given."""
    one = one or candidate(CONTEXTUAL)
    spec = replace(DEMO_SPEC, seed=seed, n_profiles=size.n_profiles)
    world = World(replace(spec, change=replace(spec.change, titles_per_day=TITLES_PER_DAY)))
    loop = ClosedLoop(world, loop_settings(), size.n_pages_a_day)
    loop.run_day(UniformPolicy())
    measured: list[Day] = []
    without: list[Floats] = []
    with TemporaryDirectory(prefix="marquee-cold-start-") as workdir:
        for number in range(1, size.n_days + N_MEASURED):
            policy = loop.learn(one, Path(workdir) / f"day-{number}").policy
            if number < size.n_days:
                loop.run_day(policy)
                continue
            measured.append(loop.run_day(policy, busier=size.busier))
            without.append(unlaunched(policy).pmf(measured[-1].decided.logged.batch))
    return look_at(world, measured, without)


def unlaunched(policy: PublishedPolicy) -> PublishedPolicy:
    """Take the launch budget out of a policy of any shape, and nothing else."""
    rule = replace(policy.exploration, launch=None)
    return from_arrays({**to_arrays(policy), "exploration": rule.to_array()})


def look_at(world: World, days: Sequence[Day], without: Sequence[Floats]) -> Launches:
    """Sum up days in a row. Args: without, each day's pmf of the same policy, had there been no launch budget."""
    shelf = world.shelf
    begin, end = (_start_of(one) for one in (days[0], days[-1]))
    new_title = (shelf.title_launched_at >= begin) & (shelf.title_launched_at < end)
    new_artwork = (shelf.artwork_launched_at >= begin) & (shelf.artwork_launched_at < end) & ~new_title[shelf.title_of]
    shown, seen, first_day, next_day = np.zeros(len(new_artwork)), np.zeros(5), np.zeros(3), np.zeros(3)
    for made, plain in zip(days, without, strict=True):
        logged = made.decided.logged
        artwork = made.artwork[logged.chosen]
        early = made.seen & (logged.decided_at < shelf.artwork_launched_at[artwork] + _FIRST)
        shown += np.bincount(artwork[early], minlength=len(shown))
        title_at = shelf.title_launched_at[made.title]
        fresh = new_title[made.title] & (logged.decided_at < title_at + _FIRST)
        each = _by_decision(made, plain)
        seen += np.append(each[:4, made.seen].sum(axis=1), made.seen.sum())
        for total, rows in ((first_day, fresh), (next_day, fresh & (title_at < _start_of(made)))):
            total += np.append(each[:, rows][[2, 4]].sum(axis=1), rows.sum())
    explored, plain_explored, value, plain_value = seen[:4] / seen[4]
    return Launches(
        impressions=shown[new_artwork],
        n_titles=int(new_title.sum()),
        exploration=explored,
        launch=explored - plain_explored,
        value=value,
        value_without=plain_value,
        new_title=_means(first_day),
        new_title_next_day=_means(next_day),
    )


def figures_of(found: Sequence[Launches], size: Size) -> dict[str, float | int | str]:
    """Put the seeds together."""
    impressions = np.concatenate([each.impressions for each in found])
    value, without = (np.array([getattr(each, name) for each in found]) for name in ("value", "value_without"))
    return {
        "impressions_24h": float(impressions.mean()),
        "impressions_24h_p10": float(np.quantile(impressions, 0.1)),
        "share_with_200": float(np.mean(impressions >= _WANTED)),
        "exploration_share": float(np.mean([each.exploration for each in found])),
        "launch_share": float(np.mean([each.launch for each in found])),
        "take_fraction_loss": float(np.mean(1.0 - value / without)),
        "take_fraction_loss_absolute": float(np.mean(without - value)),
        **_against_uniform([each.new_title for each in found if each.new_title], ""),
        **_against_uniform([each.new_title_next_day for each in found if each.new_title_next_day], "_next_day"),
        "n_new_artworks": len(impressions),
        "n_new_titles": sum(each.n_titles for each in found),
        "n_decisions_a_measured_day": size.busier * size.n_pages_a_day * DEMO_SPEC.page_titles,
        "n_seeds": len(found),
    }


def _against_uniform(found: Sequence[Pair], suffix: str) -> dict[str, float]:
    """Put the seeds together that had a decision about a new title; nothing where none had."""
    if not found:
        return {}
    value, uniform = np.array(found).T
    return {
        f"new_title_beats_uniform{suffix}": float(np.mean(value > uniform)),
        f"new_title_value{suffix}": float(value.mean()),
        f"new_title_uniform{suffix}": float(uniform.mean()),
    }


def _by_decision(made: Day, plain: Floats) -> Floats:
    """Sum over each decision's candidates.

    Returns: `(5, n)`: what is not preferred, as drawn and without launch budget; the exact take fraction as drawn,
    without launch budget, and of uniform.
    """
    offsets = made.decided.logged.batch.offsets
    preferred = plain == np.repeat(np.maximum.reduceat(plain, offsets[:-1]), np.diff(offsets))
    outside = [np.where(preferred, 0.0, pmf) for pmf in (made.live, plain)]
    earned = [pmf * made.decided.truth for pmf in (made.live, plain, uniform_pmf(offsets))]
    return np.stack([np.add.reduceat(each, offsets[:-1]) for each in (*outside, *earned)])


def _means(total: Floats) -> Pair | None:
    return (float(total[0] / total[2]), float(total[1] / total[2])) if total[2] else None


def _start_of(made: Day) -> np.datetime64:
    return np.datetime64(made.interval.start_at.replace(tzinfo=None))
