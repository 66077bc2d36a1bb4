"""Who visits: profiles with a taste, a place, a clock and devices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.layout import GENRES
from simulation.noise import generator
from simulation.spec import WorldSpec

Ints = NDArray[np.int64]

CAST = (
    "ines varga", "tomas lindqvist", "amara okoye", "kenji mori", "lucia ferrante", "samuel hart",
    "priya nair", "elif demir", "jonas weiss", "marta kowal", "diego salas", "freya holm",
)  # fmt: skip
"""Actors who do not exist."""

GENRE_PULL = np.array([1.1, 1.0, 0.9, 1.2, 1.05, 0.9, 1.2, 0.95, 0.95, 0.75, 0.8, 0.7, 0.95, 1.1, 0.95, 1.05])
"""How common each of `GENRES` is, among likes and among titles; a ratio."""

_COUNTRIES = (
    ("SE", "sv", 1, 0.15),
    ("US", "en", -5, 0.4),
    ("BR", "pt", -3, 0.2),
    ("IN", "hi", 5, 0.15),
    ("JP", "ja", 9, 0.1),
)
"""Name, language, hours from UTC and share of the profiles."""
_LIKE_WEIGHTS = np.array([1.0, 0.9, 0.8])
_CAST_LIKING = 0.6
"""How much a favourite actor is liked, next to a favourite genre."""
_DEVICE_MIX = np.array([3.0, 1.8, 0.6, 0.9, 0.2])
"""Dirichlet weights of `models.layout.DEVICES`."""


def taste_names(n_cast: int) -> tuple[str, ...]:
    """Name the columns of every taste matrix of a world: the genres, then the cast."""
    cast = (CAST[place] if place < len(CAST) else f"cast {place}" for place in range(n_cast))
    return (*GENRES, *cast)


@dataclass(frozen=True, slots=True)
class Population:
    """n profiles.

    Args:
        ids: `(n,)` objects.
        taste: `(n, d)` over `taste_names`, each row of length 1 and nowhere below 0: what everybody begins with, before
            drift and season (`simulation.taste`).
        activity: `(n,)`, relative number of visits.
        country: `(n,)` places in `countries`.
        device_mix: `(n, len(DEVICES))`, probabilities of each device.
        countries, languages: the names; a language belongs to the country at the same place.
        utc_offset_hours: of each country, whole hours.
    """

    ids: NDArray[np.object_]
    taste: Floats
    activity: Floats
    country: Ints
    device_mix: Floats
    countries: tuple[str, ...]
    languages: tuple[str, ...]
    utc_offset_hours: Ints


def make_population(spec: WorldSpec) -> Population:
    """Make the profiles of a world: each has a taste, a country and devices."""
    rng = generator(spec.seed, "population")
    n = spec.n_profiles
    taste = draw_tastes(rng, n, spec.n_cast)
    shares = np.array([share for *_, share in _COUNTRIES])
    return Population(
        ids=np.array([f"p{number:07d}" for number in range(n)], dtype=object),
        taste=taste,
        activity=rng.lognormal(0.0, 0.8, n),
        country=rng.choice(len(_COUNTRIES), n, p=shares / shares.sum()),
        device_mix=rng.dirichlet(_DEVICE_MIX, n),
        countries=tuple(name for name, *_ in _COUNTRIES),
        languages=tuple(language for _, language, *_ in _COUNTRIES),
        utc_offset_hours=np.array([offset for *_, offset, _ in _COUNTRIES]),
    )


def draw_tastes(rng: np.random.Generator, n: int, n_cast: int) -> Floats:
    """Draw n tastes: `(n, d)` over `taste_names`, two or three liked genres and up to two liked actors each."""
    genres = ranked_weights(rng, n, np.log(GENRE_PULL), rng.integers(2, 4, n), _LIKE_WEIGHTS)
    cast = ranked_weights(rng, n, np.zeros(n_cast), rng.integers(0, 3, n), _LIKE_WEIGHTS * _CAST_LIKING)
    return unit_rows(np.hstack((genres + 0.05, cast)))


def ranked_weights(rng: np.random.Generator, n: int, log_pull: Floats, counts: Ints, weights: Floats) -> Floats:
    """Pick `counts[i]` columns for each of n rows without repeats, likelier by their pull, and weigh them by rank.

    Args: log_pull `(d,)`; counts `(n,)`, at most `len(weights)`; weights by rank, the first the favourite.

    Returns: `(n, d)`, zero where a column was not picked.
    """
    d = len(log_pull)
    out = np.zeros((n, d))
    if d == 0:
        return out
    order = np.argsort(-(log_pull + rng.gumbel(size=(n, d))), axis=1)[:, : len(weights)]
    by_rank = np.where(np.arange(order.shape[1]) < counts[:, None], weights[: order.shape[1]], 0.0)
    np.put_along_axis(out, order, by_rank, axis=1)
    return out


def unit_rows(matrix: Floats) -> Floats:
    """Scale each row to length 1; a row of zeros stays."""
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    return np.asarray(matrix / np.where(norms > 0, norms, 1.0)[:, None])
