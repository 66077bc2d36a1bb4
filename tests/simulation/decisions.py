"""Pages of a world shown uniformly, with the truth of every candidate: what several tests measure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from models.batch import Floats
from models.interval import Interval
from simulation.behaviour import Response, respond
from simulation.ledger import Ledger
from simulation.population import Ints
from simulation.traffic import Visits, day
from simulation.world import World


@dataclass(frozen=True, slots=True)
class Shown:
    """One chunk of pages, its candidates and their truth, the uniformly chosen ones, and what came of them."""

    visits: Visits
    offsets: Ints
    artwork: Ints
    truth: Floats
    chosen: Ints
    response: Response


def first_day(world: World) -> Interval:
    """The world's first day."""
    return Interval(world.spec.first_day_at, world.spec.first_day_at + timedelta(days=1))


def show(world: World, n_pages: int, ledger: Ledger | None = None) -> Iterator[Shown]:
    """Show a uniformly chosen artwork for everything on the first day's pages."""
    rng = np.random.default_rng(0)
    for visits in day(world, first_day(world), n_pages, ledger or world.new_ledger()):
        offsets, artwork = world.candidates(visits.title.ravel(), np.repeat(visits.at, visits.title.shape[1]))
        truth = visits.truth(offsets, artwork)
        chosen = offsets[:-1] + (rng.random(len(offsets) - 1) * np.diff(offsets)).astype(np.int64)
        yield Shown(visits, offsets, artwork, truth, chosen, respond(visits, artwork[chosen], truth[chosen]))


def all_candidates(shown: list[Shown]) -> tuple[Ints, Ints, Floats]:
    """Put the candidates of all chunks end to end: offsets, artworks and truth."""
    counts = np.concatenate([np.diff(part.offsets) for part in shown])
    return (
        np.concatenate(([0], np.cumsum(counts))),
        np.concatenate([part.artwork for part in shown]),
        np.concatenate([part.truth for part in shown]),
    )
