"""What devices of the simulated service sent, rightly or wrongly, and what of it the lake holds."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.decision import Page
from models.event import Play, decode_line
from models.interval import Interval
from models.segment import find_segments
from pipelines.attribution import attribute
from pipelines.event_rows import CLOCK_TOLERANCE
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.simulate import SimulatedIds, simulate
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, QUARANTINE, REWARDS, Table
from pipelines.truth import ledger_before
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures
from serving.scorer import Scorer
from simulation.behaviour import respond
from simulation.report import Reports, reports_of
from simulation.spec import DeviceSpec, WorldSpec
from simulation.traffic import day
from simulation.world import World

DEVICES = DeviceSpec(lost_share=0.05, clock_off_share=0.1, cached_share=0.1, repeated_share=0.05, late_share=0.1)
SPEC = WorldSpec(seed=31, n_profiles=150, n_titles=30, devices=DEVICES)
FIRST = Interval.parse("20261101T000000Z", hours=24)
DAYS = [Interval(FIRST.start_at + timedelta(days=n), FIRST.end_at + timedelta(days=n)) for n in range(8)]
N_PAGES = 400


@dataclass
class Sent:
    """Every report that devices made about decisions of two days, and what really happened."""

    settings: Settings
    decision_ids: np.ndarray
    decided_at: np.ndarray
    quality: np.ndarray
    seen: np.ndarray
    reports: Reports

    def rows(self, table: Table) -> pa.Table:
        return Lake(self.settings.lake_dir).reader(table, DAYS[0].start_at, DAYS[-1].end_at).read_all()


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    world, features = World(SPEC), InMemoryFeatures()
    ids = SimulatedIds(world)
    scorer = Scorer(settings, features, index=build_index(world.catalogue(), features), new_page_id=ids)
    for interval in DAYS[:2]:
        simulate(settings, interval, world=world, scorer=scorer, ids=ids, n_pages=N_PAGES)
    for interval in DAYS:
        ingest(settings, interval)
    for interval in DAYS:
        attribute(settings, interval)
    return _again(settings, world)


def _again(settings: Settings, world: World) -> Sent:
    """Let the visitors react once more to what the log says they were shown: the same luck, the same reports."""
    lines = [line for one in find_segments(settings.events_dir) for line in one.path.read_bytes().splitlines()]
    pages = sorted(
        (event for event in map(decode_line, lines) if isinstance(event, Page)), key=lambda page: page.decided_at
    )
    decisions = [decision for page in pages for decision in page.decisions]
    parts, quality, seen, at = [], [], [], []
    n = 0
    for interval in DAYS[:2]:
        for visits in day(world, interval, N_PAGES, ledger_before(settings, world, interval)):
            mine = decisions[n : n + visits.n_decisions]
            offsets = np.concatenate(([0], np.cumsum([len(one.actions) for one in mine])))
            actions = world.artwork_places(name for one in mine for name in one.actions)
            chosen = offsets[:-1] + [one.actions.index(one.artwork_id) for one in mine]
            response = respond(visits, actions[chosen], visits.truth(offsets, actions)[chosen])
            parts.append(reports_of(visits, response, n))
            quality.append(response.quality)
            seen.append(response.seen)
            at.append(np.repeat(visits.at, visits.title.shape[1]))
            n += visits.n_decisions
    decision_ids = np.array([one.decision_id for one in decisions], dtype=object)
    found = (np.concatenate(part) for part in (at, quality, seen))
    return Sent(settings, decision_ids, *found, Reports.concatenate(parts))


def reasons(sent: Sent) -> np.ndarray:
    """Judge each received report by what is written about the quarantine: `(r,)`, empty where it must be believed."""
    reports, tolerance = sent.reports.received(), np.timedelta64(CLOCK_TOLERANCE)
    cache = np.timedelta64(timedelta(hours=sent.settings.max_cache_hours))
    decided_at = sent.decided_at[reports.decision]
    out = np.full(len(reports), "", dtype=object)
    seen = ~reports.is_play
    out[seen & (reports.received_at > decided_at + cache)] = "late"
    out[seen & (reports.happened_at < decided_at - tolerance)] = "clock"
    out[reports.happened_at < reports.received_at - cache - tolerance] = "late"
    out[reports.happened_at > reports.received_at + tolerance] = "clock"
    return out


def test_every_decision_is_in_the_lake_once(sent: Sent) -> None:
    assert sorted(sent.rows(DECISIONS)["decision_id"].to_pylist()) == sorted(sent.decision_ids)


def test_what_was_received_is_in_the_lake_or_in_quarantine_with_the_reason(sent: Sent) -> None:
    reports, why = sent.reports.received(), reasons(sent)
    believed = reports.take(why == "")
    sights = believed.take(~believed.is_play)
    expected = set(zip(sent.decision_ids[sights.decision], sights.happened_at.tolist(), strict=True))
    found = sent.rows(IMPRESSIONS)
    seen_at = [moment.replace(tzinfo=None) for moment in found["seen_at"].to_pylist()]
    assert set(zip(found["decision_id"].to_pylist(), seen_at, strict=True)) == expected
    assert len(found) == len(expected)
    plays = sent.rows(PLAYS)["play_id"].to_pylist()
    assert sorted(plays) == sorted({f"{one}-play" for one in sent.decision_ids[believed.decision[believed.is_play]]})
    refused = reports.take(why != "")
    names = zip(sent.decision_ids[refused.decision], refused.is_play, why[why != ""], strict=True)
    held = [(decode_line(row["raw"].encode()), row["reason"]) for row in sent.rows(QUARANTINE).to_pylist()]
    assert {
        (event.play_id.removesuffix("-play"), True, reason)
        if isinstance(event, Play)
        else (event.decision_id, False, reason)
        for event, reason in held
        if not isinstance(event, Page)
    } == set(names)
    assert len(held) <= len(refused)
    assert {"clock"} <= set(why)


def test_what_was_lost_is_nowhere(sent: Sent) -> None:
    """No impression, no reward: a decision that nobody saw, or of which no news came, is not counted as a zero."""
    impressions = set(sent.rows(IMPRESSIONS)["decision_id"].to_pylist())
    rewarded = set(sent.rows(REWARDS)["decision_id"].to_pylist())
    unseen = set(sent.decision_ids[~sent.seen])
    assert unseen
    assert not unseen & rewarded
    assert rewarded <= impressions
    assert sent.seen.sum() - len(impressions) > 0.02 * sent.seen.sum()


def test_rewards_of_devices_with_a_right_clock_tell_what_happened_but_for_lost_reports(sent: Sent) -> None:
    """A lost play is missed; one whose own impression was lost is credited to an earlier one of the title, if any."""
    rewards = sent.rows(REWARDS)
    place = {name: row for row, name in enumerate(sent.decision_ids)}
    rows = np.array([place[name] for name in rewards["decision_id"].to_pylist()])
    reward = rewards["reward"].to_numpy()
    off = np.zeros(len(sent.decision_ids), dtype=bool)
    off[sent.reports.decision[sent.reports.clock != np.timedelta64(0, "us")]] = True
    right = ~off[rows]
    assert right.sum() > 5_000
    quality = sent.quality[rows]
    invented = reward[right].astype(bool) & ~quality[right]
    missed = ~reward[right].astype(bool) & quality[right]
    assert invented.mean() < DEVICES.lost_share * quality[right].mean()
    assert missed.sum() / quality[right].sum() == pytest.approx(DEVICES.lost_share, abs=0.025)


def test_the_take_fraction_falls_short_of_the_truth_by_what_was_lost_and_no_more(sent: Sent) -> None:
    """Wrong clocks cost decisions, not truth: who has one does not depend on the artwork."""
    rewards = sent.rows(REWARDS)
    place = {name: row for row, name in enumerate(sent.decision_ids)}
    rows = np.array([place[name] for name in rewards["decision_id"].to_pylist()])
    fraction = pc.mean(rewards["reward"]).as_py() / sent.quality[rows].mean()
    assert 1.0 - DEVICES.lost_share - 0.04 < fraction < 1.0
