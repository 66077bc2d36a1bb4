"""Taste drifts, changes and has its seasons, by the seed and the day alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from models.layout import GENRES
from simulation.response import Circumstances
from simulation.spec import ChangeSpec, WorldSpec
from simulation.taste import PEAK_DAY
from simulation.traffic import day
from simulation.world import World
from tests.simulation.decisions import first_day

SPEC = WorldSpec(seed=3, n_profiles=200, n_titles=30)
STILL = ChangeSpec(drift_per_day=0.0, season_swing=0.0, titles_per_day=0.0, artworks_per_day=0.0)


def world(**change: object) -> World:
    return World(replace(SPEC, change=replace(STILL, **change)))  # type: ignore[arg-type]


def test_without_drift_and_season_taste_stays_what_it_was() -> None:
    still = world()
    np.testing.assert_allclose(still.tastes.on(60), still.population.taste)


def test_taste_drifts_slowly_and_at_the_stated_pace() -> None:
    drifting = world(drift_per_day=0.01)
    likeness = [float((drifting.tastes.on(0) * drifting.tastes.on(at)).sum(axis=1).mean()) for at in (0, 1, 10, 50, 99)]
    strangers = float((drifting.tastes.on(0) * np.roll(drifting.tastes.on(0), 1, axis=0)).sum(axis=1).mean())
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[1] > 0.999
    assert likeness[4] - strangers < 0.25 * (1.0 - strangers)
    np.testing.assert_allclose(np.linalg.norm(drifting.tastes.on(99), axis=1), 1.0)


def test_taste_depends_on_seed_and_day_and_not_on_what_was_asked_before() -> None:
    one, other = world(drift_per_day=0.02), world(drift_per_day=0.02)
    for at in (80, 3, 40):
        one.tastes.on(at)
    np.testing.assert_array_equal(one.tastes.on(7), other.tastes.on(7))


def test_a_taste_change_comes_on_its_day_for_its_share_of_the_profiles_and_stays() -> None:
    changing = world(taste_change_day=5, taste_change_share=0.4)
    np.testing.assert_array_equal(changing.tastes.on(4), changing.tastes.on(0))
    moved = np.abs(changing.tastes.on(5) - changing.tastes.on(4)).max(axis=1) > 1e-9
    assert 0.25 < moved.mean() < 0.55
    np.testing.assert_array_equal(changing.tastes.on(30), changing.tastes.on(5))


def test_genres_are_liked_most_in_their_season_and_the_cast_has_none() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    seasonal = World(replace(SPEC, first_day_at=start, change=replace(STILL, season_swing=0.3)))
    by_day = np.array([seasonal.tastes.on(at).mean(axis=0) for at in range(0, 365, 5)])
    for name in ("romance", "horror", "family"):
        place = GENRES.index(name)
        away = abs(5 * int(np.argmax(by_day[:, place])) - PEAK_DAY[place])
        assert min(away, 365 - away) < 40
    relative = by_day.std(axis=0) / by_day.mean(axis=0)
    assert relative[len(GENRES) :].mean() < 0.4 * relative[: len(GENRES)].mean()


def test_many_profiles_on_many_days_get_each_the_taste_of_its_day() -> None:
    drifting = world(drift_per_day=0.05)
    profile, at = np.array([4, 9, 4, 0]), np.array([3, 0, 40, 3])
    expected = [drifting.tastes.on(int(d))[p] for p, d in zip(profile, at, strict=True)]
    np.testing.assert_array_equal(drifting.tastes.of(profile, at), expected)


def test_truth_and_best_artwork_follow_the_taste_of_the_day() -> None:
    changing = world(taste_change_day=2)
    start = SPEC.first_day_at
    before, after, later = (start + timedelta(days=at, hours=5) for at in (1, 2, 9))
    people, titles = changing.population.ids[:60], changing.shelf.title_ids[:30]
    best = {at: [changing.best_artwork(p, t, at) for p in people for t in titles] for at in (start, before, after)}
    assert best[start] == best[before]
    assert np.mean([one != other for one, other in zip(best[before], best[after], strict=True)]) > 0.1
    artwork = np.arange(changing.shelf.offsets[1])
    offsets = np.array([0, len(artwork)])

    def chance(at: datetime) -> list[float]:
        moment = np.array([at.replace(tzinfo=None)], dtype="datetime64[us]")
        zero = np.zeros(1, dtype=np.int64)
        around = Circumstances(zero, zero, zero, zero.astype(bool), changing.days(moment))
        return changing.true_probability(zero, zero, offsets, artwork, around).tolist()

    assert chance(start) == chance(before) != chance(after) == chance(later)


def test_a_page_has_the_day_of_its_moment() -> None:
    drifting = World(SPEC)
    first = first_day(drifting)
    for number in (0, 6):
        at = timedelta(days=number)
        later = type(first)(first.start_at + at, first.end_at + at)
        for visits in day(drifting, later, 30, drifting.new_ledger()):
            assert set(visits.day) == {number}
            np.testing.assert_array_equal(visits.circumstances().day, number)
