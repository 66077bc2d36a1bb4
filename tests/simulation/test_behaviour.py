"""What visitors do agrees with the truth, and what devices report agrees with what visitors did."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from models.event import Delivery, Impression, Play
from models.reward import QUALITY_RULES
from simulation.behaviour import respond
from simulation.report import Reports, count_reports, events_of, reports_of
from simulation.spec import DeviceSpec, WorldSpec
from simulation.world import DEMO_SPEC, World
from tests.simulation.decisions import Shown, show

SPEC = WorldSpec(seed=9, n_profiles=400, n_titles=40)


@pytest.fixture(scope="module")
def shown() -> list[Shown]:
    return list(show(World(SPEC), 2_500))


@pytest.fixture(scope="module")
def reports(shown: list[Shown]) -> Reports:
    first = np.cumsum([0, *(part.visits.n_decisions for part in shown)])
    return Reports.concatenate([
        reports_of(part.visits, part.response, int(place)) for part, place in zip(shown, first, strict=False)
    ])


def events(shown: list[Shown], reports: Reports) -> list[Impression | Play]:
    world = shown[0].visits.world
    n = sum(part.visits.n_decisions for part in shown)
    return list(events_of(reports, [f"d{place}" for place in range(n)], world.population.ids, world.shelf.title_ids))


@pytest.mark.parametrize("seed", range(4))
def test_the_simulated_take_fraction_agrees_with_the_truth_within_sampling_error(seed: int) -> None:
    parts = list(show(World(replace(DEMO_SPEC, seed=seed)), 2_500))
    seen = np.concatenate([part.response.seen for part in parts])
    chance = np.concatenate([part.truth[part.chosen] for part in parts])[seen]
    quality = np.concatenate([part.response.quality for part in parts])[seen]
    deviation = (quality.sum() - chance.sum()) / np.sqrt((chance * (1 - chance)).sum())
    assert abs(deviation) < 4.0


def test_quality_plays_are_calibrated_at_every_level_of_chance(shown: list[Shown]) -> None:
    seen = np.concatenate([part.response.seen for part in shown])
    chance = np.concatenate([part.truth[part.chosen] for part in shown])[seen]
    quality = np.concatenate([part.response.quality for part in shown])[seen].astype(float)
    tenth = np.searchsorted(np.quantile(chance, np.linspace(0.1, 0.9, 9)), chance)
    excess = np.bincount(tenth, weights=quality - chance)
    variance = np.bincount(tenth, weights=chance * (1 - chance))
    chi_square = (excess**2 / variance).sum()
    assert chi_square < 29.6  # the .999 quantile of chi-square with 10 degrees of freedom


def test_the_same_pages_shown_the_same_artwork_get_the_same_response(shown: list[Shown]) -> None:
    part = shown[0]
    again = respond(part.visits, part.artwork[part.chosen], part.truth[part.chosen])
    for name in type(again).__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(part.response, name))


def test_better_artwork_loses_no_visitor_that_worse_artwork_would_have_won(shown: list[Shown]) -> None:
    part = shown[0]
    better = respond(part.visits, part.artwork[part.chosen], np.minimum(part.truth[part.chosen] * 1.5, 1.0))
    assert (better.quality >= part.response.quality).all()
    assert better.quality.sum() > part.response.quality.sum()


def test_upper_rows_are_seen_more_and_some_decisions_never(shown: list[Shown]) -> None:
    row = np.concatenate([part.visits.row for part in shown])
    seen = np.concatenate([part.response.seen for part in shown])
    by_row = [seen[row == place].mean() for place in range(4)]
    spec = SPEC.devices
    np.testing.assert_allclose(by_row, [spec.seen_first_row * spec.seen_decay**place for place in range(4)], atol=0.02)


def test_nobody_plays_what_was_not_seen(shown: list[Shown]) -> None:
    for part in shown:
        assert not (part.response.started & ~part.response.seen).any()
        assert not (part.response.quality & ~part.response.started).any()


def test_clickbait_has_many_starts_and_few_quality_plays(shown: list[Shown]) -> None:
    world = shown[0].visits.world
    artwork = np.concatenate([part.artwork[part.chosen] for part in shown])
    seen = np.concatenate([part.response.seen for part in shown])
    left = np.concatenate([part.response.started & ~part.response.quality for part in shown])
    bait = world.shelf.clickbait[artwork]
    assert 0 < bait.mean() < 0.3
    assert left[bait & seen].mean() > 2 * left[~bait & seen].mean()
    started = np.concatenate([part.response.started for part in shown])
    assert started[bait & seen].mean() > 1.3 * started[~bait & seen].mean()
    # Less liked than the same title's other artworks, page by page.
    relative = [part.truth * np.repeat(np.diff(part.offsets), np.diff(part.offsets)) for part in shown]
    relative = [
        values / np.repeat(np.add.reduceat(part.truth, part.offsets[:-1]), np.diff(part.offsets))
        for values, part in zip(relative, shown, strict=True)
    ]
    candidates = np.concatenate([part.artwork for part in shown])
    liked = np.concatenate(relative)
    is_bait = world.shelf.clickbait[candidates]
    assert liked[is_bait].mean() < 0.97 * liked[~is_bait].mean()


def test_quality_plays_and_only_they_pass_the_projects_rule(shown: list[Shown], reports: Reports) -> None:
    rule = QUALITY_RULES["quality-play-1"]
    quality = np.concatenate([part.response.quality for part in shown])
    plays = [event for event in events(shown, reports) if isinstance(event, Play)]
    assert len(plays) > 1_000
    for play in plays:
        passes = play.minutes >= rule.minutes or play.completion >= rule.completion
        assert passes == quality[int(play.play_id.removeprefix("d").removesuffix("-play"))]


def test_duplicates_late_lost_and_cached_reports_have_the_shares_of_the_spec(
    shown: list[Shown], reports: Reports
) -> None:
    spec = SPEC.devices
    n_seen = sum(int(part.response.seen.sum()) for part in shown)
    n_started = sum(int(part.response.started.sum()) for part in shown)
    once = reports.take(~reports.copied)
    within = 5 / np.sqrt(len(reports))
    assert len(np.unique((once.decision * 2 + once.is_play) * 2 + once.again)) == len(once)
    assert len(once) == pytest.approx(n_seen * (1 + spec.repeated_share) + n_started, rel=0.01)
    assert reports.copied.sum() / len(once) == pytest.approx(spec.duplicate_share, abs=within)
    assert reports.lost.mean() == pytest.approx(spec.lost_share, abs=within)
    assert reports.cached[~reports.is_play].mean() == pytest.approx(spec.cached_share + spec.repeated_share, abs=within)
    ended_at = reports.happened_at - reports.clock
    ended_at = ended_at + (60e6 * reports.minutes * reports.is_play).astype("timedelta64[us]")
    delay_minutes = (reports.received_at - ended_at) / np.timedelta64(60_000_000, "us")
    assert delay_minutes.min() > -0.001
    assert reports.late.mean() == pytest.approx(spec.late_share, abs=within)
    assert delay_minutes[reports.late].min() > spec.late_minutes[0]
    assert delay_minutes[~reports.late & ~reports.copied].max() < 2
    assert delay_minutes.max() < 2 * spec.late_minutes[1] + 2


def test_cached_artwork_is_seen_hours_to_days_after_the_decision(shown: list[Shown], reports: Reports) -> None:
    decided_at = np.concatenate([np.repeat(part.visits.at, part.visits.title.shape[1]) for part in shown])
    waited = (reports.happened_at - reports.clock - decided_at[reports.decision]) / np.timedelta64(3_600_000_000, "us")
    low, high = SPEC.devices.cached_hours
    kept = waited[reports.cached & ~reports.again]
    assert kept.min() >= low
    assert kept.max() <= high + 0.1
    assert 0.15 < (kept > 24.0).mean() < 0.4
    assert waited[~reports.cached & ~reports.is_play].max() < 0.1


def test_a_few_devices_have_a_clock_that_is_always_off_by_the_same(shown: list[Shown], reports: Reports) -> None:
    spec = SPEC.devices
    device = np.concatenate([part.visits.per_decision(part.visits.device) for part in shown])[reports.decision]
    of_device: dict[tuple[int, int], set[int]] = {}
    for profile, place, clock in zip(reports.profile, device, reports.clock.astype(np.int64), strict=True):
        of_device.setdefault((int(profile), int(place)), set()).add(int(clock))
    assert {len(clocks) for clocks in of_device.values()} == {1}
    off = np.array([next(iter(clocks)) / 60e6 for clocks in of_device.values()])
    wrong = np.abs(off[off != 0])
    assert len(wrong) / len(off) == pytest.approx(spec.clock_off_share, abs=5 * np.sqrt(0.02 / len(off)))
    assert (off > 0).any()
    assert (off < 0).any()
    assert wrong.min() >= spec.clock_off_minutes[0]
    assert wrong.max() <= spec.clock_off_minutes[1]


def test_counts_tell_what_happened_and_what_the_platform_heard_of_it(shown: list[Shown], reports: Reports) -> None:
    counts = count_reports(reports)
    n_started = sum(int(part.response.started.sum()) for part in shown)
    assert counts.n_plays + counts.n_lost_plays == n_started
    assert counts.n_lost_plays > 0
    found = events(shown, reports.received())
    assert len({event.play_id for event in found if isinstance(event, Play)}) == counts.n_plays
    sights = {(event.decision_id, event.seen_at) for event in found if isinstance(event, Impression)}
    assert len(sights) == counts.n_impressions
    assert len(found) == counts.n_impressions + counts.n_plays + repeats(reports.received())
    assert 0 < counts.n_late < len(found) / 10
    assert 0 < counts.n_clock_off < len(found) / 10
    assert counts.n_cached > counts.n_duplicates > 0


def repeats(reports: Reports) -> int:
    """Count the reports that say what another one has said."""
    return len(reports) - len(np.unique((reports.decision * 2 + reports.is_play) * 2 + reports.again))


def test_reports_become_valid_records_that_tell_what_happened(shown: list[Shown], reports: Reports) -> None:
    found = events(shown, reports)
    seen = np.concatenate([part.response.seen for part in shown])
    impressions = [event for event in found if isinstance(event, Impression)]
    assert {event.decision_id for event in impressions} == {f"d{place}" for place in np.flatnonzero(seen)}
    assert {event.delivery for event in impressions} == {Delivery.FRESH, Delivery.CACHED}
    right = events(shown, reports.take((reports.clock == np.timedelta64(0, "us")) & ~reports.is_play))
    assert all(event.received_at >= event.seen_at for event in right if isinstance(event, Impression))


def test_every_play_starts_after_a_sight_of_its_title_and_before_the_next_one(
    shown: list[Shown], reports: Reports
) -> None:
    """Last-touch attribution must find the decision that a play came from, all but a few cached collisions."""
    decision_of = {}
    sights: dict[tuple[int, int], list[tuple[datetime, int]]] = {}
    for at, profile, title, decision, is_play in zip(
        reports.happened_at.tolist(),
        reports.profile.tolist(),
        reports.title.tolist(),
        reports.decision.tolist(),
        reports.is_play.tolist(),
        strict=True,
    ):
        if is_play:
            decision_of[decision] = (profile, title, at)
        else:
            sights.setdefault((profile, title), []).append((at, decision))
    wrong = Counter(
        max(sight for sight in sights[profile, title] if sight[0] <= at)[1] != decision
        for decision, (profile, title, at) in decision_of.items()
    )
    assert wrong[False] > 1_000
    assert wrong[True] / wrong[False] < 0.001


def test_devices_that_do_nothing_wrong_report_everything_once() -> None:
    clean = DeviceSpec(
        duplicate_share=0.0,
        late_share=0.0,
        cached_share=0.0,
        repeated_share=0.0,
        lost_share=0.0,
        clock_off_share=0.0,
    )
    part = next(show(World(replace(SPEC, devices=clean)), 200))
    found = reports_of(part.visits, part.response)
    assert len(found) == part.response.seen.sum() + part.response.started.sum()
    assert not (found.cached | found.lost | found.late | found.copied).any()
    assert not found.clock.astype(np.int64).any()
