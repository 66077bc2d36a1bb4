"""What devices tell the scorer, and when it hears of it: late, twice, out of order, by a wrong clock, or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.event import Delivery, Impression, Play
from simulation.behaviour import Response, seconds
from simulation.launch import Times
from simulation.noise import Luck
from simulation.population import Ints
from simulation.traffic import Visits

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reports:
    """r reports about decisions, in no order; those that are lost on their way are among them.

    Args:
        decision: `(r,)`, the decision's place among the page's decisions, counted as the caller counts.
        is_play: `(r,)`, a play where true, else an impression.
        happened_at, received_at: `(r,)` datetime64[us]: by the device's clock, and by the scorer's.
        clock: `(r,)` timedelta64[us], what the device's clock shows less what it should.
        again: `(r,)`, the decision's second impression, from a cache. cached: `(r,)`, of impressions.
        copied, late, lost: `(r,)`, sent before; held back by the device; never received.
        minutes, completion: `(r,)`, of plays.
        profile, title: `(r,)` places.
    """

    decision: Ints
    is_play: Flags
    happened_at: Times
    received_at: Times
    clock: NDArray[np.timedelta64]
    again: Flags
    cached: Flags
    copied: Flags
    late: Flags
    lost: Flags
    minutes: Floats
    completion: Floats
    profile: Ints
    title: Ints

    def __len__(self) -> int:
        return len(self.decision)

    def take(self, rows: NDArray[np.int64] | Flags) -> "Reports":
        """Select reports by row, in that order, or by mask."""
        return Reports(**{name: getattr(self, name)[rows] for name in Reports.__slots__})

    def received(self) -> "Reports":
        """Select what was not lost."""
        return self.take(~self.lost)

    @staticmethod
    def concatenate(parts: Sequence["Reports"]) -> "Reports":
        """Put the reports of several chunks of pages end to end; at least one."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Reports.__slots__}
        return Reports(**columns)


@dataclass(frozen=True, slots=True)
class ReportCounts:
    """How many impressions and plays there were, and what became of the news of them.

    Args:
        n_impressions, n_plays: received, each counted once however often it was.
        n_lost_impressions, n_lost_plays: of which no report was received.
        n_duplicates, n_late, n_cached, n_clock_off: reports received that were sent before; that the device held back;
            of impressions from a cache; of devices whose clock is off.
    """

    n_impressions: int
    n_plays: int
    n_lost_impressions: int
    n_lost_plays: int
    n_duplicates: int
    n_late: int
    n_cached: int
    n_clock_off: int


NO_REPORTS: Final = ReportCounts(0, 0, 0, 0, 0, 0, 0, 0)


def count_reports(reports: Reports) -> ReportCounts:
    """Count all that happened, reported or not."""
    key = (reports.decision * 2 + reports.is_play) * 2 + reports.again
    known = np.unique(key[~reports.lost])
    missing = np.setdiff1d(key, known)
    came = reports.received()
    return ReportCounts(
        n_impressions=int((known // 2 % 2 == 0).sum()),
        n_plays=int((known // 2 % 2 == 1).sum()),
        n_lost_impressions=int((missing // 2 % 2 == 0).sum()),
        n_lost_plays=int((missing // 2 % 2 == 1).sum()),
        n_duplicates=int(came.copied.sum()),
        n_late=int(came.late.sum()),
        n_cached=int((came.cached & ~came.is_play).sum()),
        n_clock_off=int((came.clock != np.timedelta64(0, "us")).sum()),
    )


def reports_of(visits: Visits, response: Response, first_decision: int = 0) -> Reports:
    """Turn what happened into what is reported.

    Impressions are sent as soon as seen, plays when they end. All are delayed a little by the network, some wait long
    on the device, some are sent twice, some are lost; a few decisions are seen again, long after, from a cache.
    """
    spec, luck = visits.world.spec.devices, visits.luck
    place = (visits.per_decision(visits.number).astype(np.int64), visits.title.ravel())
    again_at = response.seen_at + seconds(3_600 * luck.log_uniform("again", spec.cached_hours, *place))
    again = response.seen & luck.happens("repeated", spec.repeated_share, *place)
    kinds = (
        _Kind(0, np.flatnonzero(response.seen), response.seen_at, response.cached),
        _Kind(1, np.flatnonzero(again), again_at, np.ones(len(again), dtype=bool)),
        _Kind(2, np.flatnonzero(response.started), response.started_at, np.zeros(len(again), dtype=bool)),
    )
    clock = _clocks(visits)
    parts: list[Reports] = []
    for kind in kinds:
        key = (place[0][kind.rows], place[1][kind.rows], np.full(len(kind.rows), kind.number))
        once = _reported(visits, response, kind, key, clock, first_decision)
        twice = np.flatnonzero(luck.happens("duplicate", spec.duplicate_share, *key))
        copy, copy_key = once.take(twice), tuple(part[twice] for part in key)
        delay, late = _delay(visits, "second", copy_key)
        lost = luck.happens("lost second", spec.lost_share, *copy_key)
        moved = copy.received_at + delay
        parts += [once, replace(copy, received_at=moved, late=late, lost=lost, copied=np.ones(len(copy), dtype=bool))]
    return Reports.concatenate(parts)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of report: first impressions, second ones, plays; `rows` among the decisions of the visits."""

    number: int
    rows: Ints
    happened_at: Times
    cached: Flags

    @property
    def is_play(self) -> bool:
        return self.number == 2


def _reported(
    visits: Visits,
    response: Response,
    kind: _Kind,
    key: tuple[Ints, ...],
    clock: NDArray[np.timedelta64],
    first_decision: int,
) -> Reports:
    """Send each report of a kind for the first time."""
    rows, luck = kind.rows, visits.luck
    sent_at = kind.happened_at[rows]
    if kind.is_play:
        sent_at = sent_at + seconds(60.0 * response.minutes[rows])
    delay, late = _delay(visits, "first", key)
    return Reports(
        decision=first_decision + rows,
        is_play=np.full(len(rows), kind.is_play),
        happened_at=kind.happened_at[rows] + clock[rows],
        received_at=sent_at + delay,
        clock=clock[rows],
        again=np.full(len(rows), kind.number == 1),
        cached=kind.cached[rows],
        copied=np.zeros(len(rows), dtype=bool),
        late=late,
        lost=luck.happens("lost first", visits.world.spec.devices.lost_share, *key),
        minutes=response.minutes[rows],
        completion=response.completion[rows],
        profile=visits.per_decision(visits.profile)[rows].astype(np.int64),
        title=key[1],
    )


def _clocks(visits: Visits) -> NDArray[np.timedelta64]:
    """Tell by how much the clock is ahead on the device of each decision: `(n · k,)`, the same in all intervals."""
    spec, luck = visits.world.spec.devices, Luck(visits.world.spec.seed, "clock")
    device = (visits.profile, visits.device)
    minutes = luck.log_uniform("minutes", spec.clock_off_minutes, *device)
    sign = np.where(luck.happens("behind", 0.5, *device), -1.0, 1.0)
    off = np.where(luck.happens("off", spec.clock_off_share, *device), 60.0 * sign * minutes, 0.0)
    return np.repeat(seconds(off), visits.title.shape[1])


def _delay(visits: Visits, which: str, key: tuple[Ints, ...]) -> tuple[NDArray[np.timedelta64], Flags]:
    """Draw how long reports take, and which of them their device holds back."""
    spec, luck = visits.world.spec.devices, visits.luck
    network = spec.network_delay_seconds * luck.exponential(f"network {which}", *key)
    low, high = spec.late_minutes
    held = 60.0 * (low + (high - low) * luck.uniform(f"held {which}", *key))
    late = luck.happens(f"late {which}", spec.late_share, *key)
    return seconds(network + np.where(late, held, 0.0)), late


def events_of(
    reports: Reports, decision_ids: Sequence[str], profile_ids: NDArray[np.object_], title_ids: NDArray[np.object_]
) -> Iterator[Impression | Play]:
    """Write the reports out as records of the event log, in the order they are in.

    Args: decision_ids by `Reports.decision`; profile_ids and title_ids by place in the world.
    """
    happened: list[datetime] = reports.happened_at.tolist()
    received: list[datetime] = reports.received_at.tolist()
    rows = zip(
        reports.decision.tolist(),
        reports.is_play.tolist(),
        reports.cached.tolist(),
        reports.minutes.tolist(),
        reports.completion.tolist(),
        profile_ids[reports.profile],
        title_ids[reports.title],
        happened,
        received,
        strict=True,
    )
    for decision, is_play, cached, minutes, completion, profile_id, title_id, happened_at, received_at in rows:
        decision_id = decision_ids[decision]
        if is_play:
            yield Play(
                play_id=f"{decision_id}-play",
                profile_id=profile_id,
                title_id=title_id,
                started_at=happened_at.replace(tzinfo=UTC),
                received_at=received_at.replace(tzinfo=UTC),
                minutes=minutes,
                completion=completion,
            )
        else:
            yield Impression(
                decision_id=decision_id,
                seen_at=happened_at.replace(tzinfo=UTC),
                received_at=received_at.replace(tzinfo=UTC),
                delivery=Delivery.CACHED if cached else Delivery.FRESH,
            )
