"""The launch budget's price and yield: none without it, and all by exact probabilities."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.closed_loop import ClosedLoop, Day, loop_settings
from benchmarks.cold_start import CONTEXTUAL, Size, figures_of, launches_of, look_at, unlaunched
from models.batch import Batch, Floats
from models.candidate import candidate
from models.ensemble import EnsemblePolicy
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK
from models.linear import LinearPolicy
from models.policy import Policy, UniformPolicy
from models.shape import to_arrays
from simulation.world import DEMO_SPEC, World

RULE = candidate(CONTEXTUAL).exploration
SIZE = Size(n_profiles=80, n_pages_a_day=80, n_days=1, busier=1)


class Remembering:
    """A policy that keeps what it gave."""

    def __init__(self, policy: LinearPolicy) -> None:
        self.policy, self.given = policy, list[Floats]()

    def pmf(self, batch: Batch) -> Floats:
        self.given.append(self.policy.pmf(batch))
        return self.given[-1]


@pytest.fixture(scope="module")
def world() -> World:
    spec = replace(DEMO_SPEC, seed=5, n_profiles=80)
    return World(replace(spec, change=replace(spec.change, titles_per_day=3.0, artworks_per_day=12.0)))


def days_under(world: World, policy: Policy) -> list[Day]:
    loop = ClosedLoop(world, loop_settings(uniform_cell_share=0.0), 100)
    loop.run_day(UniformPolicy())
    return [loop.run_day(policy) for _ in range(3)]


def test_without_a_launch_budget_nothing_is_lost_and_nothing_added(world: World) -> None:
    policy = Remembering(LinearPolicy.flat(replace(RULE, launch=None)))
    found = look_at(world, days_under(world, policy), policy.given)
    assert found.launch == 0.0
    assert found.value == found.value_without > 0.05


def test_uniform_explores_nothing_beside_its_ties_and_is_as_good_as_uniform_on_new_titles(world: World) -> None:
    days = days_under(world, UniformPolicy())
    found = look_at(world, days, [made.live for made in days])
    assert found.exploration == 0.0
    assert found.n_titles > 0
    for pair in (found.new_title, found.new_title_next_day):
        assert pair is not None
        assert pair[0] == pytest.approx(pair[1])
        assert pair[0] > 0


def test_new_artworks_are_counted_for_their_first_day_alone(world: World) -> None:
    days = days_under(world, UniformPolicy())
    found = look_at(world, days, [made.live for made in days])
    begin, end = (np.datetime64(made.interval.start_at.replace(tzinfo=None)) for made in (days[0], days[-1]))
    shelf, expected = world.shelf, 0
    title_at = shelf.title_launched_at[shelf.title_of]
    new = (shelf.artwork_launched_at >= begin) & (shelf.artwork_launched_at < end) & (title_at < begin)
    for made in days:
        logged = made.decided.logged
        artwork = made.artwork[logged.chosen]
        young = logged.decided_at - shelf.artwork_launched_at[artwork] < np.timedelta64(1, "D")
        expected += int((new[artwork] & young & made.seen).sum())
    assert len(found.impressions) == new.sum() > 5
    assert found.impressions.sum() == expected > 0


def test_until_midnight_a_new_title_is_decided_as_uniform_does(world: World) -> None:
    weights = np.linspace(-1.0, 1.0, len(ARTWORK), dtype=np.float32)
    days = days_under(world, LinearPolicy.flat(RULE, artwork_weights=weights))
    found = look_at(world, days[:2], [made.live for made in days[:2]])
    title_at = world.shelf.title_launched_at
    for made in days[:2]:
        start = np.datetime64(made.interval.start_at.replace(tzinfo=None))
        offsets = made.decided.logged.batch.offsets
        for row in np.flatnonzero(title_at[made.title] >= start):
            first, stop = offsets[row : row + 2]
            np.testing.assert_allclose(made.live[first:stop], 1 / (stop - first))
    assert found.new_title is not None
    assert found.new_title_next_day is not None
    assert abs(found.new_title_next_day[0] - found.new_title_next_day[1]) > 1e-6
    same_day = look_at(world, days[:1], [days[0].live])
    assert same_day.new_title is None, "what launches on the last day is not looked at"


def test_a_launch_budget_is_taken_out_of_any_shape_and_nothing_else() -> None:
    linear = LinearPolicy.flat(RULE, constant=0.3)
    for shape in (linear, EnsemblePolicy((linear, linear))):
        plain = unlaunched(shape)
        assert type(plain) is type(shape)
        assert plain.exploration == Exploration(ExplorationKind.GREEDY, floor=0.02)
        before, after = to_arrays(shape), to_arrays(plain)
        assert before.keys() == after.keys()
        for name in before.keys() - {"exploration"}:
            np.testing.assert_array_equal(before[name], after[name])


def test_a_learned_loop_shows_new_artworks_more_with_a_launch_budget_than_without() -> None:
    shipped = candidate(CONTEXTUAL)
    plain = replace(shipped, exploration=replace(RULE, launch=None))
    found, without = (launches_of(1, SIZE, one) for one in (shipped, plain))
    assert found.impressions.sum() > without.impressions.sum()
    assert found.launch > 0.0 == without.launch
    figures = figures_of([found], SIZE)
    assert figures["exploration_share"] == pytest.approx(found.exploration)
    assert figures["n_decisions_a_measured_day"] == 1_600
    nothing_new = figures_of([replace(found, new_title=None, new_title_next_day=None)], SIZE)
    assert figures.keys() - nothing_new.keys() == {key for key in figures if key.startswith("new_title_")}
