"""The named, versioned layout of every feature vector.

A vector means something only with its layout: training, serving and the log all take positions from here. Changing a
line is a new `FEATURE_SERVICE`, and a policy of another feature service is refused.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.error import ContractError
from models.identity import hash64

FEATURE_SERVICE: Final = "artwork_ranker_v1"

GENRES: Final = (
    "action", "adventure", "animation", "comedy", "crime", "documentary", "drama", "family",
    "fantasy", "history", "horror", "music", "mystery", "romance", "sci-fi", "thriller",
)  # fmt: skip
"""Tastes with a place of their own; every other name (cast, tone, shop category) shares `N_HASHED_TASTES` places."""

N_HASHED_TASTES: Final = 8
TASTES: Final = (*GENRES, *(f"hashed_{place}" for place in range(N_HASHED_TASTES)))

DEVICES: Final = ("tv", "mobile", "tablet", "web", "other")
N_PLACES: Final = 4
"""Countries and languages are hashed to this many places each."""

PROFILE: Final = (
    *(f"taste:{name}" for name in TASTES),
    "log_impressions", "log_plays", "quality_rate", "log_tenure_days",
    *(f"share:{name}" for name in DEVICES[:-1]),
)  # fmt: skip
TITLE: Final = (
    *(f"about:{name}" for name in TASTES),
    "log_age_days",
    "log_impressions",
    "take_fraction",
    "log_artworks",
)
FAMILIARITY: Final = ("seen_before", "log_minutes", "log_impressions")
CONTEXT: Final = (
    *(f"device:{name}" for name in DEVICES),
    "hour_sin", "hour_cos", "day_sin", "day_cos",
    "row", "column", "score",
    *(f"country:{place}" for place in range(N_PLACES)),
    *(f"language:{place}" for place in range(N_PLACES)),
)  # fmt: skip
ARTWORK: Final = (*(f"style:{name}" for name in TASTES), "take_lift", "log_impressions", "log_age_days", "is_default")

SHARED: Final = (
    *(f"profile/{name}" for name in PROFILE),
    *(f"title/{name}" for name in TITLE),
    *(f"familiarity/{name}" for name in FAMILIARITY),
    *(f"context/{name}" for name in CONTEXT),
)
"""The columns of `Batch.shared`: profile, title, familiarity and context, end to end."""

PROFILE_PART: Final = slice(0, len(PROFILE))
TITLE_PART: Final = slice(PROFILE_PART.stop, PROFILE_PART.stop + len(TITLE))
FAMILIARITY_PART: Final = slice(TITLE_PART.stop, TITLE_PART.stop + len(FAMILIARITY))
CONTEXT_PART: Final = slice(FAMILIARITY_PART.stop, FAMILIARITY_PART.stop + len(CONTEXT))


def taste_place(name: str) -> int:
    """Find the place of a taste: its own for a genre, a hashed one for any other name."""
    folded = name.strip().lower()
    if folded in _GENRE_PLACES:
        return _GENRE_PLACES[folded]
    return len(GENRES) + hash64(folded) % N_HASHED_TASTES


def taste_vector(weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Lay named weights out as a `(len(TASTES),)` vector of length 1, or zeros where there is none.

    Raises:
        ContractError: if a weight is not finite.

    Example:
        >>> vector = taste_vector({"Comedy": 3.0, "romance": 4.0})
        >>> [round(float(vector[taste_place(name)]), 6) for name in ("comedy", "romance", "horror")]
        [0.6, 0.8, 0.0]
    """
    vector = np.zeros(len(TASTES))
    for name, weight in weights.items():
        if not isfinite(weight):
            raise ContractError(f"the weight of {name!r} must be finite, got {weight!r}")
        vector[taste_place(name)] += weight
    norm = float(np.sqrt(vector @ vector))
    return (vector / norm if norm > 0 else vector).astype(np.float32)


_GENRE_PLACES = {name: place for place, name in enumerate(GENRES)}
