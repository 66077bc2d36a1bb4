"""The world is the same for the same spec, and the platform is told nothing that it may not know."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.error import ContractError
from models.interval import Interval
from models.layout import DEVICES, GENRES
from simulation.population import GENRE_PULL, make_population
from simulation.response import DEVICE_FACTOR
from simulation.shelf import MOTIFS, make_shelf
from simulation.spec import ChangeSpec, DeviceSpec, WorldSpec
from simulation.traffic import day
from simulation.world import DEMO_SPEC, World

SMALL = WorldSpec(seed=5, n_profiles=60, n_titles=30)


def test_the_same_spec_makes_the_same_world() -> None:
    first, second = World(SMALL), World(SMALL)
    for mine, other in ((first.population, second.population), (first.shelf, second.shelf)):
        for name in type(mine).__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))


def test_another_seed_makes_another_world() -> None:
    other = replace(SMALL, seed=6)
    assert not np.array_equal(make_population(SMALL).taste, make_population(other).taste)
    assert not np.array_equal(make_shelf(SMALL).popularity, make_shelf(other).popularity)


def test_more_profiles_leave_the_shelf_as_it_was() -> None:
    np.testing.assert_array_equal(make_shelf(SMALL).appeal, make_shelf(replace(SMALL, n_profiles=99)).appeal)


def test_tables_that_follow_the_layout_have_a_line_for_each_of_its_names() -> None:
    assert len(GENRE_PULL) == len(GENRES)
    assert set(MOTIFS) == set(GENRES)
    assert len(DEVICE_FACTOR) == len(DEVICES)


def test_each_profile_likes_a_few_genres_and_tastes_have_length_one() -> None:
    taste = make_population(DEMO_SPEC).taste
    np.testing.assert_allclose(np.linalg.norm(taste, axis=1), 1.0)
    liked = (taste[:, : len(GENRES)] > 0.2).sum(axis=1)
    assert set(liked) == {2, 3}


def test_titles_have_one_to_three_genres_and_as_many_artworks_as_the_spec_allows() -> None:
    shelf = make_shelf(DEMO_SPEC)
    assert set((shelf.about[:, : len(GENRES)] > 0).sum(axis=1)) == {1, 2, 3}
    counts = np.diff(shelf.offsets)
    assert counts.min() >= 2
    assert 20 < counts.max() <= 30
    assert len(set(shelf.title_names)) == len(shelf.title_ids)


def test_the_catalogue_tells_every_title_and_artwork_with_one_default_each() -> None:
    world = World(SMALL)
    catalogue = world.catalogue()
    assert list(catalogue.titles) == list(world.shelf.title_ids)
    assert list(catalogue.artworks) == list(world.shelf.artwork_ids)
    for title_id, artworks in catalogue.artworks_of.items():
        assert [artwork.is_default for artwork in artworks].count(True) == 1
        default = catalogue.artworks[catalogue.default_of(title_id)]
        assert default.launched_at == catalogue.titles[title_id].launched_at
        assert all(artwork.launched_at >= catalogue.titles[title_id].launched_at for artwork in artworks)


def test_titles_and_artworks_launch_through_all_days_of_the_world_at_the_rates_of_the_spec() -> None:
    spec = replace(SMALL, change=ChangeSpec(n_days=200, titles_per_day=0.5, artworks_per_day=2.0))
    shelf = make_shelf(spec)
    start = np.datetime64(spec.first_day_at.replace(tzinfo=None), "us")
    title_day = (shelf.title_launched_at - start) // np.timedelta64(1, "D")
    artwork_day = (shelf.artwork_launched_at - start) // np.timedelta64(1, "D")
    assert (title_day < 0).sum() == spec.n_titles
    assert (np.diff(title_day[spec.n_titles :]) >= 0).all()
    assert (title_day >= 0).sum() == pytest.approx(100, abs=4 * 10)
    added = (artwork_day >= 0) & (shelf.artwork_launched_at > shelf.title_launched_at[shelf.title_of])
    assert added.sum() == pytest.approx(400, abs=4 * 20)
    for first in range(0, 200, 50):
        assert (added & (artwork_day >= first) & (artwork_day < first + 50)).sum() > 50
    assert artwork_day.max() < 200


def test_a_longer_world_begins_with_all_that_a_shorter_one_has() -> None:
    days = 20
    short, long = (World(replace(SMALL, change=ChangeSpec(n_days=n))) for n in (days, 90))
    mine, other = short.catalogue(), long.catalogue()
    assert len(other.titles) > len(mine.titles)
    assert len(other.artworks) > len(mine.artworks)
    for title_id, title in mine.titles.items():
        assert other.titles[title_id] == title
        known = mine.artworks_of[title_id]
        assert other.artworks_of[title_id][: len(known)] == known
    end = SMALL.first_day_at + timedelta(days=days)
    assert not [a for a in other.artworks.values() if a.artwork_id not in mine.artworks and a.launched_at < end]
    last_day = Interval(end - timedelta(days=1), end)
    pages = [[page for part in day(w, last_day, 60, w.new_ledger()) for page in part.pages()] for w in (short, long)]
    assert pages[0] == pages[1]


def test_a_title_never_has_more_artworks_than_the_spec_allows() -> None:
    change = ChangeSpec(n_days=60, artworks_per_day=40.0)
    shelf = make_shelf(replace(SMALL, artworks_per_title=(2, 5), change=change))
    assert np.diff(shelf.offsets).max() == 5


def test_candidates_are_what_the_catalogue_calls_eligible() -> None:
    world = World(SMALL)
    catalogue = world.catalogue()
    at = datetime(2026, 11, 4, 12, tzinfo=UTC)
    titles = np.arange(len(world.shelf.title_ids))
    moments = np.full(len(titles), np.datetime64(at.replace(tzinfo=None), "us"))
    offsets, artworks = world.candidates(titles, moments)
    for place, title_id in enumerate(world.shelf.title_ids):
        mine = world.shelf.artwork_ids[artworks[offsets[place] : offsets[place + 1]]]
        assert [artwork.artwork_id for artwork in catalogue.eligible(title_id, at)] == list(mine)


def test_an_id_of_another_world_is_named_in_the_error() -> None:
    with pytest.raises(ContractError, match=r"title_id.*'nowhere'"):
        World(SMALL).title_places(["nowhere"])


@pytest.mark.parametrize(
    "change",
    [{"artworks_per_title": (5, 3)}, {"n_profiles": 0}, {"seed": -1}, {"page_titles": 0}],
)
def test_a_spec_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        replace(SMALL, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"drift_per_day": -1.0}, {"season_swing": 1.0}, {"taste_change_share": 2.0}, {"titles_per_day": -0.5}]
)
def test_changes_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        replace(ChangeSpec(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"late_share": 1.5}, {"cached_hours": (9.0, 1.0)}])
def test_devices_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        replace(DeviceSpec(), **change)  # type: ignore[arg-type]
