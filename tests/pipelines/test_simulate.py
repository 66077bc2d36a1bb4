"""Simulated traffic is what real traffic would be: decided by the scorer, logged in segments, whole or not at all."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.decision import Page
from models.error import ContractError
from models.event import Event, Impression, Play, decode_line
from models.interval import Interval
from models.segment import find_segments
from pipelines.settings import Settings
from pipelines.simulate import Simulated, SimulatedIds, simulate, simulate_days
from pipelines.truth import ledger_before, read_truth
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures
from serving.request import PageRequest
from serving.scorer import Scorer
from simulation.spec import WorldSpec
from simulation.world import World

SPEC = WorldSpec(seed=12, n_profiles=150, n_titles=30)
DAY = Interval.parse("20261101T000000Z", hours=24)
NEXT = Interval.parse("20261102T000000Z", hours=24)
N_PAGES = 600


@dataclass
class Stage:
    """A world with its scorer in one HOME, as a process would set them up."""

    settings: Settings
    world: World
    scorer: Scorer
    ids: SimulatedIds

    def simulate(self, interval: Interval = DAY, n_pages: int = N_PAGES) -> Simulated:
        return simulate(self.settings, interval, world=self.world, scorer=self.scorer, ids=self.ids, n_pages=n_pages)


def set_up(home: Path, spec: WorldSpec = SPEC, scorer_class: type[Scorer] = Scorer) -> Stage:
    settings, world, features = Settings(home=home), World(spec), InMemoryFeatures()
    ids = SimulatedIds(world)
    scorer = scorer_class(settings, features, index=build_index(world.catalogue(), features), new_page_id=ids)
    return Stage(settings, world, scorer, ids)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Simulated]:
    stage = set_up(tmp_path_factory.mktemp("home"))
    return stage, stage.simulate()


def events(settings: Settings) -> Iterator[Event]:
    for segment in find_segments(settings.events_dir):
        for line in segment.path.read_bytes().splitlines():
            yield decode_line(line)


def pages_of(settings: Settings) -> list[Page]:
    return [event for event in events(settings) if isinstance(event, Page)]


def received_at(event: Event) -> datetime:
    return event.decided_at if isinstance(event, Page) else event.received_at


def files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def test_every_page_is_the_scorers_own_and_lies_in_the_interval(done: tuple[Stage, Simulated]) -> None:
    stage, simulated = done
    pages = pages_of(stage.settings)
    decisions = [decision for page in pages for decision in page.decisions]
    assert (simulated.n_pages, simulated.n_decisions) == (N_PAGES, N_PAGES * SPEC.page_titles)
    assert (len(pages), len(decisions)) == (simulated.n_pages, simulated.n_decisions)
    assert len({decision.decision_id for decision in decisions}) == len(decisions)
    assert all(DAY.start_at <= page.decided_at < DAY.end_at for page in pages)
    assert all(decision.propensity == pytest.approx(1 / len(decision.actions)) for decision in decisions)


def test_the_summary_counts_each_event_once(done: tuple[Stage, Simulated]) -> None:
    stage, simulated = done
    logged = list(events(stage.settings))
    sights = [(event.decision_id, event.seen_at) for event in logged if isinstance(event, Impression)]
    plays = [event.play_id for event in logged if isinstance(event, Play)]
    assert len(set(sights)) == simulated.n_impressions < len(sights)
    assert len(set(plays)) == simulated.n_plays < len(plays)


def test_every_line_was_received_when_its_segments_name_says(done: tuple[Stage, Simulated]) -> None:
    segments = find_segments(done[0].settings.events_dir)
    for segment in segments:
        times = [received_at(decode_line(line)) for line in segment.path.read_bytes().splitlines()]
        assert times == sorted(times)
        assert segment.opened_at == times[0]
        assert segment.closed_at == times[-1]


def test_what_is_received_after_the_interval_is_in_segments_of_its_own(done: tuple[Stage, Simulated]) -> None:
    segments = find_segments(done[0].settings.events_dir)
    inside = [segment for segment in segments if segment.may_hold(DAY)]
    later = [segment for segment in segments if segment.may_hold(NEXT)]
    assert inside
    assert later
    assert not set(inside) & set(later)


def test_the_same_interval_is_simulated_once(done: tuple[Stage, Simulated]) -> None:
    stage, simulated = done
    before = files(stage.settings.home)
    assert stage.simulate() == simulated
    assert files(stage.settings.home) == before


def test_another_home_gets_the_same_bytes(done: tuple[Stage, Simulated], tmp_path: Path) -> None:
    set_up(tmp_path).simulate()
    assert files(tmp_path) == files(done[0].settings.home)


class DyingScorer(Scorer):
    """A scorer whose process ends in the middle of the second chunk of pages."""

    n_left = 550

    def decide(self, request: PageRequest, at: datetime) -> Page:
        self.n_left -= 1
        if self.n_left < 0:
            raise KeyboardInterrupt
        return super().decide(request, at)


def test_a_simulation_that_is_killed_leaves_no_events_and_is_made_whole_by_the_next(
    done: tuple[Stage, Simulated], tmp_path: Path
) -> None:
    dying = set_up(tmp_path, scorer_class=DyingScorer)
    with pytest.raises(KeyboardInterrupt):
        dying.simulate()
    assert not find_segments(dying.settings.events_dir)
    assert set_up(tmp_path).simulate() == done[1]
    assert files(tmp_path) == files(done[0].settings.home)


def test_truth_is_known_of_every_action_in_the_order_logged(done: tuple[Stage, Simulated]) -> None:
    stage, _ = done
    asked = [(page, decision) for page in pages_of(stage.settings) for decision in page.decisions][::-7]
    offsets, chances = read_truth(stage.settings, [decision.decision_id for _, decision in asked])
    expected = stage.world.probabilities(
        profile_ids=[page.profile_id for page, _ in asked],
        title_ids=[decision.title_id for _, decision in asked],
        actions=[decision.actions for _, decision in asked],
        device=[page.context.device for page, _ in asked],
        local_hour=[page.context.local_hour or 0 for page, _ in asked],
        row=[decision.row for _, decision in asked],
        familiar=np.zeros(len(asked), dtype=bool),
        at=np.array([page.decided_at.replace(tzinfo=None) for page, _ in asked], dtype="datetime64[us]"),
    )
    np.testing.assert_array_equal(np.diff(offsets), [len(decision.actions) for _, decision in asked])
    np.testing.assert_array_equal(chances, expected)


def test_the_truth_of_a_decision_from_elsewhere_is_not_invented(done: tuple[Stage, Simulated]) -> None:
    with pytest.raises(ContractError, match="decision_id=elsewhere"):
        read_truth(done[0].settings, ["elsewhere"])


def test_logged_quality_plays_agree_with_the_logged_truth(done: tuple[Stage, Simulated]) -> None:
    stage, _ = done
    logged = list(events(stage.settings))
    seen = {event.decision_id for event in logged if isinstance(event, Impression)}
    chosen = {
        decision.decision_id: decision.actions.index(decision.artwork_id)
        for page in pages_of(stage.settings)
        for decision in page.decisions
        if decision.decision_id in seen
    }
    offsets, chances = read_truth(stage.settings, list(chosen))
    chance = chances[offsets[:-1] + list(chosen.values())]
    won = {event.play_id for event in logged if isinstance(event, Play) and event.minutes >= 6.0}
    quality = np.array([f"{decision_id}-play" in won for decision_id in chosen])
    chance = chance * (1.0 - SPEC.devices.lost_share)  # nobody hears of the plays whose report is lost
    # Over all decisions, and again with more weight where the shown artwork is better than the title's others.
    others = np.add.reduceat(chances, offsets[:-1]) / np.diff(offsets)
    for weight in (np.ones(len(chance)), chance / others - 1.0):
        deviation = weight @ (quality - chance) / np.sqrt(weight**2 @ (chance * (1 - chance)))
        assert abs(deviation) < 4.0


def test_later_intervals_know_what_was_played_before(tmp_path: Path) -> None:
    stage = set_up(tmp_path)
    assert len(ledger_before(stage.settings, stage.world, NEXT)) == 0
    simulated = stage.simulate(DAY)
    played = {(event.profile_id, event.title_id) for event in events(stage.settings) if isinstance(event, Play)}
    assert len(ledger_before(stage.settings, stage.world, DAY)) == 0
    ledger = ledger_before(stage.settings, stage.world, NEXT)
    lost = simulated.reports.n_lost_plays
    assert len(played) < len(ledger) <= len(played) + lost
    profiles = stage.world.profile_places(profile for profile, _ in played)
    assert ledger.familiar(profiles, stage.world.title_places(title for _, title in played)).all()


def test_a_new_process_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    one, two = set_up(tmp_path / "one"), tmp_path / "two"
    for interval in (DAY, NEXT):
        one.simulate(interval, 200)
        set_up(two).simulate(interval, 200)
    assert files(two) == files(tmp_path / "one")


def test_two_worlds_do_not_share_a_home(tmp_path: Path) -> None:
    set_up(tmp_path).simulate(n_pages=10)
    with pytest.raises(ContractError, match=r"another world.*world\.json"):
        set_up(tmp_path, replace(SPEC, seed=13)).simulate(NEXT, 10)


class ForgetfulScorer(Scorer):
    """A scorer that leaves the last title of each page out."""

    def decide(self, request: PageRequest, at: datetime) -> Page:
        page = super().decide(request, at)
        return msgspec.structs.replace(page, decisions=page.decisions[:-1])


def test_an_answer_to_another_question_is_refused(tmp_path: Path) -> None:
    stage = set_up(tmp_path, scorer_class=ForgetfulScorer)
    with pytest.raises(ContractError, match="page_id="):
        stage.simulate(n_pages=3)


def test_days_are_simulated_interval_by_interval_with_progress(tmp_path: Path) -> None:
    stage = set_up(tmp_path)
    told: list[int] = []
    first = Interval(DAY.start_at, DAY.start_at + timedelta(hours=8))
    found = list(
        simulate_days(
            stage.settings,
            first,
            2,
            world=stage.world,
            scorer=stage.scorer,
            ids=stage.ids,
            n_pages_a_day=100,
            progress=told.append,
        )
    )
    assert [one.interval_key for one in found][:4] == [
        "20261101T000000Z", "20261101T080000Z", "20261101T160000Z", "20261102T000000Z",
    ]  # fmt: skip
    assert sum(one.n_pages for one in found) == 200
    assert sum(told) == sum(one.n_decisions for one in found)


def test_an_interval_in_which_nobody_comes_is_simulated_too(tmp_path: Path) -> None:
    stage = set_up(tmp_path)
    assert stage.simulate(n_pages=0).n_decisions == 0
    assert not find_segments(stage.settings.events_dir)
