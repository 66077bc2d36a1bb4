"""Are a title's artworks drawn as they say: the draws of the uniform cell, each counted once, title by title.

A profile meets the same draw of a title until the epoch ends, however often it is shown, and draws of other keys
(profile, title, epoch) are independent of it. So the first decision of each key counts, and no other. What is expected
follows from the logged lists of candidates, which differ by launch, maturity and country: those of a title with the
same artworks are one test of `allocation`.

Up to `MAX_DRAWS` keys are told apart; of more, those with the smallest hashes are kept, which is a random sample that
depends on nothing that was drawn.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.allocation import Allocations, log_capitals, many_faulty, one_faulty
from evaluation.log_check import in_uniform_cell
from models.batch import Keys, LoggedBatch
from models.draw import combine, mix
from models.identity import hash64

MAX_DRAWS = 2**21
_SALT = np.uint64(hash64("marquee/title-draw"))
_Places = NDArray[np.int64]


class TitleShare(msgspec.Struct, frozen=True):
    """An artwork's share of those of its title's `n_draws` that it could have won, and what it should be."""

    title: str
    artwork: str
    n_draws: int
    share: float
    expected: float


class TitleTest(msgspec.Struct, frozen=True):
    """Two tests by title of the draws of the uniform cell: whether one is faulty, and whether all are together.

    `worst` is the title with most against it, by its artwork that is farthest off; None without draws of two artworks.
    """

    n_draws: int
    n_titles: int
    p_one: float | None = None
    p_many: float | None = None
    worst: TitleShare | None = None


class TitleDraws:
    """Counts of the draws of every list of candidates, filled batch by batch."""

    def __init__(self, max_draws: int = MAX_DRAWS) -> None:
        self._max_draws = max_draws
        self._limit = np.uint64(2**64 - 1)
        self._keys: list[Keys] = []  # the first is sorted and distinct, others are as they came
        self._drawn: list[_Places] = []  # for each key, a place among the candidates of all lists
        self._n_pending = 0
        self._places: dict[int, int] = {}  # by list and artwork
        self._lists: list[int] = []
        self._sizes: list[int] = []
        self._titles: list[int] = []
        self._arms: list[int] = []
        self._title_places: dict[int, int] = {}
        self._arm_places: dict[tuple[int, int], int] = {}
        self._title_names: list[str] = []
        self._arm_names: list[str] = []

    def add(self, logged: LoggedBatch) -> None:
        """Count one batch."""
        rows = np.flatnonzero(in_uniform_cell(logged) & (logged.batch.counts > 1))
        keys = _draw_keys(logged, rows)
        admitted = keys <= self._limit
        rows, keys = rows[admitted], keys[admitted]
        if not len(rows):
            return
        self._keys.append(keys)
        self._drawn.append(self._place(logged, rows))
        self._n_pending += len(rows)
        if self._n_pending > self._max_draws // 2:
            self._settle()

    def test(self) -> TitleTest:
        """Make both tests of what was counted."""
        self._settle()
        if not self._sizes:
            return TitleTest(0, 0)
        tests = self._tests()
        capitals = log_capitals(tests)
        seen = capitals[np.unique(tests.subjects[tests.totals > 0])]
        worst = self._share(tests, int(np.argmax(capitals)))
        return TitleTest(round(float(tests.totals.sum())), len(seen), one_faulty(seen), many_faulty(tests), worst)

    def _tests(self) -> Allocations:
        """Lay out the counts of all lists, in an order that depends on neither log nor draws."""
        order = np.argsort(np.array(self._lists, dtype=np.uint64))
        sizes = np.array(self._sizes)
        starts, sizes = (np.cumsum(sizes) - sizes)[order], sizes[order]
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
        counts = np.bincount(self._drawn[0], minlength=len(places))
        return Allocations(counts[places], offsets, np.array(self._titles)[order], np.array(self._arms)[places])

    def _settle(self) -> None:
        """Forget repeats, and of too many keys those with the largest hashes."""
        if not self._n_pending:
            return
        keys, first = np.unique(np.concatenate(self._keys), return_index=True)
        drawn = np.concatenate(self._drawn)[first]
        if len(keys) > self._max_draws:
            keys, drawn = keys[: self._max_draws].copy(), drawn[: self._max_draws].copy()
            self._limit = keys[-1]
        self._keys, self._drawn, self._n_pending = [keys], [drawn], 0

    def _place(self, logged: LoggedBatch, rows: _Places) -> _Places:
        """Find what was drawn, by list and artwork; lists that are new are written down."""
        batch = logged.batch
        candidates, counts = batch.candidate_rows(rows), batch.counts[rows]
        artworks = mix(batch.artwork_keys[candidates])
        sums = np.add.reduceat(artworks, np.cumsum(counts) - counts)  # whatever the order of the list
        lists = combine(combine(batch.title_keys[rows], sums), counts.astype(np.uint64))
        for at in np.sort(np.unique(lists, return_index=True)[1]).tolist():
            self._admit(logged, int(rows[at]), lists[at])
        cells, back = np.unique(combine(lists, batch.artwork_keys[logged.chosen[rows]]), return_inverse=True)
        return np.array([self._places[cell] for cell in cells.tolist()], dtype=np.int64)[back]

    def _admit(self, logged: LoggedBatch, row: int, key: np.uint64) -> None:
        batch = logged.batch
        candidates = slice(int(batch.offsets[row]), int(batch.offsets[row + 1]))
        artworks = batch.artwork_keys[candidates]
        cells = combine(np.full(len(artworks), key), artworks).tolist()
        if cells[0] in self._places:
            return
        title_key = int(batch.title_keys[row])
        title = self._title_places.setdefault(title_key, len(self._title_names))
        if title == len(self._title_names):
            self._title_names.append(_name(logged.title_ids, row, title_key))
        self._lists.append(int(key))
        self._titles.append(title)
        self._sizes.append(len(cells))
        for place, (cell, artwork) in enumerate(zip(cells, artworks.tolist(), strict=True), candidates.start):
            arm = self._arm_places.setdefault((title, artwork), len(self._arm_names))
            if arm == len(self._arm_names):
                self._arm_names.append(_name(logged.artwork_ids, place, artwork))
            self._places[cell] = len(self._arms)
            self._arms.append(arm)

    def _share(self, tests: Allocations, title: int) -> TitleShare:
        drawn, expected, errors = tests.deviations()
        of_title = np.repeat(tests.subjects == title, tests.sizes)
        arm = int(max(np.unique(tests.arms[of_title]), key=lambda each: abs(errors[each])))
        possible = float(np.repeat(tests.totals, tests.sizes)[tests.arms == arm].sum())
        return TitleShare(
            self._title_names[title],
            self._arm_names[arm],
            round(possible),
            float(drawn[arm]) / max(possible, 1.0),
            float(expected[arm]) / max(possible, 1.0),
        )


def _draw_keys(logged: LoggedBatch, rows: _Places) -> Keys:
    """Hash what a draw is keyed by, `(n,)`; where epochs are not told, a profile draws once for a title."""
    batch = logged.batch
    epochs = np.zeros(len(rows), dtype=np.uint64) if logged.epoch is None else logged.epoch[rows].view(np.uint64)
    keys = combine(combine(batch.profile_keys[rows], batch.title_keys[rows]), epochs)
    return combine(keys, np.full(len(rows), _SALT))


def _name(names: NDArray[np.object_] | None, place: int, key: int) -> str:
    return f"{key:016x}" if names is None else str(names[place])
