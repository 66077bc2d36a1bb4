"""The catalogue and its feature vectors as dense arrays: all that a page needs of titles and artworks.

An index never changes. A refresh builds the next one beside it and swaps one reference, so that no request waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import Floats, Keys
from models.catalogue import Artwork, Catalogue, Title
from models.epoch import ALL_KNOWN
from models.identity import keys_of
from models.kernel import ArtworkTable
from models.layout import ARTWORK, TITLE
from models.linear import bounded
from serving.candidate import UNKNOWN_ROW, Candidates
from serving.features import OnlineFeatures, Vectors
from serving.pace import rest

_NEVER = int(np.iinfo(np.int64).max)
_MOST_KEPT = 100_000
"""Candidates kept of titles whose artworks not everybody may see."""


@dataclass(frozen=True, slots=True, eq=False)
class TitleEntry:
    """One title: its artworks in catalogue order, and all of them as candidates.

    `all_launched_us` is the moment from which all of its artworks may be shown, microseconds since the epoch;
    `is_restricted` tells that some may not be shown to everybody.
    """

    row: int
    artworks: tuple[Artwork, ...]
    artwork_rows: NDArray[np.int64]
    default_id: str
    all_launched_us: int
    is_restricted: bool
    whole: Candidates

    @property
    def artwork_ids(self) -> tuple[str, ...]:
        """The ids of its artworks."""
        return tuple(artwork.artwork_id for artwork in self.artworks)

    @property
    def open_from_us(self) -> int:
        """The moment from which everybody may see all of its artworks, at least one; `_NEVER` where there is none."""
        return _NEVER if self.is_restricted or not self.artworks else self.all_launched_us


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueIndex:
    """T titles and A artworks; those of one title lie end to end.

    A page asks of nearly every title for all of its artworks. What it needs for that lies in arrays by row: an object
    for each title would be four places in memory, none of which the processor has at hand.

    Args:
        titles: each title's entry.
        title_row, artwork_row: each one's row.
        artwork_ids: A + 1 ids, the last one empty.
        lines: T lists of ids, as the JSON that goes to the log.
        firsts, sizes: `(T + 1,)`, the row of each title's first artwork, and how many it has.
        open_from_us: `(T + 1,)`, the moment from which everybody may see all of a title's artworks, microseconds since
            the epoch; never for one that has none, or some that not everybody may see.
        title_keys, artwork_keys: `(T + 1,)` and `(A + 1,)`, the last one 0.
        title_vectors, artwork_vectors: `(T + 1, len(TITLE))` and `(A + 1, len(ARTWORK))`, the last row zeros.
        title_of: `(A + 1,)` int64, the row of each artwork's title.
        titles_bounded: `(T + 1, len(TITLE))` float64, the vectors as policies take them.
        motifs: `(A + 1,)` int64, equal for artworks of the same dominant motif; 0 for none.
        restricted: by row, those artworks that not everybody may see.
        launched_us: `(A,)` int64, when each artwork may first be shown, microseconds since the epoch.
        known_us: the end of the interval that the vectors are made of, microseconds since the epoch; `ALL_KNOWN` where
            there is none yet.
        is_read: whether a feature store was ever asked for the vectors, and answered.
        n_refused_vectors: how many vectors were not finite, or of rows that break their contract, and are served as
            zeros.
    """

    titles: Mapping[str, TitleEntry]
    title_row: Mapping[str, int]
    artwork_ids: list[str]
    lines: list[msgspec.Raw]
    firsts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    open_from_us: NDArray[np.int64]
    artwork_row: Mapping[str, int]
    title_keys: Keys
    artwork_keys: Keys
    title_vectors: Vectors
    artwork_vectors: Vectors
    title_of: NDArray[np.int64]
    titles_bounded: Floats
    motifs: NDArray[np.int64]
    restricted: Mapping[int, Artwork]
    launched_us: NDArray[np.int64]
    known_us: int
    n_refused_vectors: int
    is_read: bool
    _kept: dict[tuple[int, str, int | None], Candidates] = field(default_factory=dict, repr=False)

    @property
    def table(self) -> ArtworkTable:
        """The artworks as a kernel is laid out over them."""
        return ArtworkTable(self.artwork_keys, self.artwork_vectors, self.title_vectors[self.title_of])

    def with_vectors(self, features: OnlineFeatures) -> "CatalogueIndex":
        """Read every title's and artwork's vector, in bulk; the index itself where they are as they were.

        Raises:
            FeatureUnavailableError: if the feature store does not answer.
        """
        titles, artworks = features.titles(list(self.titles)), features.artworks(self.artwork_ids[:-1])
        # While a night's rows arrive, one view has them before the other.
        known_us = min((each.known_us for each in (titles, artworks) if each.known_us is not None), default=ALL_KNOWN)
        title_vectors, n_bad_titles = _padded(titles.vectors, len(TITLE))
        artwork_vectors, n_bad_artworks = _padded(artworks.vectors, len(ARTWORK))
        n_refused = n_bad_titles + n_bad_artworks + titles.n_refused + artworks.n_refused
        both = ((title_vectors, self.title_vectors), (artwork_vectors, self.artwork_vectors))
        is_same = self.is_read and (known_us, n_refused) == (self.known_us, self.n_refused_vectors)
        if is_same and all(np.array_equal(new, old) for new, old in both):
            return self
        return replace(self._with(title_vectors, artwork_vectors, known_us), is_read=True, n_refused_vectors=n_refused)

    def with_vectors_of(self, other: "CatalogueIndex") -> "CatalogueIndex":
        """Give every title and artwork the vector that it has in another index; zeros where it has none there."""
        titles = [other.title_row.get(name, UNKNOWN_ROW) for name in (*self.title_row, "")]
        artworks = [other.artwork_row.get(name, UNKNOWN_ROW) for name in self.artwork_ids]
        kept = self._with(other.title_vectors[titles], other.artwork_vectors[artworks], other.known_us)
        return replace(kept, is_read=other.is_read)

    def _with(self, titles: Vectors, artworks: Vectors, known_us: int) -> "CatalogueIndex":
        return replace(
            self,
            title_vectors=titles,
            artwork_vectors=artworks,
            titles_bounded=bounded(titles).astype(np.float64),
            known_us=known_us,
        )

    def candidates(self, title_id: str, at_us: int, country: str = "", maturity_limit: int | None = None) -> Candidates:
        """List a title's artworks that are launched at `at_us` and may be seen there, at that limit."""
        entry = self.titles.get(title_id)
        if entry is None:
            return Candidates.nothing(title_id, UNKNOWN_ROW, "unknown_title")
        if at_us >= entry.all_launched_us:
            if not entry.is_restricted:
                return entry.whole
            return self._allowed(title_id, entry, country, maturity_limit)
        launched = self.launched_us[entry.artwork_rows] <= at_us
        return _some(
            title_id,
            entry,
            [
                bool(is_launched) and artwork.may_be_seen(country, maturity_limit)
                for is_launched, artwork in zip(launched, entry.artworks, strict=True)
            ],
        )

    def named(
        self, title_id: str, artwork_ids: Sequence[str], country: str = "", maturity_limit: int | None = None
    ) -> Candidates:
        """List the artworks that a request names for a title, launched and known or not.

        Those that are known and may not be seen there, at that limit, are left out.
        """
        entry = self.titles.get(title_id)
        title_row = UNKNOWN_ROW if entry is None else entry.row
        found = [(self.artwork_row.get(name, UNKNOWN_ROW), name) for name in artwork_ids]
        if self.restricted:
            get = self.restricted.get
            found = [each for each in found if (of := get(each[0])) is None or of.may_be_seen(country, maturity_limit)]
        if not found:
            return Candidates.nothing(title_id, title_row, "no_artwork")
        rows = np.array([row for row, _ in found], dtype=np.int64)
        is_own = len(rows) == 1 or bool((rows != UNKNOWN_ROW).all() and (self.title_of[rows] == title_row).all())
        default = "" if entry is None else entry.default_id
        return Candidates.of(title_row, rows, [name for _, name in found], default, is_own=is_own)

    def _allowed(self, title_id: str, entry: TitleEntry, country: str, maturity_limit: int | None) -> Candidates:
        key = (entry.row, country, maturity_limit)
        found = self._kept.get(key)
        if found is None:
            found = _some(title_id, entry, [each.may_be_seen(country, maturity_limit) for each in entry.artworks])
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found


def build_index(catalogue: Catalogue, features: OnlineFeatures) -> CatalogueIndex:
    """Lay the catalogue out and read every title's and artwork's vector, in bulk.

    Raises:
        FeatureUnavailableError: if the feature store does not answer.
    """
    return lay_out(catalogue).with_vectors(features)


def lay_out(catalogue: Catalogue) -> CatalogueIndex:
    """Lay a catalogue out of which nothing is known: every vector is zeros."""
    title_ids = list(catalogue.titles)
    artworks = [artwork for title_id in title_ids for artwork in catalogue.artworks_of[title_id]]
    artwork_ids = [artwork.artwork_id for artwork in artworks]
    artwork_row = {name: row for row, name in enumerate(artwork_ids)}
    launched_us = np.array([microseconds(artwork.launched_at) for artwork in artworks], dtype=np.int64)
    title_row = {name: row for row, name in enumerate(title_ids)}
    title_of = [title_row[artwork.title_id] for artwork in artworks]
    titles = {}
    for row, title in enumerate(catalogue.titles.values()):
        titles[title.title_id] = _entry(row, title, catalogue, artwork_row, launched_us)
        rest()
    sizes = np.array([*(len(entry.artworks) for entry in titles.values()), 0], dtype=np.int64)
    return CatalogueIndex(
        titles=titles,
        title_row=title_row,
        artwork_ids=[*artwork_ids, ""],
        lines=[entry.whole.line for entry in titles.values()],
        firsts=sizes.cumsum() - sizes,
        sizes=sizes,
        open_from_us=np.array([*(entry.open_from_us for entry in titles.values()), _NEVER], dtype=np.int64),
        artwork_row=artwork_row,
        title_keys=np.append(keys_of(title_ids), np.uint64(0)),
        artwork_keys=np.append(keys_of(artwork_ids), np.uint64(0)),
        title_vectors=np.zeros((len(title_ids) + 1, len(TITLE)), dtype=np.float32),
        artwork_vectors=np.zeros((len(artwork_ids) + 1, len(ARTWORK)), dtype=np.float32),
        title_of=np.array([*title_of, len(title_ids)], dtype=np.int64),
        titles_bounded=np.zeros((len(title_ids) + 1, len(TITLE))),
        motifs=_motifs(artworks),
        restricted={row: artwork for row, artwork in enumerate(artworks) if artwork.is_restricted},
        launched_us=launched_us,
        known_us=ALL_KNOWN,
        n_refused_vectors=0,
        is_read=False,
    )


def microseconds(moment: datetime) -> int:
    """Count whole microseconds since the epoch, exactly."""
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + moment.microsecond


def _entry(
    row: int, title: Title, catalogue: Catalogue, artwork_row: Mapping[str, int], launched_us: NDArray[np.int64]
) -> TitleEntry:
    artworks = tuple(catalogue.artworks_of[title.title_id])
    ids = [artwork.artwork_id for artwork in artworks]
    rows = np.array([artwork_row[name] for name in ids], dtype=np.int64)
    default = catalogue.default_of(title.title_id)
    return TitleEntry(
        row=row,
        artworks=artworks,
        artwork_rows=rows,
        default_id=default,
        all_launched_us=int(launched_us[rows].max(initial=np.iinfo(np.int64).min)),
        is_restricted=any(artwork.is_restricted for artwork in artworks),
        whole=(
            Candidates.of(row, rows, ids, default) if ids else Candidates.nothing(title.title_id, row, "no_artwork")
        ),
    )


def _some(title_id: str, entry: TitleEntry, may_be: Sequence[bool]) -> Candidates:
    places = [place for place, may in enumerate(may_be) if may]
    if not places:
        return Candidates.nothing(title_id, entry.row, "no_artwork")
    ids = [entry.artworks[place].artwork_id for place in places]
    return Candidates.of(entry.row, entry.artwork_rows[places], ids, entry.default_id)


def _motifs(artworks: Sequence[Artwork]) -> NDArray[np.int64]:
    known: dict[str, int] = {"": 0}
    codes = [known.setdefault(artwork.motif, len(known)) for artwork in artworks]
    return np.array([*codes, 0], dtype=np.int64)


def _padded(vectors: Vectors, width: int) -> tuple[Vectors, int]:
    out = np.zeros((len(vectors) + 1, width), dtype=np.float32)
    out[:-1] = vectors
    bad = ~np.isfinite(out).all(axis=1)
    out[bad] = 0.0
    return out, int(bad.sum())
