"""Who opens a page, when, and which titles the recommender puts on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.decision import RequestContext
from models.error import ContractError
from models.interval import Interval
from models.layout import DEVICES
from simulation.launch import Times
from simulation.ledger import Ledger
from simulation.noise import Luck
from simulation.population import Ints
from simulation.response import Circumstances
from simulation.world import World

HOUR_WEIGHT: Final = np.array(
    [30, 18, 10, 7, 6, 8, 14, 22, 26, 26, 27, 30, 36, 36, 36, 40, 48, 60, 78, 95, 105, 100, 80, 52], dtype=np.float64
)
"""How busy each local hour is."""

PAGES_A_CHUNK: Final = 500
_SLOT_SECONDS = 600.0
_AFFINITY_PULL = 5.0
_TASTE_FOR_SURPRISE = 0.7


@dataclass(frozen=True, slots=True)
class Placement:
    """One title on a page; `score` is the recommender's own opinion of it for this profile."""

    title_id: str
    row: int
    column: int
    score: float


@dataclass(frozen=True, slots=True)
class PageVisit:
    """One page that a device asks for; `number` counts an interval's pages in time order."""

    number: int
    at: datetime
    profile_id: str
    titles: tuple[Placement, ...]
    context: RequestContext


@dataclass(frozen=True, slots=True)
class Visits:
    """n pages of k titles as arrays, in time order; position j of a page is on row `j // row_width`.

    Args:
        number: `(n,)`, counted through the interval.
        at: `(n,)` datetime64[us], UTC.
        profile, device, local_hour, day_of_week: `(n,)`. day: `(n,)`, counted from the world's first one.
        title: `(n, k)` places. score `(n, k)`. familiar `(n, k)`.
    """

    world: World
    luck: Luck
    number: Ints
    at: Times
    profile: Ints
    device: Ints
    local_hour: Ints
    day_of_week: Ints
    title: Ints
    score: Floats
    familiar: NDArray[np.bool_]
    day: Ints

    def __len__(self) -> int:
        return len(self.number)

    @property
    def n_decisions(self) -> int:
        """How many titles lie on these pages."""
        return self.title.size

    def per_decision(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Repeat what is known of each page for each of its titles: `(n,)` to `(n · k,)`."""
        return np.repeat(values, self.title.shape[1])

    @property
    def row(self) -> Ints:
        """`(n · k,)`: the row of each title on its page."""
        return np.tile(np.arange(self.title.shape[1]) // self.world.spec.row_width, len(self))

    def circumstances(self) -> Circumstances:
        """Describe the `n · k` decisions for the truth."""
        k = self.title.shape[1]
        return Circumstances(
            device=np.repeat(self.device, k),
            local_hour=np.repeat(self.local_hour, k),
            row=self.row,
            familiar=self.familiar.ravel(),
            day=np.repeat(self.day, k),
        )

    def truth(self, offsets: Ints, artwork: Ints) -> Floats:
        """Give the exact chance of a quality play of each candidate `(m,)` of the `n · k` decisions."""
        profile = np.repeat(self.profile, self.title.shape[1])
        return self.world.true_probability(profile, self.title.ravel(), offsets, artwork, self.circumstances())

    def pages(self) -> Iterator[PageVisit]:
        """Yield the pages as records, in time order."""
        people, shelf, width = self.world.population, self.world.shelf, self.world.spec.row_width
        moments: list[datetime] = self.at.tolist()
        for place, moment in enumerate(moments):
            profile = self.profile[place]
            country = people.country[profile]
            titles = shelf.title_ids[self.title[place]]
            yield PageVisit(
                number=int(self.number[place]),
                at=moment.replace(tzinfo=UTC),
                profile_id=people.ids[profile],
                titles=tuple(
                    Placement(title_id, spot // width, spot % width, score)
                    for spot, (title_id, score) in enumerate(zip(titles, self.score[place].tolist(), strict=True))
                ),
                context=RequestContext(
                    device=DEVICES[self.device[place]],
                    country=people.countries[country],
                    language=people.languages[country],
                    local_hour=int(self.local_hour[place]),
                    day_of_week=int(self.day_of_week[place]),
                ),
            )


def pages_in(interval: Interval, n_pages_a_day: int) -> int:
    """Tell how many of a day's pages fall into the interval, so that a day's intervals add up to the day's pages."""

    def before(moment: datetime) -> int:
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1) * n_pages_a_day)

    return before(interval.end_at) - before(interval.start_at)


def day(world: World, interval: Interval, n_pages: int, ledger: Ledger) -> Iterator[Visits]:
    """Yield the interval's pages in time order, in chunks; the same for the same world, interval and ledger.

    Visits follow each profile's activity and its local hour. A profile's pages lie minutes apart, so that every play
    follows from one page alone.

    Raises:
        ContractError: if no title is launched yet, or the profiles cannot open so many pages in this interval.
    """
    luck = Luck(world.spec.seed, interval.key)
    start = np.datetime64(interval.start_at.replace(tzinfo=None), "us")
    n_launched = int((world.shelf.title_launched_at <= start).sum())
    if n_launched == 0:
        raise ContractError(
            f"no title is launched by {interval.start_at}: the world begins at {world.spec.first_day_at}"
        )
    k = min(world.spec.page_titles, n_launched)
    at, profile = _arrivals(world, interval, n_pages, luck)
    for first in range(0, n_pages, PAGES_A_CHUNK):
        part = slice(first, first + PAGES_A_CHUNK)
        number = np.arange(first, first + len(at[part]))
        yield _chunk(world, luck, ledger, number, at[part], profile[part], k)


def _arrivals(world: World, interval: Interval, n_pages: int, luck: Luck) -> tuple[Times, Ints]:
    """Draw who comes when: `(n_pages,)` times, rising, and profiles."""
    people = world.population
    seconds = (interval.end_at - interval.start_at).total_seconds()
    n_slots = max(1, round(seconds / _SLOT_SECONDS))
    slot_seconds = seconds / n_slots
    codes = np.zeros(0, dtype=np.int64)
    n_drawn = 0
    while len(codes) < n_pages:
        if n_drawn > 20 * n_pages + 1_000:
            raise ContractError(f"{world.spec.n_profiles} profiles cannot open {n_pages} pages in {interval.key}")
        tries = np.arange(n_drawn, n_drawn + n_pages + 100)
        n_drawn += len(tries)
        drawn = np.concatenate((codes, _profile_slots(world, interval, n_slots, luck, tries)))
        codes = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    profile, slot = np.divmod(codes[:n_pages], n_slots)
    phase = Luck(world.spec.seed, "phase").uniform("phase", np.arange(len(people.ids)))[profile]
    within = phase + 0.5 * luck.uniform("within", profile, slot)
    offset = ((slot + within) * slot_seconds) % seconds
    start = np.datetime64(interval.start_at.replace(tzinfo=None), "us")
    at = start + np.minimum(offset * 1e6, seconds * 1e6 - 1).astype("timedelta64[us]")
    order = np.lexsort((profile, at))
    return at[order], profile[order]


def _profile_slots(world: World, interval: Interval, n_slots: int, luck: Luck, tries: Ints) -> Ints:
    """Draw a (profile, slot) code for each try, weighted by activity and local hour."""
    people = world.population
    order = np.argsort(people.country, kind="stable")
    reach = np.cumsum(people.activity[order])
    ends = np.cumsum(np.bincount(people.country, minlength=len(people.countries)))
    upper = np.concatenate(([0.0], reach))[ends]
    lower = np.concatenate(([0.0], upper[:-1]))
    first_hour = interval.start_at.hour + interval.start_at.minute / 60
    step = (interval.end_at - interval.start_at).total_seconds() / 3_600 / n_slots
    hours = first_hour + (np.arange(n_slots) + 0.5) * step
    local = (hours[:, None] + people.utc_offset_hours).astype(np.int64) % 24
    weight = np.cumsum(HOUR_WEIGHT[local] * (upper - lower))
    cell = np.searchsorted(weight, luck.uniform("slot", tries) * weight[-1])
    slot, country = np.divmod(np.minimum(cell, len(weight) - 1), len(people.countries))
    mark = lower[country] + luck.uniform("profile", tries) * (upper - lower)[country]
    profile = order[np.minimum(np.searchsorted(reach, mark), len(order) - 1)]
    return np.asarray(profile * n_slots + slot)


def _chunk(world: World, luck: Luck, ledger: Ledger, number: Ints, at: Times, profile: Ints, k: int) -> Visits:
    people, shelf = world.population, world.shelf
    day = world.days(at)
    known = np.flatnonzero(shelf.title_launched_at <= at[-1])
    fit = world.tastes.of(profile, day) @ shelf.about[known].T
    surprise = _TASTE_FOR_SURPRISE * luck.gumbel("surprise", number[:, None], known)
    utility = _AFFINITY_PULL * fit + np.log(shelf.popularity[known]) + surprise
    utility[shelf.title_launched_at[known] > at[:, None]] = -np.inf
    column = np.argsort(-utility, axis=1, kind="stable")[:, :k]
    title = known[column]
    opinion = Luck(world.spec.seed, "opinion").gumbel("opinion", profile[:, None], title)
    mix = np.cumsum(people.device_mix[profile], axis=1)
    hour = at.astype("datetime64[h]").astype(np.int64) + people.utc_offset_hours[people.country[profile]]
    return Visits(
        world=world,
        luck=luck,
        number=number,
        at=at,
        profile=profile,
        device=np.minimum((luck.uniform("device", number)[:, None] > mix).sum(axis=1), len(DEVICES) - 1),
        local_hour=hour % 24,
        day_of_week=(hour // 24 + 3) % 7,
        title=title,
        score=np.round(np.take_along_axis(fit, column, axis=1) + 0.05 * opinion, 4),
        familiar=ledger.familiar(np.broadcast_to(profile[:, None], title.shape), title),
        day=day,
    )
