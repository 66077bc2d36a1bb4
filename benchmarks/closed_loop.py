"""The whole loop in memory, day after day: decide, see, reward, count, learn, decide again.

World, visitors and reports are those of `simulation`; attribution, features, learners and draws are the platform's own
functions, table by table. What is left out is what holds them together: HTTP, the lake, Feast and Airflow. A test holds
a day of this loop against the same day through all of them, cell for cell.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.loop_events import Decided, EventTables
from benchmarks.loop_features import LoopFeatures
from models.assignment import in_uniform_cell, is_held_out
from models.batch import Floats, LoggedBatch
from models.candidate import Candidate, FittedPolicy, fit
from models.decision import Cell
from models.draw import draw
from models.epoch import Epochs
from models.interval import Interval
from models.layout import DEVICES
from models.policy import Policy
from pipelines.settings import Settings
from simulation.behaviour import respond
from simulation.report import Reports, reports_of
from simulation.traffic import Visits, day
from simulation.value import Yardstick, expected_value, uniform_pmf, yardstick
from simulation.world import World

__all__ = ["ClosedLoop", "Day", "Judged", "loop_settings"]

Ints = NDArray[np.int64]
_DAY: Final = timedelta(days=1)
_DEVICES: Final = np.array(DEVICES, dtype=object)


def loop_settings(**changed: object) -> Settings:
    """Make the settings of a loop: the platform's own but for attribution, which a simulated visit ends in hours."""
    home = Path(gettempdir()) / "marquee-closed-loop"  # where queries that outgrow memory would spill; nothing else
    return Settings(home=home, attribution_window_hours=6.0, attribution_grace_hours=1.0).model_copy(update=changed)


@dataclass(frozen=True, slots=True)
class Judged:
    """Logged decisions with the truth `(m,)` of their candidates: the chance of a quality play of each, once seen."""

    logged: LoggedBatch
    truth: Floats

    def take(self, rows: Ints) -> "Judged":
        """Select decisions by row."""
        return Judged(self.logged.take(rows), self.truth[self.logged.batch.candidate_rows(rows)])

    def value(self, pmf: Floats) -> float:
        """Give the exact take fraction of probabilities `(m,)` over these decisions."""
        return expected_value(pmf, self.logged.batch.offsets, self.truth)

    @property
    def yardstick(self) -> Yardstick:
        """What uniform, the best artwork of each title and the oracle are worth over these decisions."""
        return yardstick(self.logged.batch.offsets, self.logged.batch.artwork_keys, self.truth)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's n decisions of m candidates.

    Args: decided, all decisions, none rewarded yet; first, the number of the first one; artwork `(m,)`, title `(n,)`
    places; live `(m,)`, the pmf of the policy in force, whatever cell a profile is in; seen `(n,)`.
    """

    interval: Interval
    decided: Judged
    first: int
    artwork: Ints
    title: Ints
    live: Floats
    seen: NDArray[np.bool_]

    @property
    def value(self) -> float:
        """The exact take fraction of the policy in force over all of the day's decisions."""
        return self.decided.value(self.live)


class ClosedLoop:
    """A simulated service under a policy that may change between two days.

    `visits` and `events` are the pages and the event tables of the day that was run last.

    Args: world; settings, of which the windows, shares and half-lives count; n_pages_a_day.
    """

    visits: Visits
    events: Mapping[str, pa.Table]

    def __init__(self, world: World, settings: Settings, n_pages_a_day: int) -> None:
        self.world, self.settings, self._n_pages = world, settings, n_pages_a_day
        self.epochs = Epochs.of(settings.stickiness_hours, settings.stickiness_patience_hours)
        self.features = LoopFeatures(world, settings)
        self._events = EventTables(world, settings)
        self._ledger = world.new_ledger()
        self._interval = Interval(world.spec.first_day_at, world.spec.first_day_at + _DAY)
        self._recent: list[Day] = []
        self._n_recent = ceil(settings.max_cache_hours / 24 + settings.maturity / _DAY)
        self._matured: list[tuple[Interval, Interval, Judged]] = []

    def run_day(self, policy: Policy, busier: int = 1) -> Day:
        """Let a policy decide for a day; then its events are counted, and what matured is there to learn from.

        Args: busier, how many times as many pages as usual.
        """
        interval = self._interval
        made, visits, reports = self._decide(policy, busier * self._n_pages)
        self._ledger = self._ledger.with_plays(reports.profile[reports.is_play], reports.title[reports.is_play])
        decided = Decided(
            artwork=made.artwork[made.decided.logged.chosen],
            at=made.decided.logged.decided_at,
            page_profile=visits.profile,
            page_at=visits.at,
            page_device=_DEVICES[visits.device],
        )
        self.visits, self.events = visits, self._events.add(interval, decided, reports)
        self._recent = [*self._recent[-self._n_recent :], made]
        self._matured += [(interval, *each) for each in self._rewarded(self.events["rewards"])]
        self.features.advance(interval, self.events)
        self._interval = Interval(interval.end_at, interval.end_at + _DAY)
        return made

    def matured(self, *, held_out: bool | None = None, since: datetime | None = None) -> Iterator[Judged]:
        """Yield what matured within the training window.

        Args: held_out, of the profiles that only judge or of those that train, of all if not given; since, of
        decisions from this moment on.
        """
        from_at = self._interval.start_at - timedelta(days=self.settings.training_window_days)
        for matured_in, decided_in, part in self._matured:
            if matured_in.start_at >= from_at and (since is None or decided_in.start_at >= since):
                judges = is_held_out(part.logged.batch.profile_keys, self.settings.holdout_share)
                if held_out is None or (judges == held_out).all():
                    yield part
                elif (judges == held_out).any():
                    yield part.take(np.flatnonzero(judges == held_out))

    def learn(self, one: Candidate, workdir: Path) -> FittedPolicy:
        """Train a candidate, as the platform does, on what has matured of the profiles that train."""
        logs = [part.logged for part in self.matured(held_out=False)]
        return fit(one, lambda: iter(logs), workdir)

    def _decide(self, policy: Policy, n_pages: int) -> tuple[Day, Visits, Reports]:
        visits = _joined(list(day(self.world, self._interval, n_pages, self._ledger)))
        k = visits.title.shape[1]
        title, at = visits.title.ravel(), np.repeat(visits.at, k)
        offsets, artwork = self.world.candidates(title, at)
        batch = self.features.batch(visits, offsets, artwork)
        live = policy.pmf(batch)
        in_cell = in_uniform_cell(batch.profile_keys, self.settings.uniform_cell_share)
        pmf = np.where(np.repeat(in_cell, batch.counts), uniform_pmf(offsets), live)
        epochs = self.epochs.at(at.astype(np.int64)).view(np.uint64)
        chosen = draw(pmf, offsets, batch.profile_keys, batch.title_keys, batch.artwork_keys, epochs)
        truth = visits.truth(offsets, artwork)
        response = respond(visits, artwork[chosen], truth[chosen])
        country = np.array(self.world.population.countries, dtype=object)
        logged = LoggedBatch(
            batch=batch,
            chosen=chosen,
            propensity=np.minimum(pmf[chosen], 1.0),
            reward=np.zeros(len(batch)),
            decision_ids=np.array([f"{self._interval.key}-{row}" for row in range(len(batch))], dtype=object),
            decided_at=at,
            device=np.repeat(_DEVICES[visits.device], k),
            country=np.repeat(country[self.world.population.country[visits.profile]], k),
            cell=np.where(in_cell, Cell.UNIFORM.value, Cell.LIVE.value).astype(object),
            epoch=epochs.view(np.int64),
        )
        first = self._events.n_decisions
        made = Day(self._interval, Judged(logged, truth), first, artwork, title, live, response.seen)
        return made, visits, reports_of(visits, response, first)

    def _rewarded(self, rewards: pa.Table) -> Iterator[tuple[Interval, Judged]]:
        """Join rewards with their decisions, one part for each day on which these were made."""
        number, reward = np.asarray(rewards["decision_id"]), np.asarray(rewards["reward"])
        for made in self._recent:
            mine = (number >= made.first) & (number < made.first + len(made.seen))
            found = made.decided.take(number[mine] - made.first)
            if mine.any():
                yield made.interval, replace(found, logged=replace(found.logged, reward=reward[mine]))


def _joined(chunks: list[Visits]) -> Visits:
    """Put a day's chunks of pages end to end."""
    shared = ("world", "luck")
    columns: dict[str, Any] = {
        each.name: np.concatenate([getattr(chunk, each.name) for chunk in chunks])
        for each in fields(Visits)
        if each.name not in shared
    }
    return replace(chunks[0], **columns)
