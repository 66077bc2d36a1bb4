"""The compact features: a few dozen numbers for each (profile, title, artwork) that hold most of what a match is.

Where the bilinear scores of `models.linear` have a weight for every pair of columns, these fold tastes and styles into
how well they match, and can therefore afford what a table of pairs cannot: match × familiarity, and a full covariance.

| group | holds |
|---|---|
| constant | 1 |
| title | the title's response and age; the recommender's score; taste·about, the title's own match |
| profile | the length of the taste, quality rate |
| familiarity | seen before, minutes, impressions |
| artwork response | the artwork's take lift, impressions, age, default; take lift × seen before |
| taste × style | match = taste·style; match × score |
| familiarity × style | match × seen before, match × minutes |
| title × style | fit = about·style; fit × seen before |

The first four groups are the same for all of a title's candidates: they take what is owed to them out of the rewards,
so that what is left tells about artworks.
"""

from typing import Final

import numpy as np

from models.batch import Batch, Floats
from models.layout import ARTWORK, PROFILE_PART, SHARED, TASTES, TITLE_PART
from models.linear import bounded

CONSTANT, TITLE_GROUP, PROFILE_GROUP, FAMILIARITY_GROUP = "constant", "title", "profile", "familiarity"
RESPONSE, MATCH, KNOWN_MATCH, FIT = "artwork response", "taste × style", "familiarity × style", "title × style"

_SHARED: Final = {
    "title/take_fraction": TITLE_GROUP,
    "title/log_age_days": TITLE_GROUP,
    "context/score": TITLE_GROUP,
    "profile/quality_rate": PROFILE_GROUP,
    "familiarity/seen_before": FAMILIARITY_GROUP,
    "familiarity/log_minutes": FAMILIARITY_GROUP,
    "familiarity/log_impressions": FAMILIARITY_GROUP,
    "context/row": TITLE_GROUP,
    "context/column": TITLE_GROUP,
}
_ARTWORK: Final = ("take_lift", "log_impressions", "log_age_days", "is_default")

COMPACT: Final = {
    "constant": CONSTANT,
    **_SHARED,
    "taste·about": TITLE_GROUP,
    "|taste|": PROFILE_GROUP,
    **dict.fromkeys(_ARTWORK, RESPONSE),
    "take_lift × seen_before": RESPONSE,
    "match": MATCH,
    "match × score": MATCH,
    "match × seen_before": KNOWN_MATCH,
    "match × log_minutes": KNOWN_MATCH,
    "fit": FIT,
    "fit × seen_before": FIT,
}
"""The compact features in order, each with its group."""

_SHARED_COLUMNS: Final = [SHARED.index(name) for name in _SHARED]
_ARTWORK_COLUMNS: Final = [ARTWORK.index(name) for name in _ARTWORK]
_SEEN, _MINUTES = (SHARED.index(f"familiarity/{name}") for name in ("seen_before", "log_minutes"))
_SCORE, _LIFT = SHARED.index("context/score"), ARTWORK.index("take_lift")
_N_TASTES: Final = len(TASTES)


def compact_features(batch: Batch) -> Floats:
    """Make the `(m, len(COMPACT))` compact features of a batch's candidates.

    Wild numbers count as `models.linear.bounded` lets them, so that every feature is finite.
    """
    shared = bounded(batch.shared).astype(np.float64)
    artworks = bounded(batch.artworks).astype(np.float64)
    taste = shared[:, PROFILE_PART.start : PROFILE_PART.start + _N_TASTES]
    about = shared[:, TITLE_PART.start : TITLE_PART.start + _N_TASTES]
    owner = batch.owner
    match, fit = (np.einsum("ma,ma->m", part[owner], artworks[:, :_N_TASTES]) for part in (taste, about))
    each = np.column_stack([
        np.ones(len(batch)),
        shared[:, _SHARED_COLUMNS],
        np.einsum("na,na->n", taste, about),
        np.sqrt(np.einsum("na,na->n", taste, taste)),
    ])
    seen, minutes, score = (shared[owner, column] for column in (_SEEN, _MINUTES, _SCORE))
    own = [artworks[:, _LIFT] * seen, match, match * score, match * seen, match * minutes, fit, fit * seen]
    return np.column_stack([each[owner], artworks[:, _ARTWORK_COLUMNS], *own])
