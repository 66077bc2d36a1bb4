"""What is shown: titles and artworks, with the truth about each that no catalogue tells."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.catalogue import Artwork, Catalogue, Title
from models.layout import GENRES
from simulation.launch import Launch, Times, launches
from simulation.noise import generator
from simulation.population import Ints, taste_names, unit_rows
from simulation.spec import WorldSpec

MOTIFS = {
    "action": "explosion", "adventure": "mountain", "animation": "balloon", "comedy": "smile", "crime": "fingerprint",
    "documentary": "camera", "drama": "mask", "family": "house", "fantasy": "crown", "history": "column",
    "horror": "eye", "music": "note", "mystery": "key", "romance": "heart", "sci-fi": "rocket", "thriller": "bolt",
}  # fmt: skip
"""The dominant subject of an artwork that stresses a genre; one that stresses an actor shows a `portrait`."""

_FIRST = (
    "Silent", "Last", "Golden", "Broken", "Northern", "Hidden", "Electric", "Paper", "Crimson", "Distant", "Second",
)  # fmt: skip
_SECOND = (
    "Harbour", "Winter", "Promise", "Orchard", "Signal", "Carnival", "Border", "Mirror", "Season", "Letter", "River",
    "Engine", "Garden",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shelf:
    """t titles whose a artworks lie end to end; artworks of title i are rows `offsets[i]:offsets[i + 1]`, oldest first.

    Args:
        title_ids `(t,)`, artwork_ids `(a,)`: objects. title_names `(t,)`: objects.
        about `(t, d)`, style `(a, d)`: over `taste_names`, rows of length 1, nowhere below 0.
        popularity `(t,)`: factor about 1. appeal `(a,)`: factor about 1.
        clickbait `(a,)`: whether it makes people start and leave.
        length_minutes `(t,)`: how long a title runs.
        title_launched_at `(t,)`, artwork_launched_at `(a,)`: datetime64[us], UTC.
        offsets `(t + 1,)`; title_of `(a,)`. The first artwork of each title is its default.
    """

    title_ids: NDArray[np.object_]
    title_names: NDArray[np.object_]
    artwork_ids: NDArray[np.object_]
    about: Floats
    style: Floats
    popularity: Floats
    appeal: Floats
    clickbait: NDArray[np.bool_]
    length_minutes: Floats
    title_launched_at: Times
    artwork_launched_at: Times
    offsets: Ints
    title_of: Ints


def make_shelf(spec: WorldSpec) -> Shelf:
    """Make the titles and artworks of a world, titles in the order of their launch, artworks title by title."""
    parts = list(launches(spec))
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Launch.__slots__}
    order = np.argsort(columns["title_of"], kind="stable")
    title_of = columns["title_of"][order]
    t = len(columns["about"])
    offsets = np.concatenate(([0], np.cumsum(np.bincount(title_of, minlength=t))))
    names = np.concatenate((generator(spec.seed, "names").permutation(spec.n_titles), np.arange(spec.n_titles, t)))
    return Shelf(
        title_ids=np.array([f"t{number:05d}" for number in range(t)], dtype=object),
        title_names=np.array([_name(number) for number in names], dtype=object),
        artwork_ids=np.array(
            [f"t{title:05d}-a{row - offsets[title]:02d}" for row, title in enumerate(title_of)], dtype=object
        ),
        about=unit_rows(columns["about"]),
        style=columns["style"][order],
        popularity=columns["popularity"],
        appeal=columns["appeal"][order],
        clickbait=columns["clickbait"][order],
        length_minutes=columns["length_minutes"],
        title_launched_at=columns["title_at"],
        artwork_launched_at=columns["artwork_at"][order],
        offsets=offsets,
        title_of=title_of,
    )


def to_catalogue(shelf: Shelf) -> Catalogue:
    """Tell what a platform may know: ids, names, genres, styles, launches and defaults, never the appeal."""
    names = taste_names(shelf.about.shape[1] - len(GENRES))
    titles = [
        Title(title_id, _aware(launched_at), _weights(names, about), name)
        for title_id, launched_at, about, name in zip(
            shelf.title_ids, shelf.title_launched_at, shelf.about, shelf.title_names, strict=True
        )
    ]
    artworks = [
        Artwork(
            artwork_id=artwork_id,
            title_id=shelf.title_ids[title],
            launched_at=_aware(shelf.artwork_launched_at[row]),
            styles=_weights(names, shelf.style[row]),
            motif=MOTIFS.get(names[int(np.argmax(shelf.style[row]))], "portrait"),
            is_default=bool(row == shelf.offsets[title]),
        )
        for row, (artwork_id, title) in enumerate(zip(shelf.artwork_ids, shelf.title_of, strict=True))
    ]
    return Catalogue(titles, artworks)


def _weights(names: tuple[str, ...], row: Floats) -> dict[str, float]:
    return {names[place]: round(float(row[place]), 6) for place in np.flatnonzero(row > 0)}


def _name(number: int) -> str:
    volume, place = divmod(int(number), len(_FIRST) * len(_SECOND))
    second, first = divmod(place, len(_FIRST))
    name = f"The {_FIRST[first]} {_SECOND[(second + first) % len(_SECOND)]}"
    return f"{name} {volume + 1}" if volume else name


def _aware(moment: np.datetime64) -> datetime:
    found: datetime = moment.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
