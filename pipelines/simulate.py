"""Simulated traffic through the scorer's own code: pages are decided and logged as if devices had asked for them.

An interval's events become one folder of segments, `HOME/events/simulated-<interval>/`, which appears when all of it is
there. What devices report only after the interval is in segments of its own, named by when it was received.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import msgspec
import numpy as np

from models.decision import Page
from models.error import ContractError
from models.identity import hash64
from models.interval import Interval
from pipelines.settings import Settings
from pipelines.truth import TruthWriter, claim_home, ledger_before, simulation_dir, truth_writer, write_plays
from serving.event_log import EventLog
from serving.page_id import PageIds, page_ids
from serving.request import AskedContext, AskedTitle, PageRequest
from serving.scorer import Scorer
from serving.segment_file import sync_directory
from simulation.behaviour import respond
from simulation.population import Ints
from simulation.report import NO_REPORTS, ReportCounts, Reports, count_reports, events_of, reports_of
from simulation.traffic import PageVisit, Visits, day, pages_in
from simulation.world import World

Progress = Callable[[int], None]
"""Told, again and again, how many more decisions are done."""

_REPORTS_A_SEGMENT = 100_000
_SUMMARY = "simulated.json"


class SimulatedIds:
    """Page ids that depend on the world and the interval alone: give it to the scorer as `new_page_id`."""

    def __init__(self, world: World) -> None:
        self._seed = world.spec.seed
        self._next: PageIds = page_ids()

    def begin(self, interval: Interval) -> None:
        """Start the interval's ids over."""
        luck = Random(hash64(f"marquee/simulation/{self._seed}/{interval.key}/pages"))  # noqa: S311 - ids, not secrets
        self._next = page_ids(luck.getrandbits)

    def __call__(self, at: datetime) -> str:
        """Give the next page id."""
        return self._next(at)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What one interval's simulation made, and what became of the reports (`simulation.report.ReportCounts`)."""

    interval_key: str
    n_pages: int
    n_decisions: int
    reports: ReportCounts

    @property
    def n_impressions(self) -> int:
        """Impressions received, each counted once however often it was reported."""
        return self.reports.n_impressions

    @property
    def n_plays(self) -> int:
        """Plays received, counted likewise."""
        return self.reports.n_plays


def simulate(
    settings: Settings,
    interval: Interval,
    *,
    world: World,
    scorer: Scorer,
    ids: SimulatedIds,
    n_pages: int,
    progress: Progress | None = None,
) -> Simulated:
    """Simulate an interval, unless it has been: then nothing changes.

    Args: scorer, which decides every page, made with `ids` as its `new_page_id`; n_pages in this interval.

    Raises:
        ContractError: if HOME holds another world, or the scorer's answer is not about the page that was asked for.
    """
    target = settings.events_dir / f"simulated-{interval.key}"
    with _alone(settings):
        if not (target / _SUMMARY).exists():
            claim_home(settings, world)
            staging = simulation_dir(settings) / "staging" / interval.key
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            ids.begin(interval)
            _Run(settings, interval, world, scorer, staging, progress or _silent).run(n_pages)
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.rename(target)
            sync_directory(target.parent)
        return msgspec.json.decode((target / _SUMMARY).read_bytes(), type=Simulated)


def simulate_days(
    settings: Settings,
    first: Interval,
    n_days: int,
    *,
    world: World,
    scorer: Scorer,
    ids: SimulatedIds,
    n_pages_a_day: int,
    progress: Progress | None = None,
) -> Iterator[Simulated]:
    """Simulate `n_days` in intervals as long as the first one, yielding after each.

    Whoever drives may refresh features or publish a policy between two intervals; the scorer meets them in the next.
    """
    length = first.end_at - first.start_at
    whole = Interval(first.start_at, first.start_at + timedelta(days=n_days))
    for interval in whole.split(hours=length / timedelta(hours=1)):
        n_pages = pages_in(interval, n_pages_a_day)
        yield simulate(settings, interval, world=world, scorer=scorer, ids=ids, n_pages=n_pages, progress=progress)


class _Run:
    """One interval being simulated into a staging folder."""

    def __init__(
        self, settings: Settings, interval: Interval, world: World, scorer: Scorer, staging: Path, progress: Progress
    ) -> None:
        self._settings, self._interval, self._world, self._scorer = settings, interval, world, scorer
        self._staging, self._progress = staging, progress
        self._decision_ids: list[str] = []

    def run(self, n_pages: int) -> None:
        """Write segments, truth, plays and summary."""
        world, interval = self._world, self._interval
        ledger = ledger_before(self._settings, world, interval)
        pages_log = self._log("pages")
        parts: list[Reports] = []
        with truth_writer(self._settings, interval) as truth:
            for visits in day(world, interval, n_pages, ledger):
                parts.append(self._chunk(visits, pages_log, truth))
                self._progress(visits.n_decisions)
        pages_log.close()
        counts = NO_REPORTS
        if parts:
            reports = Reports.concatenate(parts)
            counts = count_reports(reports)
            self._log_reports(reports.received())
            self._note_plays(reports)
        summary = Simulated(interval.key, n_pages, len(self._decision_ids), counts)
        (self._staging / _SUMMARY).write_bytes(msgspec.json.encode(summary))

    def _chunk(self, visits: Visits, log: EventLog, truth: TruthWriter) -> Reports:
        """Ask for the pages, log them, and let their visitors react."""
        first = len(self._decision_ids)
        pages = []
        for visit in visits.pages():
            page = self._scorer.decide(_request(visit), visit.at)
            _check(visit, page)
            log.append([page], at=page.decided_at)
            pages.append(page)
        decisions = [decision for page in pages for decision in page.decisions]
        self._decision_ids.extend(decision.decision_id for decision in decisions)
        offsets = np.concatenate(([0], np.cumsum([len(decision.actions) for decision in decisions]))).astype(np.int64)
        actions = self._world.artwork_places(name for decision in decisions for name in decision.actions)
        probabilities = visits.truth(offsets, actions)
        truth.write(self._decision_ids[first:], offsets, probabilities)
        chosen = offsets[:-1] + [decision.actions.index(decision.artwork_id) for decision in decisions]
        return reports_of(visits, respond(visits, actions[chosen], probabilities[chosen]), first)

    def _log_reports(self, reports: Reports) -> None:
        """Write reports in the order received, those of each interval to segments of their own."""
        log = self._log("reports")
        world = self._world
        received = reports.received_at.astype(np.int64)
        order = np.lexsort((reports.is_play, reports.decision, received))
        length = (self._interval.end_at - self._interval.start_at) // timedelta(microseconds=1)
        start = np.datetime64(self._interval.start_at.replace(tzinfo=None), "us").astype(np.int64)
        later = (received[order] - start) // length
        for rows in _portions(order, later):
            part = reports.take(rows)
            events = list(events_of(part, self._decision_ids, world.population.ids, world.shelf.title_ids))
            # The first line opens the segment and the last one closes it: its name tells exactly what it holds.
            log.append(events[:1], at=events[0].received_at)
            log.append(events[1:], at=events[-1].received_at)
            log.rotate()

    def _log(self, kind: str) -> EventLog:
        # The staged folder becomes visible as a whole, so that single lines need not be durable before.
        size = self._settings.segment_bytes if kind == "pages" else 2**62
        return EventLog(self._staging, segment_bytes=size, sync=False, writer=f"simulated{self._interval.key}{kind}")

    def _note_plays(self, reports: Reports) -> None:
        """Remember who played what, whether the platform heard of it or not."""
        played = reports.take(reports.is_play)
        pairs = np.unique(np.stack((played.profile, played.title), axis=1), axis=0)
        names = (self._world.population.ids[pairs[:, 0]], self._world.shelf.title_ids[pairs[:, 1]])
        write_plays(self._settings, self._interval, np.stack(names, axis=1))


def _request(visit: PageVisit) -> PageRequest:
    context = visit.context
    return PageRequest(
        profile_id=visit.profile_id,
        titles=tuple(
            AskedTitle(title_id=asked.title_id, score=asked.score, row=asked.row, column=asked.column)
            for asked in visit.titles
        ),
        context=AskedContext(
            device=context.device,
            country=context.country,
            language=context.language,
            local_hour=context.local_hour,
            day_of_week=context.day_of_week,
        ),
    )


def _check(visit: PageVisit, page: Page) -> None:
    asked = [placement.title_id for placement in visit.titles]
    answered = [decision.title_id for decision in page.decisions]
    if asked != answered or page.profile_id != visit.profile_id:
        raise ContractError(f"a page must answer the titles asked for, in order (page_id={page.page_id})")


def _portions(order: Ints, later: Ints) -> Iterator[Ints]:
    """Cut rows in the order received where the interval changes, and where a segment would grow too long."""
    for rows in np.split(order, np.flatnonzero(np.diff(later)) + 1):
        yield from (rows[first : first + _REPORTS_A_SEGMENT] for first in range(0, len(rows), _REPORTS_A_SEGMENT))


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one process at a time simulate in this HOME; the lock goes when its holder does."""
    path = simulation_dir(settings) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _silent(n_decisions: int) -> None:
    """Show nothing."""
