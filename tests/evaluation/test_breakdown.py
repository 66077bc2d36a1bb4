"""Segments, days and tastes: what is told apart adds up to the whole, and its intervals hold the truth."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation import group, segment
from evaluation.evaluation import evaluate
from evaluation.interval import clustered
from evaluation.record import Evaluation, SegmentResult
from evaluation.score import Ratio, pool
from evaluation.segment import CountryCount
from evaluation.taste import UNKNOWN
from models.batch import LoggedBatch
from models.layout import SHARED, TASTES
from models.policy import UniformPolicy
from models.vector import log_scaled
from tests.evaluation.world import TasteFirst, World, make_world, split

POLICIES = {"uniform": UniformPolicy(), "taste": TasteFirst(0.1)}
DAYS = np.array([2.0, 10.0, 100.0, 1000.0])
IMPRESSIONS = np.array([0.0, 20.0, 100.0, 5000.0])


def varied(world: World, rng: np.random.Generator) -> World:
    """Give decisions devices, countries, title ages, activity and earlier interaction of every kind."""
    logged = world.logged
    n = len(logged)
    shared = logged.batch.shared.copy()
    shared[:, SHARED.index("familiarity/seen_before")] = rng.integers(0, 2, n)
    shared[:, SHARED.index("title/log_artworks")] = log_scaled(4.0)
    shared[:, SHARED.index("title/log_age_days")] = log_scaled(rng.choice(DAYS, n))
    shared[:, SHARED.index("profile/log_impressions")] = log_scaled(rng.choice(IMPRESSIONS, n))
    return World(
        replace(
            logged,
            batch=replace(logged.batch, shared=shared),
            device=rng.choice(np.array(["tv", "mobile", "Web", "fridge"], dtype=object), n),
            country=rng.choice(np.array(["NL", "BR", "US", ""], dtype=object), n, p=[0.5, 0.3, 0.1, 0.1]),
        ),
        world.truth,
        world.logging_pmf,
    )


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(31)
    return varied(make_world(rng, n_profiles=500, per_profile=6, ragged=True), rng)


@pytest.fixture(scope="module")
def evaluation(world: World) -> Evaluation:
    return evaluate(POLICIES, world.batches(700), champion="uniform")


def by_dimension(evaluation: Evaluation) -> dict[str, list[SegmentResult]]:
    found: dict[str, list[SegmentResult]] = {}
    for result in evaluation.comparison("taste").segments:
        found.setdefault(result.dimension, []).append(result)
    return found


def test_every_decision_is_in_one_segment_of_each_dimension_and_they_add_up_to_the_whole(
    evaluation: Evaluation,
) -> None:
    difference = evaluation.comparison("taste").difference
    assert difference is not None
    dimensions = by_dimension(evaluation)
    assert list(dimensions) == ["earlier interaction", "device", "country", "title age", "profile activity"]
    for results in dimensions.values():
        assert sum(result.n_decisions for result in results) == evaluation.log.n_decisions
        total = 0.0
        for result in results:
            assert result.difference is not None
            total += result.n_decisions * result.difference.value
        assert total / evaluation.log.n_decisions == pytest.approx(difference.value)


def test_segments_are_those_of_the_log(evaluation: Evaluation, world: World) -> None:
    dimensions = by_dimension(evaluation)
    names = {name: [result.name for result in results] for name, results in dimensions.items()}
    assert names["earlier interaction"] == ["none", "some"]
    assert names["device"] == ["tv", "mobile", "web", "other"]
    assert names["country"] == ["NL", "BR", "US", "unknown"]
    assert names["title age"] == ["under 7 days", "7 to 27 days", "28 to 364 days", "a year or more"]
    assert names["profile activity"][0] == "nothing seen"
    assert len(names["profile activity"]) == 4
    seen = world.logged.batch.shared[:, SHARED.index("familiarity/seen_before")] > 0
    some = dimensions["earlier interaction"][1]
    assert some.n_decisions == seen.sum()
    assert some.n_profiles == len(np.unique(world.logged.batch.profile_keys[seen]))


def test_a_segments_interval_is_that_of_its_decisions_alone(world: World) -> None:
    """With the same reward model, a segment says what its decisions would say by themselves."""
    alone = world.logged.take(np.flatnonzero(world.logged.country == "NL"))

    class Fixed:
        def predict(self, batch):  # type: ignore[no-untyped-def]
            return np.full(len(batch.artwork_keys), 0.2)

    def one(logged: LoggedBatch) -> Evaluation:
        def fit(batches):  # type: ignore[no-untyped-def]
            assert sum(len(each) for each in batches)
            return Fixed()

        return evaluate(POLICIES, lambda: iter([logged]), champion="uniform", fit=fit)

    inside = next(result for result in one(world.logged).comparison("taste").segments if result.name == "NL")
    outside = one(alone).comparison("taste").difference
    assert inside.difference is not None
    assert outside is not None
    assert inside.difference.value == pytest.approx(outside.value)
    assert inside.difference.standard_error == pytest.approx(outside.standard_error, rel=0.1)


def test_simultaneous_bounds_are_wider_than_each_alone(evaluation: Evaluation) -> None:
    for result in evaluation.comparison("taste").segments:
        assert result.difference is not None
        assert result.low is not None
        assert result.high is not None
        assert result.low < result.difference.low < result.difference.high < result.high


def test_all_segments_hold_the_truth_at_once_at_their_rate() -> None:
    """The truth of a segment's mean difference is known decision by decision."""
    rng, n_runs, held, alone = np.random.default_rng(77), 150, 0, 0
    for _ in range(n_runs):
        world = varied(make_world(rng, n_profiles=250, per_profile=4, ragged=True), rng)
        batch, logged = world.logged.batch, world.logged
        gap = (TasteFirst(0.1).pmf(batch) - UniformPolicy().pmf(batch)) * world.truth
        by_decision = np.add.reduceat(gap, batch.offsets[:-1])
        evaluation = evaluate(POLICIES, world.batches(), champion="uniform")
        inside = [True, True]
        masks = {
            ("country", "NL"): logged.country == "NL",
            ("country", "BR"): logged.country == "BR",
            ("country", "US"): logged.country == "US",
            ("device", "tv"): logged.device == "tv",
            ("device", "mobile"): logged.device == "mobile",
            ("device", "other"): logged.device == "fridge",
            ("earlier interaction", "none"): batch.shared[:, SHARED.index("familiarity/seen_before")] == 0,
        }
        for result in evaluation.comparison("taste").segments:
            mask = masks.get((result.dimension, result.name))
            if mask is None or result.difference is None or result.low is None or result.high is None:
                continue
            truth = by_decision[mask].mean()
            inside[0] &= result.low <= truth <= result.high
            inside[1] &= result.difference.low <= truth <= result.difference.high
        held, alone = held + inside[0], alone + inside[1]
    # at least 0.95 is promised; four standard errors of 150 runs are 0.07
    assert held / n_runs >= 0.88
    # and the plain intervals would not do
    assert alone / n_runs < 0.88


def test_a_segment_of_a_handful_of_profiles_has_no_interval() -> None:
    rng = np.random.default_rng(3)
    world = make_world(rng, n_profiles=200)
    rare = np.isin(world.logged.batch.profile_keys, np.unique(world.logged.batch.profile_keys)[:5])
    logged = replace(world.logged, country=np.where(rare, "LU", world.logged.country).astype(object))
    found = {
        result.name: result
        for result in evaluate(POLICIES, lambda: iter([logged]), champion="uniform").comparison("taste").segments
        if result.dimension == "country"
    }
    assert (found["LU"].n_profiles, found["LU"].difference, found["LU"].low) == (5, None, None)
    assert found["NL"].difference is not None


def test_countries_beyond_the_commonest_are_one_segment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MAX_COUNTRIES", 2)
    one = evaluate(POLICIES, world.batches(100), champion="uniform")
    other = evaluate(POLICIES, lambda: reversed(list(split(world.logged, 900))), champion="uniform")
    for evaluation in (one, other):
        countries = {result.name: result.n_decisions for result in by_dimension(evaluation)["country"]}
        assert list(countries) == ["NL", "BR", "other", "unknown"]
        assert countries["other"] == (world.logged.country == "US").sum()


def test_the_count_of_countries_stays_bounded(world: World) -> None:
    count = CountryCount()
    for start in range(30):
        names = [f"junk-{start}-{row}" for row in range(len(world.logged) // 2)]
        names += ["NL"] * (len(world.logged) - len(names))
        count.add(replace(world.logged, country=np.array(names, dtype=object)))
    assert len(count._counts) <= segment._MAX_NAMES
    assert count.top()[0] == "NL"


def test_days_have_intervals_clustered_by_profile(evaluation: Evaluation, world: World) -> None:
    day_of = world.logged.decided_at.astype("datetime64[D]").astype(str)
    for day, mine in zip(evaluation.log.days, evaluation.policy("uniform").days, strict=True):
        rows = np.flatnonzero(day_of == day.day)
        estimate = clustered(pool((Ratio(world.logged.reward[rows]),)), world.logged.batch.profile_keys[rows])
        assert day.low == pytest.approx(estimate.low, abs=0.1 * estimate.standard_error)
        assert day.high == pytest.approx(estimate.high, abs=0.1 * estimate.standard_error)
        # the log was uniform within each decision, so that its own policy replays it
        assert mine.take_fraction == pytest.approx(day.take_fraction)
        assert mine.low is not None
    assert sum(day.n_matched for day in evaluation.policy("taste").days) == pytest.approx(
        evaluation.policy("taste").n_matched
    )


def test_a_day_of_one_profile_has_no_interval(world: World) -> None:
    mine = np.flatnonzero(world.logged.batch.profile_keys == world.logged.batch.profile_keys[0])
    others = np.flatnonzero(world.logged.batch.profile_keys != world.logged.batch.profile_keys[0])
    rows = np.concatenate((mine, others))
    logged = world.logged.take(rows)
    at = np.where(
        np.arange(len(rows)) < len(mine), np.datetime64("2026-10-01", "us"), np.datetime64("2026-10-02", "us")
    )
    days = evaluate(POLICIES, lambda: iter([replace(logged, decided_at=at)]), champion="uniform").log.days
    assert days[0].day == "2026-10-01"
    assert (days[0].low, days[0].high) == (None, None)
    assert days[1].low is not None


def test_tastes_say_which_styles_each_policy_shows(evaluation: Evaluation, world: World) -> None:
    batch = world.logged.batch
    mixes = {mix.taste: mix for mix in evaluation.policy("taste").tastes}
    assert set(mixes) == set(TASTES[:4])
    assert sum(mix.n_decisions for mix in mixes.values()) == len(world.logged)
    pmf = TasteFirst(0.1).pmf(batch)
    for place, name in enumerate(TASTES[:4]):
        mix = mixes[name]
        assert sum(mix.shares.values()) == pytest.approx(1)
        mine = batch.shared[batch.owner, place] > 0
        shown = pmf[mine & (batch.artworks[:, place] > 0)].sum() / mix.n_decisions
        assert mix.shares[name] == pytest.approx(shown)
        base = next(other for other in evaluation.policy("uniform").tastes if other.taste == name)
        assert mix.shares[name] > base.shares[name] + 0.2
    counts = [mix.n_decisions for mix in evaluation.policy("taste").tastes]
    assert counts == sorted(counts, reverse=True)


def test_profiles_and_artworks_without_a_taste_are_unknown(world: World) -> None:
    shared = world.logged.batch.shared.copy()
    shared[:, : len(TASTES)] = 0
    plain = replace(world.logged, batch=replace(world.logged.batch, shared=shared))
    mixes = evaluate(POLICIES, lambda: iter([plain]), champion="uniform").policy("uniform").tastes
    assert [mix.taste for mix in mixes] == [UNKNOWN]


def test_groups_are_whole_profiles_and_even(world: World) -> None:
    keys = np.unique(np.random.default_rng(0).integers(0, 2**63, 200_000).astype(np.uint64))
    counts = np.bincount(group.group_of(keys), minlength=group.N_GROUPS)
    assert len(counts) == group.N_GROUPS
    assert counts.min() > 100
    assert counts.max() < 300
