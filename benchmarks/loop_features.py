"""The online features of a simulated service as arrays by place in the world: what the scorer would read from Feast.

They are made by the platform's own step (`pipelines.feature_advance`) from the platform's own event tables. What a
profile knows of titles lies in a dense table of profiles × titles, which is meant for worlds of some thousand profiles.
"""

from collections.abc import Mapping
from copy import copy
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.batch import Batch
from models.context import context_matrix
from models.identity import keys_of
from models.interval import Interval
from models.layout import ARTWORK, DEVICES, PROFILE, TITLE
from models.reward import quality_rule
from models.vector import familiarity_vectors
from pipelines.column import matrix, places
from pipelines.engine import open_engine
from pipelines.feature_advance import Advanced, advance
from pipelines.feature_count import Counted, Events, count_events
from pipelines.feature_rows import launched_before, profile_familiarity_rows, profile_taste_rows
from pipelines.feature_state import STATES, Tastes, advance_familiarity, advance_profiles, fading_of
from pipelines.settings import Settings
from simulation.traffic import Visits
from simulation.world import World

_DEVICES = np.array(DEVICES, dtype=object)


class LoopFeatures:
    """What is known of every profile, title and artwork of a world; all zeros in the beginning.

    `latest` holds the states and rows of the interval that was taken in last.
    """

    def __init__(self, world: World, settings: Settings) -> None:
        self._world, self._settings = world, settings
        self._catalogue = world.catalogue()
        self.latest = Advanced({name: schema.empty_table() for name, schema in STATES.items()}, {})
        self._known_at: datetime | None = None
        people, shelf = world.population, world.shelf
        ids = {"profile_taste": people.ids, "title_profile": shelf.title_ids, "artwork_profile": shelf.artwork_ids}
        self._ids = {view: pa.array(names, pa.string()) for view, names in ids.items()}
        self.profile_keys, self.title_keys = keys_of(people.ids), keys_of(shelf.title_ids)
        self.artwork_keys = keys_of(shelf.artwork_ids)
        widths = {"profile_taste": len(PROFILE), "title_profile": len(TITLE), "artwork_profile": len(ARTWORK)}
        self._vectors = {view: np.zeros((len(ids[view]), width), np.float32) for view, width in widths.items()}
        met = (len(people.ids), len(shelf.title_ids))
        self._met, self._minutes, self._seen = np.zeros(met, bool), np.zeros(met, np.float32), np.zeros(met, np.float32)

    def copy(self) -> "LoopFeatures":
        """Keep what is known now."""
        twin = copy(self)
        twin._vectors = {view: vectors.copy() for view, vectors in self._vectors.items()}
        twin._met, twin._minutes, twin._seen = self._met.copy(), self._minutes.copy(), self._seen.copy()
        return twin

    def advance(self, interval: Interval, events: Mapping[str, pa.Table]) -> None:
        """Take an interval's events in: from now on, decisions see what was known at its end."""
        self.latest = advance(
            self.latest.states,
            self._count(events, interval.end_at),
            launched_before(self._catalogue, interval.end_at),
            fading=fading_of(self._settings),
            elapsed=interval.end_at - (self._known_at or interval.end_at),
            end_at=interval.end_at,
        )
        self._known_at = interval.end_at
        for view in self._vectors:
            self._take_in(view, self.latest.views[view])
        self._remember(self.latest.views["profile_familiarity"])

    def know_profiles(self, events: Mapping[str, pa.Table], at: datetime) -> None:
        """Bring the rows of profiles that did something up to date, as fresh rows are, and nothing else."""
        counted, states = self._count(events, at), self.latest.states
        about = launched_before(self._catalogue, at)
        profiles, touched = advance_profiles(
            states["profile"],
            counted,
            tastes=Tastes(about.title_ids, about.about),
            fading=fading_of(self._settings),
            elapsed=at - (self._known_at or at),
        )
        self._take_in("profile_taste", profile_taste_rows(profiles, touched, at))
        familiarity = advance_familiarity(states["familiarity"], counted.met)
        self._remember(profile_familiarity_rows(familiarity, touched, at))

    def of_profiles(
        self, profile: NDArray[np.int64], title: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Look up n profiles, `(n, len(PROFILE))`, and what they know of `(n, k)` titles, row by row."""
        each = np.repeat(profile, title.shape[1]), title.ravel()
        familiarity = familiarity_vectors(self._met[each], self._minutes[each], self._seen[each])
        return self._vectors["profile_taste"][profile], familiarity

    def profile_places(self, ids: pa.ChunkedArray) -> NDArray[np.int64]:
        """Find profiles by id."""
        return places(ids, self._ids["profile_taste"])

    def batch(self, visits: Visits, offsets: NDArray[np.int64], artwork: NDArray[np.int64]) -> Batch:
        """Lay out the decisions of some pages as the scorer does. Args: candidates as `World.candidates` lists them."""
        profile, title = np.repeat(visits.profile, visits.title.shape[1]), visits.title.ravel()
        taste, familiarity = self.of_profiles(visits.profile, visits.title)
        taste = taste.repeat(visits.title.shape[1], axis=0)
        known = (taste, self._vectors["title_profile"][title], familiarity)
        return Batch(
            offsets=offsets,
            profile_keys=self.profile_keys[profile],
            title_keys=self.title_keys[title],
            artwork_keys=self.artwork_keys[artwork],
            shared=np.concatenate([*known, self._context(visits)], axis=1),
            artworks=self._vectors["artwork_profile"][artwork],
        )

    def _count(self, events: Mapping[str, pa.Table], end_at: datetime) -> Counted:
        with open_engine(self._settings) as engine:
            return count_events(
                engine,
                Events(**{name: engine.rows(rows) for name, rows in events.items()}),
                rule=quality_rule(self._settings.reward_rule),
                half_life=self._settings.taste_half_life,
                end_at=end_at,
            )

    def _take_in(self, view: str, rows: pa.Table) -> None:
        vectors = self._vectors[view]
        vectors[places(rows.column(0), self._ids[view])] = matrix(rows["vector"], vectors.shape[1])

    def _context(self, visits: Visits) -> NDArray[np.float32]:
        people, k = self._world.population, visits.title.shape[1]
        country = people.country[visits.profile]
        languages = np.array(people.languages, dtype=object)
        return context_matrix(
            device=np.repeat(_DEVICES[visits.device], k).tolist(),
            country=np.repeat(np.array(people.countries, dtype=object)[country], k).tolist(),
            language=np.repeat(languages[country], k).tolist(),
            local_hour=np.repeat(visits.local_hour, k),
            day_of_week=np.repeat(visits.day_of_week, k),
            row=visits.row,
            column=np.tile(np.arange(k) % self._world.spec.row_width, len(visits)),
            score=visits.score.ravel(),
        )

    def _remember(self, rows: pa.Table) -> None:
        """Replace what the touched profiles know of titles: a packed row holds all of it."""
        profile = places(rows["profile_id"], self._ids["profile_taste"])
        for table in (self._met, self._minutes, self._seen):
            table[profile] = 0
        lists = rows["title_keys"].combine_chunks()
        who = np.repeat(profile, np.asarray(lists.value_lengths()))
        keys = np.asarray(lists.flatten()).view(np.uint64)
        order = np.argsort(self.title_keys)
        what = order[np.searchsorted(self.title_keys, keys, sorter=order)]
        self._met[who, what] = True
        self._minutes[who, what] = np.asarray(rows["minutes"].combine_chunks().flatten())
        self._seen[who, what] = np.asarray(rows["impressions"].combine_chunks().flatten())
