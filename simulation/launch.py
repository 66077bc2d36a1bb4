"""How titles and artworks come to be: those that were there before the first day, and what launches on each day since.

Each day draws from a generator of its own, so that a longer world begins with all that a shorter one has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.layout import GENRES
from simulation.noise import generator
from simulation.population import GENRE_PULL, Ints, ranked_weights, unit_rows
from simulation.spec import WorldSpec

Times = NDArray[np.datetime64]

_GENRE_WEIGHTS = np.array([1.0, 0.95, 0.9])
_CAST_WEIGHTS = np.array([0.4, 0.3])
_STRESSES = (0.79, 0.16)
"""Chance that an artwork stresses one of its title's genres, one of its actors; else it stresses any genre at all."""
_ROMANTIC_COMEDIES = 0.15
"""Share of the titles that are about these two genres, in either order, and about no other."""
_MEAN_AGE_DAYS = 300.0
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Launch:
    """t titles, and a artworks of these or of earlier titles, in no order.

    Args:
        about `(t, d)`: not yet scaled. popularity, length_minutes `(t,)`. title_at `(t,)` datetime64[us].
        title_of `(a,)`: counted through all launches. style `(a, d)`. appeal, clickbait `(a,)`. artwork_at `(a,)`.
    """

    about: Floats
    popularity: Floats
    length_minutes: Floats
    title_at: Times
    title_of: Ints
    style: Floats
    appeal: Floats
    clickbait: NDArray[np.bool_]
    artwork_at: Times


def launches(spec: WorldSpec) -> Iterator[Launch]:
    """Yield what was there before the first day, then what launches on each day of the world, in order of time."""
    rng = generator(spec.seed, "shelf")
    start = np.datetime64(spec.first_day_at.replace(tzinfo=None), "us")
    age = np.round(rng.exponential(_MEAN_AGE_DAYS, spec.n_titles) + 1.0) * _DAY_SECONDS
    opening = _launch(rng, spec, start - _seconds(age), np.zeros((0, len(GENRES) + spec.n_cast)))
    yield opening
    about, n_artworks = opening.about, np.bincount(opening.title_of, minlength=spec.n_titles)
    for day in range(spec.change.n_days):
        rng = generator(spec.seed, f"launches of day {day}")
        title_at = start + _seconds(day * _DAY_SECONDS + _moments(rng, rng.poisson(spec.change.titles_per_day)))
        added = rng.permutation(len(about))[: rng.poisson(spec.change.artworks_per_day)]
        added = added[n_artworks[added] < spec.artworks_per_title[1]]
        added_at = start + _seconds(day * _DAY_SECONDS + _moments(rng, len(added)))
        launch = _launch(rng, spec, title_at, about, added, added_at)
        yield launch
        about = np.concatenate((about, launch.about))
        n_artworks = np.bincount(launch.title_of, minlength=len(about)) + np.pad(n_artworks, (0, len(title_at)))


def _launch(
    rng: np.random.Generator,
    spec: WorldSpec,
    title_at: Times,
    earlier: Floats,
    added: Ints | None = None,
    added_at: Times | None = None,
) -> Launch:
    """Draw new titles with their artworks, and one artwork more for each of the `added` among `earlier` titles."""
    t, effects = len(title_at), spec.effects
    genres = ranked_weights(rng, t, np.log(GENRE_PULL), rng.integers(1, 4, t), _GENRE_WEIGHTS)
    both = generator(spec.seed, f"romantic comedies from {len(earlier)}").random((t, 2))
    genres[both[:, 0] < _ROMANTIC_COMEDIES] = 0.0
    for place, genre in enumerate(("comedy", "romance")):
        weights = np.where((both[:, 1] < 0.5) == bool(place), _GENRE_WEIGHTS[0], _GENRE_WEIGHTS[1])
        column = GENRES.index(genre)
        genres[:, column] = np.where(both[:, 0] < _ROMANTIC_COMEDIES, weights, genres[:, column])
    about = np.hstack((genres, ranked_weights(rng, t, np.zeros(spec.n_cast), rng.integers(1, 3, t), _CAST_WEIGHTS)))
    title_of = len(earlier) + np.repeat(np.arange(t), _counts(rng, spec.artworks_per_title, t))
    artwork_at = title_at[title_of - len(earlier)]
    if added is not None and added_at is not None:
        title_of, artwork_at = np.concatenate((title_of, added)), np.concatenate((artwork_at, added_at))
    a = len(title_of)
    clickbait = rng.random(a) < effects.clickbait_share
    appeal = _around_one(rng, effects.appeal_sigma, a) * np.where(clickbait, effects.clickbait_appeal, 1.0)
    return Launch(
        about=about,
        popularity=_around_one(rng, effects.popularity_sigma, t),
        length_minutes=np.round(rng.uniform(22.0, 130.0, t), 1),
        title_at=title_at,
        title_of=title_of,
        style=_styles(rng, np.concatenate((earlier, about))[title_of]),
        appeal=appeal,
        clickbait=clickbait,
        artwork_at=artwork_at,
    )


def _counts(rng: np.random.Generator, limits: tuple[int, int], n: int) -> Ints:
    """Draw numbers of artworks between the limits, log-uniform: many titles have a few, some very many."""
    low, high = np.log(limits[0]), np.log(limits[1] + 1)
    drawn = np.exp(low + (high - low) * rng.random(n))
    return np.asarray(np.clip(drawn.astype(np.int64), *limits))


def _styles(rng: np.random.Generator, about: Floats) -> Floats:
    """Let each artwork stress one thing: a genre of its title, an actor in it or a mood of another genre."""
    a, n_genres = len(about), len(GENRES)
    genres, cast = about[:, :n_genres], about[:, n_genres:]
    kind = rng.random(a)
    own = np.argmax(np.where(genres > 0, rng.random(genres.shape), -1.0), axis=1)
    chosen = np.where(kind < sum(_STRESSES), own, rng.integers(0, n_genres, a))
    if cast.shape[1]:
        actor = n_genres + np.argmax(np.where(cast > 0, rng.random(cast.shape), -1.0), axis=1)
        chosen = np.where((kind >= _STRESSES[0]) & (kind < sum(_STRESSES)), actor, chosen)
    out = 0.25 * about
    out[np.arange(a), chosen] += 1.0
    return unit_rows(out)


def _around_one(rng: np.random.Generator, sigma: float, n: int) -> Floats:
    """Draw n log-normal factors of mean 1."""
    return np.asarray(rng.lognormal(-0.5 * sigma * sigma, sigma, n))


def _moments(rng: np.random.Generator, n: int) -> Floats:
    """Draw n moments of a day, rising, in whole seconds."""
    return np.sort(np.floor(rng.random(n) * _DAY_SECONDS))


def _seconds(values: Floats) -> NDArray[np.timedelta64]:
    return values.astype("timedelta64[s]").astype("timedelta64[us]")
