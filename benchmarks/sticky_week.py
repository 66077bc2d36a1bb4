"""A week under one policy, as the platform lives it: who sees another artwork of a title within an epoch, and why.

The closed loop of a simulated service decides with `LIVE`, learned once before the week: nothing is promoted. Each page
of the week is then put to every policy, in the epochs that are shipped, with the rows that a scorer would have read:

- context: the batch's rows, there as soon as their interval ends. Only device, hour, place on the page and the
  recommender's score differ between two visits.
- nightly: the same, but that the batch ends `BATCH_HOURS` after its interval; until then the rows are a day older, and
  the epoch is the day's before.
- fresh: titles and artworks as nightly; taste and familiarity know all that had been received before the page, counted
  by the functions of the batch, as `marquee freshen` does. Time alone fades nothing within the day.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.closed_loop import ClosedLoop, Day, loop_settings
from benchmarks.loop_features import LoopFeatures
from models.batch import Batch
from models.candidate import candidate
from models.draw import draw
from models.layout import FAMILIARITY_PART, PROFILE_PART
from models.policy import Policy, UniformPolicy
from simulation.traffic import Visits
from simulation.world import DEMO_SPEC, World

LIVE: Final = "thompson"
"""What the gate promotes in the demo."""
CANDIDATES: Final = (LIVE, "linucb", "vw-epsilon")
ROWS: Final = ("context", "nightly", "fresh")
N_DAYS: Final = 7
N_LEARNED_DAYS: Final = 4
BATCH_HOURS: Final = 1.0
_DAY_BEFORE: Final = np.timedelta64(-1, "D")


@dataclass(frozen=True, slots=True)
class Size:
    """How large the service is."""

    n_profiles: int
    n_pages_a_day: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """(profile, title) pairs that came again within an epoch, with the same artworks to choose among."""

    n_again: int
    n_changed: int

    @property
    def share_changed(self) -> float:
        """The share of them that saw more than one artwork."""
        return self.n_changed / max(self.n_again, 1)


def changes_in_a_week(size: Size, workdir: Path) -> dict[tuple[str, str], Pairs]:
    """Count pairs, by candidate and by the rows it was asked with."""
    world = World(replace(DEMO_SPEC, n_profiles=size.n_profiles))
    loop = ClosedLoop(world, loop_settings(), size.n_pages_a_day)
    loop.run_day(UniformPolicy())
    for number in range(1, N_LEARNED_DAYS):
        loop.run_day(loop.learn(candidate(LIVE), workdir / f"day-{number}").policy)
    policies = {name: loop.learn(candidate(name), workdir / name).policy for name in CANDIDATES}
    found: dict[tuple[str, str], list[Shown]] = {(name, rows): [] for name in CANDIDATES for rows in ROWS}
    day_before = loop.features.copy()
    for _ in range(N_DAYS):
        known = loop.features.copy()
        made = loop.run_day(policies[LIVE])
        for rows, batch in batches_of(loop, made, known, day_before).items():
            known_at = _midnight(made) + np.where(
                _is_early(made) & (rows != "context"), _DAY_BEFORE, np.timedelta64(0, "D")
            )
            epochs = loop.epochs.at(_microseconds(made.decided.logged.decided_at), _microseconds(known_at))
            for name, policy in policies.items():
                found[name, rows].append(shown(policy, batch, epochs))
        day_before = known
    return {each: pairs_of(days) for each, days in found.items()}


Shown = tuple[NDArray[Any], ...]
"""The columns of some decisions: profile, title, epoch, number of candidates, and the artwork that was drawn."""


def shown(policy: Policy, batch: Batch, epochs: NDArray[np.int64]) -> Shown:
    """Draw decisions under a policy. Args: epochs `(n,)`."""
    keys = (batch.profile_keys, batch.title_keys)
    chosen = draw(policy.pmf(batch), batch.offsets, *keys, batch.artwork_keys, epochs.view(np.uint64))
    return (*keys, epochs, batch.counts, batch.artwork_keys[chosen])


def pairs_of(days: Sequence[Shown]) -> Pairs:
    """Compare what was drawn for the same profile, title, epoch and candidates, on one day or on two."""
    *columns, artworks = (np.concatenate(column) for column in zip(*days, strict=True))
    order = np.lexsort(columns)
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = np.logical_or.reduce([column[order][1:] != column[order][:-1] for column in columns])
    starts = np.flatnonzero(is_first)
    artworks = artworks[order]
    differs = np.maximum.reduceat(artworks, starts) != np.minimum.reduceat(artworks, starts)
    again = np.diff(np.append(starts, len(order))) > 1
    return Pairs(int(again.sum()), int((differs & again).sum()))


def batches_of(loop: ClosedLoop, made: Day, known: LoopFeatures, day_before: LoopFeatures) -> dict[str, Batch]:
    """Lay a day's decisions out with each of `ROWS`. Args: features as they were at its start, and a day earlier."""
    batch, visits = made.decided.logged.batch, loop.visits
    older = day_before.batch(visits, batch.offsets, made.artwork)
    early = _is_early(made)
    nightly = replace(
        batch,
        shared=np.where(early[:, None], older.shared, batch.shared),
        artworks=np.where(early.repeat(batch.counts)[:, None], older.artworks, batch.artworks),
    )
    shared = nightly.shared.copy()
    for part in (PROFILE_PART, FAMILIARITY_PART):
        shared[:, part] = batch.shared[:, part]
    k = visits.title.shape[1]
    for pages, profile, familiarity in fresh_rows(made, known, visits, loop.events):
        rows = (pages[:, None] * k + np.arange(k)).ravel()
        shared[rows, PROFILE_PART] = profile.repeat(k, axis=0)
        shared[rows, FAMILIARITY_PART] = familiarity
    return {"context": batch, "nightly": nightly, "fresh": replace(nightly, shared=shared)}


def _is_early(made: Day) -> NDArray[np.bool_]:
    """Tell of each decision of a day whether it was made before the batch had ended: `(n,)`."""
    return np.asarray(made.decided.logged.decided_at < _midnight(made) + np.timedelta64(round(BATCH_HOURS * 3600), "s"))


def _midnight(made: Day) -> np.datetime64:
    return np.datetime64(made.interval.start_at.replace(tzinfo=None), "us")


def _microseconds(moments: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return moments.astype("datetime64[us]").astype(np.int64)


Rows = NDArray[np.float32]


def fresh_rows(
    made: Day, known: LoopFeatures, visits: Visits, events: Mapping[str, pa.Table]
) -> Iterator[tuple[NDArray[np.int64], Rows, Rows]]:
    """Give the day's pages by how many the profile had before, with what was known of profiles as each was asked for.

    Yields: p pages by place, their `(p, len(PROFILE))`, and `(p · k, len(FAMILIARITY))` of their titles.
    """
    for pages in _in_turn(visits.profile):
        moments = np.full(len(known.profile_keys), _midnight(made))
        moments[visits.profile[pages]] = visits.at[pages]
        before = {
            name: _before(events[name], column, known, moments)
            for name, column in (("decisions", "decided_at"), ("impressions", "received_at"), ("plays", "received_at"))
        }
        fresh = known.copy()
        fresh.know_profiles(before | {"rewards": events["rewards"].slice(0, 0)}, made.interval.start_at)
        yield pages, *fresh.of_profiles(visits.profile[pages], visits.title[pages])


def _in_turn(profile: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of everybody's first page, then of everybody's second, and so on."""
    order = np.argsort(profile, kind="stable")
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = np.arange(len(order)) - np.searchsorted(profile[order], profile[order])
    for number in range(int(turn.max()) + 1):
        yield np.flatnonzero(turn == number)


def _before(events: pa.Table, column: str, known: LoopFeatures, moments: NDArray[np.datetime64]) -> pa.Table:
    """Select the events that were received before their profile's moment, `(n_profiles,)`."""
    own = moments[known.profile_places(events["profile_id"])]
    return events.filter(pc.less(events[column], pa.array(own).cast(events.schema.field(column).type)))
