"""What the world says is true: chances, their ordering, and the figures that its docstring states."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from models.batch import Batch
from models.error import ContractError
from models.identity import keys_of
from models.layout import ARTWORK, DEVICES, SHARED
from models.policy import UniformPolicy
from simulation.response import CEILING, FLOOR, Circumstances
from simulation.spec import EffectSpec, WorldSpec
from simulation.value import expected_value, oracle_pmf, true_value, uniform_pmf, yardstick
from simulation.world import DEMO_SPEC, World
from tests.simulation.decisions import all_candidates, show

SMALL = WorldSpec(seed=8, n_profiles=80, n_titles=24)


def around(
    n: int, *, familiar: bool = False, row: int = 0, device: int = 0, hour: int = 12, day: int = 0
) -> Circumstances:
    return Circumstances(*(np.full(n, value) for value in (device, hour, row, familiar, day)))


def chances(world: World, profile: int, title: int, circumstances: Circumstances) -> np.ndarray:
    artworks = np.arange(world.shelf.offsets[title], world.shelf.offsets[title + 1])
    return world.true_probability(
        np.array([profile]), np.array([title]), np.array([0, len(artworks)]), artworks, circumstances
    )


@pytest.mark.parametrize("seed", [DEMO_SPEC.seed, *range(12)])
def test_uniform_is_worse_than_best_artwork_is_worse_than_the_oracle_by_the_stated_figures(seed: int) -> None:
    offsets, artworks, truth = all_candidates(list(show(World(replace(DEMO_SPEC, seed=seed)), 1_000)))
    found = yardstick(offsets, artworks, truth)
    assert 0.17 < found.uniform < 0.24
    assert 0.15 < found.best_artwork_lift < 0.23
    assert 0.38 < found.oracle_lift < 0.52


@pytest.mark.parametrize("base", [1e-6, 0.13, 50.0])
def test_chances_stay_between_floor_and_ceiling(base: float) -> None:
    world = World(replace(SMALL, effects=EffectSpec(base=base)))
    _, _, truth = all_candidates(list(show(world, 200)))
    assert truth.min() >= FLOOR > 0.0
    assert truth.max() <= CEILING < 1.0


def test_artwork_matters_less_to_a_profile_that_knows_the_title() -> None:
    world = World(SMALL)
    spread = {}
    for familiar in (False, True):
        logs = [
            np.log(chances(world, profile, title, around(1, familiar=familiar)))
            for profile in range(SMALL.n_profiles)
            for title in range(SMALL.n_titles)
        ]
        spread[familiar] = np.mean([values.std() for values in logs])
    assert spread[True] < 0.9 * spread[False]


def test_a_return_raises_the_chance_where_the_artwork_says_nothing() -> None:
    world = World(replace(SMALL, effects=EffectSpec(style_new=0.0, style_familiar=0.0, familiar_lift=1.5)))
    new, back = (chances(world, 3, 4, around(1, familiar=familiar)) for familiar in (False, True))
    np.testing.assert_allclose(back / new, 1.5)


def test_a_lower_row_a_smaller_screen_and_a_quiet_hour_lower_the_chance() -> None:
    world = World(SMALL)
    best = chances(world, 1, 2, around(1, hour=21))
    for worse in (around(1, hour=21, row=3), around(1, hour=21, device=DEVICES.index("mobile")), around(1, hour=9)):
        assert (chances(world, 1, 2, worse) < best).all()


def test_truth_by_ids_is_truth_by_places() -> None:
    world = World(SMALL)
    shown = next(show(world, 20))
    visits, k = shown.visits, shown.visits.title.shape[1]
    known = np.arange(visits.n_decisions) % 3 == 0
    by_places = world.true_probability(
        np.repeat(visits.profile, k),
        visits.title.ravel(),
        shown.offsets,
        shown.artwork,
        replace(visits.circumstances(), familiar=known),
    )
    pages = list(visits.pages())
    ids = world.shelf.artwork_ids[shown.artwork]
    by_ids = world.probabilities(
        profile_ids=[page.profile_id for page in pages for _ in page.titles],
        title_ids=[asked.title_id for page in pages for asked in page.titles],
        actions=[tuple(ids[start:end]) for start, end in zip(shown.offsets, shown.offsets[1:], strict=False)],
        device=[page.context.device for page in pages for _ in page.titles],
        local_hour=[page.context.local_hour or 0 for page in pages for _ in page.titles],
        row=[asked.row for page in pages for asked in page.titles],
        familiar=known,
        at=np.repeat(visits.at, k),
    )
    np.testing.assert_array_equal(by_ids, by_places)


def test_the_best_artwork_of_a_profile_has_its_greatest_chance() -> None:
    world = World(SMALL)
    day = world.spec.change.n_days
    at = world.spec.first_day_at + timedelta(days=day)
    for profile, title in ((0, 0), (7, 11), (33, 23)):
        best = world.best_artwork(world.population.ids[profile], world.shelf.title_ids[title], at)
        values = chances(world, profile, title, around(1, day=day))
        assert best == world.shelf.artwork_ids[world.shelf.offsets[title] + int(np.argmax(values))]


def test_the_true_value_of_a_policy_is_the_mean_of_its_expected_chances() -> None:
    shown = next(show(World(SMALL), 30))
    n, m = len(shown.offsets) - 1, len(shown.artwork)
    batch = Batch(
        offsets=shown.offsets,
        profile_keys=keys_of(str(row) for row in range(n)),
        title_keys=keys_of(str(row) for row in range(n)),
        artwork_keys=keys_of(str(row) for row in shown.artwork),
        shared=np.zeros((n, len(SHARED)), dtype=np.float32),
        artworks=np.zeros((m, len(ARTWORK)), dtype=np.float32),
    )
    by_hand = np.mean([
        shown.truth[start:end].mean() for start, end in zip(shown.offsets, shown.offsets[1:], strict=False)
    ])
    assert true_value(UniformPolicy(), batch, shown.truth) == pytest.approx(by_hand, rel=1e-12)
    assert expected_value(uniform_pmf(shown.offsets), shown.offsets, shown.truth) == pytest.approx(by_hand, rel=1e-12)
    best = np.maximum.reduceat(shown.truth, shown.offsets[:-1]).mean()
    oracle = expected_value(oracle_pmf(shown.offsets, shown.truth), shown.offsets, shown.truth)
    assert oracle == pytest.approx(best, rel=1e-12)
    with pytest.raises(ContractError, match="candidates"):
        true_value(UniformPolicy(), batch, shown.truth[:-1])
