"""A small streaming service whose taste is known exactly.

With `DEMO_SPEC` (48 titles of 2–30 artworks, 1,000 profiles), over the decisions of its first day, the true take
fraction of uniform artwork is about .20; the single best artwork of each title earns 15–23 % more, and the best artwork
for each profile 38–52 % more. Other seeds give the same within those ranges (tests/simulation/test_truth.py), and
`python -m benchmarks calibration` holds what sets artworks apart against real tests.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.catalogue import Catalogue
from models.context import device_place
from models.draw import segment_argmax
from models.error import ContractError
from simulation.launch import Times
from simulation.ledger import Ledger
from simulation.population import Ints, make_population
from simulation.response import CEILING, FLOOR, Circumstances, artwork_lift, short_play_chance, title_chance
from simulation.shelf import make_shelf, to_catalogue
from simulation.spec import WorldSpec
from simulation.taste import Tastes

DEMO_SPEC: Final = WorldSpec(seed=2017)
"""The demo's world: effects large enough to be seen in about 150,000 decisions."""


class World:
    """A population and a shelf of titles with their true response, the same for the same spec.

    Inside, profiles, titles and artworks are places in arrays; ids are met at the doors (`profile_places` and
    so on). The ledger of earlier plays is no part of the world: it is handed in with each question.
    """

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec
        self.population = make_population(spec)
        self.shelf = make_shelf(spec)
        self.tastes = Tastes(spec, self.population.taste)
        self._profiles = _places(self.population.ids)
        self._titles = _places(self.shelf.title_ids)
        self._artworks = _places(self.shelf.artwork_ids)

    def catalogue(self) -> Catalogue:
        """Tell what the platform may know: ids, names, genres, styles, launches and defaults."""
        return to_catalogue(self.shelf)

    def new_ledger(self) -> Ledger:
        """Make the ledger of a world in which nobody has played anything."""
        return Ledger(len(self.shelf.title_ids))

    def days(self, at: Times) -> Ints:
        """Count the days from the world's first one to n moments: `(n,)`, below 0 before it."""
        first = np.datetime64(self.spec.first_day_at.replace(tzinfo=None), "us")
        return np.asarray((at - first) // np.timedelta64(1, "D"), dtype=np.int64)

    def profile_places(self, profile_ids: Iterable[str]) -> Ints:
        """Find profiles by id: `(n,)`. Raises: ContractError for an id that is not of this world."""
        return _look_up(self._profiles, profile_ids, "profile_id")

    def title_places(self, title_ids: Iterable[str]) -> Ints:
        """Find titles by id: `(n,)`. Raises: ContractError for an id that is not of this world."""
        return _look_up(self._titles, title_ids, "title_id")

    def artwork_places(self, artwork_ids: Iterable[str]) -> Ints:
        """Find artworks by id: `(m,)`. Raises: ContractError for an id that is not of this world."""
        return _look_up(self._artworks, artwork_ids, "artwork_id")

    def true_probability(
        self, profile: Ints, title: Ints, offsets: Ints, artwork: Ints, around: Circumstances
    ) -> Floats:
        """Give the exact chance of a quality play, once seen, of each candidate of n decisions.

        Args: profile, title `(n,)` places; artwork `(m,)` places, those of decision i at `offsets[i]:offsets[i + 1]`.

        Returns: `(m,)`, each in [0.001, 0.95].
        """
        effects, counts = self.spec.effects, np.diff(offsets)
        taste = self.tastes.of(profile, around.day)
        before = title_chance(self.shelf, effects, taste, title, around)
        lift = artwork_lift(
            self.shelf, effects, np.repeat(taste, counts, axis=0), artwork, np.repeat(around.familiar, counts)
        )
        return np.clip(np.repeat(before, counts) * lift, FLOOR, CEILING)

    def probabilities(
        self,
        *,
        profile_ids: Sequence[str],
        title_ids: Sequence[str],
        actions: Sequence[Sequence[str]],
        device: Sequence[str],
        local_hour: Sequence[int],
        row: Sequence[int],
        familiar: NDArray[np.bool_],
        at: Times,
    ) -> Floats:
        """Give the exact chance of a quality play of every action of n decisions made `at`, end to end: `(m,)`.

        Raises: ContractError for ids that are not of this world.
        """
        around = Circumstances(
            device=np.array([device_place(name) for name in device], dtype=np.int64),
            local_hour=np.asarray(local_hour, dtype=np.int64),
            row=np.asarray(row, dtype=np.int64),
            familiar=np.asarray(familiar, dtype=bool),
            day=self.days(np.asarray(at)),
        )
        offsets = np.concatenate(([0], np.cumsum([len(names) for names in actions]))).astype(np.int64)
        artwork = self.artwork_places(name for names in actions for name in names)
        return self.true_probability(
            self.profile_places(profile_ids), self.title_places(title_ids), offsets, artwork, around
        )

    def short_play_probability(self, artwork: Ints) -> Floats:
        """Give the chance that a visitor who is not won over starts a play and leaves soon: `(m,)` for `(m,)`."""
        return short_play_chance(self.shelf, self.spec.effects, artwork)

    def candidates(self, title: Ints, at: Times) -> tuple[Ints, Ints]:
        """List the artworks launched by `at` of n titles, end to end: offsets `(n + 1,)` and places `(m,)`."""
        starts, counts = self.shelf.offsets[title], np.diff(self.shelf.offsets)[title]
        owner = np.repeat(np.arange(len(title)), counts)
        artwork = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        launched = self.shelf.artwork_launched_at[artwork] <= at[owner]
        kept = np.bincount(owner[launched], minlength=len(title))
        return np.concatenate(([0], np.cumsum(kept))), artwork[launched]

    def best_artwork(self, profile_id: str, title_id: str, at: datetime, *, familiar: bool = False) -> str:
        """Name the artwork that this profile is likeliest to follow: device, hour and row do not change which it is."""
        profile, title = self.profile_places([profile_id]), self.title_places([title_id])
        moment = np.array([at.replace(tzinfo=None)], dtype="datetime64[us]")
        offsets, artwork = self.candidates(title, moment)
        if not len(artwork):
            raise ContractError(f"title has no artwork launched by {at} (title_id={title_id})")
        taste = np.repeat(self.tastes.of(profile, self.days(moment)), len(artwork), axis=0)
        lift = artwork_lift(self.shelf, self.spec.effects, taste, artwork, np.full(len(artwork), familiar))
        return str(self.shelf.artwork_ids[artwork[segment_argmax(lift, offsets)[0]]])


def _places(ids: NDArray[np.object_]) -> dict[str, int]:
    return {name: place for place, name in enumerate(ids)}


def _look_up(places: dict[str, int], ids: Iterable[str], kind: str) -> Ints:
    try:
        return np.fromiter((places[name] for name in ids), dtype=np.int64)
    except KeyError as error:
        raise ContractError(f"{kind} must be one of the simulated world's, got {error.args[0]!r}") from None
