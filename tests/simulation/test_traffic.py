"""Who comes when, and what is on their pages."""

import itertools
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from models.error import ContractError
from models.interval import Interval
from simulation.spec import WorldSpec
from simulation.traffic import HOUR_WEIGHT, PageVisit, day, pages_in
from simulation.world import World
from tests.simulation.decisions import first_day

SPEC = WorldSpec(seed=4, n_profiles=300, n_titles=40)


def pages(world: World, interval: Interval, n_pages: int) -> list[PageVisit]:
    return [page for visits in day(world, interval, n_pages, world.new_ledger()) for page in visits.pages()]


def test_the_same_interval_brings_the_same_pages_and_another_one_others() -> None:
    world = World(SPEC)
    monday = first_day(world)
    tuesday = Interval(monday.end_at, monday.end_at + timedelta(days=1))
    first = pages(world, monday, 700)
    assert first == pages(World(SPEC), monday, 700)
    assert [page.profile_id for page in first] != [page.profile_id for page in pages(world, tuesday, 700)]


def test_pages_are_numbered_in_time_order_and_lie_in_their_interval() -> None:
    world = World(SPEC)
    hour = Interval.parse("20261102T130000Z", hours=1)
    found = pages(world, hour, 600)
    assert len(found) == 600
    assert [page.number for page in found] == list(range(600))
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(found))
    assert hour.start_at <= found[0].at
    assert found[-1].at < hour.end_at


def test_pages_of_one_profile_lie_minutes_apart() -> None:
    seen: dict[str, list[PageVisit]] = {}
    for page in pages(World(SPEC), first_day(World(SPEC)), 3_000):
        seen.setdefault(page.profile_id, []).append(page)
    gaps = [
        (later.at - earlier.at).total_seconds()
        for visits in seen.values()
        for earlier, later in itertools.pairwise(visits)
    ]
    assert len(gaps) > 1_000
    assert min(gaps) >= 299.0


def test_a_page_holds_launched_titles_once_each_in_rows_with_finite_scores() -> None:
    world = World(SPEC)
    catalogue = world.catalogue()
    for page in pages(world, first_day(world), 50):
        ids = [asked.title_id for asked in page.titles]
        assert len(set(ids)) == len(ids) == SPEC.page_titles
        assert all(catalogue.titles[title_id].launched_at <= page.at for title_id in ids)
        places = [(asked.row, asked.column) for asked in page.titles]
        assert places == [(place // SPEC.row_width, place % SPEC.row_width) for place in range(len(ids))]
        assert np.isfinite([asked.score for asked in page.titles]).all()


def test_local_time_follows_the_country() -> None:
    world = World(SPEC)
    people = world.population
    for page in pages(world, first_day(world), 100):
        offset = people.utc_offset_hours[people.countries.index(page.context.country)]
        local = page.at + timedelta(hours=int(offset))
        assert (page.context.local_hour, page.context.day_of_week) == (local.hour, local.weekday())


def test_active_profiles_come_more_often_and_evenings_are_busier() -> None:
    world = World(replace(SPEC, n_profiles=100))
    found = pages(world, first_day(world), 5_000)
    places = world.profile_places(page.profile_id for page in found)
    visits = np.bincount(places, minlength=100)
    assert np.corrcoef(visits, world.population.activity)[0, 1] > 0.8
    hours = np.bincount([page.context.local_hour or 0 for page in found], minlength=24)
    assert np.corrcoef(hours, HOUR_WEIGHT)[0, 1] > 0.9


def test_profiles_get_titles_that_suit_them() -> None:
    world = World(SPEC)
    fit = world.tastes.on(0) @ world.shelf.about.T
    on_page = [
        np.take_along_axis(fit[visits.profile], visits.title, axis=1).mean()
        for visits in day(world, first_day(world), 500, world.new_ledger())
    ]
    assert np.mean(on_page) > 1.2 * fit[:, : SPEC.n_titles].mean()


def test_more_pages_than_the_profiles_can_open_are_refused() -> None:
    world = World(replace(SPEC, n_profiles=2))
    with pytest.raises(ContractError, match="cannot open"):
        list(day(world, Interval.parse("20261102T130000Z", hours=1), 100, world.new_ledger()))


def test_a_world_without_launched_titles_says_so() -> None:
    world = World(SPEC)
    with pytest.raises(ContractError, match="no title is launched"):
        next(day(world, Interval.parse("19000101T000000Z", hours=24), 10, world.new_ledger()))


def test_the_pages_of_a_days_intervals_add_up_to_the_days_pages() -> None:
    whole = Interval.parse("20261101T000000Z", hours=24)
    assert pages_in(whole, 1_000) == 1_000
    assert sum(pages_in(hour, 1_000) for hour in whole.split(hours=1)) == 1_000


def test_familiar_titles_are_those_in_the_ledger() -> None:
    world = World(SPEC)
    ledger = world.new_ledger().with_plays(np.repeat(np.arange(300), 20), np.tile(np.arange(20), 300))
    visits = next(day(world, first_day(world), 10, ledger))
    np.testing.assert_array_equal(visits.familiar, visits.title < 20)
