"""A simulated service logged in memory, chunk by chunk: pages, features, a policy, its draws, and what came of them.

Profiles, titles and artworks have the vectors that a platform would have which knows them well: their taste of the day,
what they are about, what they stress. Nothing is learned and nothing kept: a log may be as long as one likes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats, LoggedBatch
from models.context import context_matrix
from models.decision import Cell
from models.draw import draw
from models.identity import keys_of
from models.interval import Interval
from models.layout import ARTWORK, DEVICES, FAMILIARITY, PROFILE, TASTES, TITLE, taste_place
from models.policy import Policy
from simulation.behaviour import Response, respond
from simulation.population import taste_names
from simulation.traffic import Visits, day
from simulation.world import World

Ints = NDArray[np.int64]
_DAY = timedelta(days=1)
_DEVICES = np.array(DEVICES, dtype=object)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some pages' n decisions of m candidates, seen or not.

    Args: logged, of which `reward` means nothing where not seen; artwork, truth `(m,)`.
    """

    visits: Visits
    logged: LoggedBatch
    artwork: Ints
    truth: Floats
    response: Response


class SimulatedLog:
    """A world's days under a policy; plays of a day are known to the world on the next one."""

    def __init__(self, world: World) -> None:
        people, shelf, self._world = world.population, world.shelf, world
        names = taste_names(world.spec.n_cast)
        self._fold = np.zeros((len(names), len(TASTES)))
        self._fold[np.arange(len(names)), [taste_place(name) for name in names]] = 1.0
        self._keys = [keys_of(ids) for ids in (people.ids, shelf.title_ids, shelf.artwork_ids)]
        self._title = self._padded(shelf.about, len(TITLE))
        self._artwork = self._padded(shelf.style, len(ARTWORK))
        self._country = np.array(people.countries, dtype=object)
        self._language = np.array(people.languages, dtype=object)

    def days(self, policy: Policy, n_days: int, n_pages_a_day: int) -> Iterator[Chunk]:
        """Yield the chunks of `n_days` days."""
        world, ledger = self._world, self._world.new_ledger()
        for number in range(n_days):
            start = world.spec.first_day_at + number * _DAY
            profile = self._padded(world.tastes.on(number), len(PROFILE))
            played: list[tuple[Ints, Ints]] = []
            for visits in day(world, Interval(start, start + _DAY), n_pages_a_day, ledger):
                chunk = self._chunk(policy, visits, profile)
                started = chunk.response.started
                who = np.repeat(visits.profile, visits.title.shape[1])
                played.append((who[started], visits.title.ravel()[started]))
                yield chunk
            ledger = ledger.with_plays(*(np.concatenate(part) for part in zip(*played, strict=True)))

    def _chunk(self, policy: Policy, visits: Visits, profile: NDArray[np.float32]) -> Chunk:
        k, title = visits.title.shape[1], visits.title.ravel()
        at = np.repeat(visits.at, k)
        offsets, artwork = self._world.candidates(title, at)
        batch = self._batch(visits, offsets, artwork, profile)
        pmf = policy.pmf(batch)
        epochs = np.repeat(visits.day, k).view(np.uint64)
        chosen = draw(pmf, offsets, batch.profile_keys, batch.title_keys, batch.artwork_keys, epochs)
        truth = visits.truth(offsets, artwork)
        response = respond(visits, artwork[chosen], truth[chosen])
        n = len(batch)
        logged = LoggedBatch(
            batch=batch,
            chosen=chosen,
            propensity=np.minimum(pmf[chosen], 1.0),
            reward=response.quality.astype(np.float64),
            decision_ids=np.full(n, "", dtype=object),
            decided_at=at,
            device=np.repeat(_DEVICES[visits.device], k),
            country=np.repeat(self._country[self._world.population.country[visits.profile]], k),
            cell=np.full(n, Cell.LIVE.value, dtype=object),
        )
        return Chunk(visits, logged, artwork, truth, response)

    def _batch(self, visits: Visits, offsets: Ints, artwork: Ints, profile: NDArray[np.float32]) -> Batch:
        k, title = visits.title.shape[1], visits.title.ravel()
        who = np.repeat(visits.profile, k)
        familiarity = np.zeros((len(title), len(FAMILIARITY)), dtype=np.float32)
        familiarity[:, 0] = visits.familiar.ravel()
        shared = (profile[who], self._title[title], familiarity, self._context(visits))
        return Batch(
            offsets=offsets,
            profile_keys=self._keys[0][who],
            title_keys=self._keys[1][title],
            artwork_keys=self._keys[2][artwork],
            shared=np.concatenate(shared, axis=1),
            artworks=self._artwork[artwork],
        )

    def _context(self, visits: Visits) -> NDArray[np.float32]:
        k = visits.title.shape[1]
        country = self._world.population.country[visits.profile]
        width = self._world.spec.row_width
        return context_matrix(
            device=np.repeat(_DEVICES[visits.device], k).tolist(),
            country=np.repeat(self._country[country], k).tolist(),
            language=np.repeat(self._language[country], k).tolist(),
            local_hour=np.repeat(visits.local_hour, k),
            day_of_week=np.repeat(visits.day_of_week, k),
            row=visits.row,
            column=np.tile(np.arange(k) % width, len(visits)),
            score=visits.score.ravel(),
        )

    def _padded(self, tastes: Floats, width: int) -> NDArray[np.float32]:
        out = np.zeros((len(tastes), width), dtype=np.float32)
        out[:, : len(TASTES)] = tastes @ self._fold
        return out
