"""What the reward model looks at: a compact part of the layout, and how the picture meets the taste."""

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats
from models.layout import ARTWORK, CONTEXT_PART, FAMILIARITY_PART, PROFILE_PART, SHARED, TASTES, TITLE_PART

_TASTE = slice(PROFILE_PART.start, PROFILE_PART.start + len(TASTES))
_ABOUT = slice(TITLE_PART.start, TITLE_PART.start + len(TASTES))
_STYLE = slice(0, len(TASTES))
_MEASURED = slice(len(TASTES), len(ARTWORK))
_SEEN = SHARED.index("familiarity/seen_before")
_DECISION_COLUMNS = np.r_[
    slice(_TASTE.stop, PROFILE_PART.stop), slice(_ABOUT.stop, TITLE_PART.stop), FAMILIARITY_PART, CONTEXT_PART
]

N_DECISION = len(_DECISION_COLUMNS) + 1
"""Profile activity, title response, familiarity, context, and how the title meets the profile's taste."""
N_CANDIDATE = len(ARTWORK) - len(TASTES) + 4
"""Artwork statistics, style · taste (also for unseen titles alone), style · about, the artwork's own mean reward."""


def decision_features(batch: Batch) -> Floats:
    """Give `(n, N_DECISION)`."""
    meeting = np.einsum("ij,ij->i", batch.shared[:, _TASTE], batch.shared[:, _ABOUT])
    return np.column_stack((batch.shared[:, _DECISION_COLUMNS], meeting)).astype(np.float64)


def candidate_features(batch: Batch, rows: NDArray[np.int64], owner: NDArray[np.int64], lift: Floats) -> Floats:
    """Give `(r, N_CANDIDATE)` for candidate `rows` of decisions `owner`, both `(r,)`; `lift` `(r,)` is the last one."""
    style = batch.artworks[rows, _STYLE]
    taste = np.einsum("ij,ij->i", style, batch.shared[owner, _TASTE])
    about = np.einsum("ij,ij->i", style, batch.shared[owner, _ABOUT])
    unseen = taste * (1 - batch.shared[owner, _SEEN])
    return np.column_stack((batch.artworks[rows, _MEASURED], taste, unseen, about, lift)).astype(np.float64)


def candidate_scores(batch: Batch, coefficients: Floats, lift: Floats) -> Floats:
    """Give `candidate_features · coefficients`, `(m,)`, for all candidates without making their features.

    All but the lift is linear in the artwork's vector, so that each decision needs one vector of weights for it.

    Args: coefficients `(n, N_CANDIDATE)`, each decision's own; lift `(m,)`.
    """
    taste, unseen, about, own = coefficients[:, -4:].T
    weights = np.empty((len(batch), len(ARTWORK)), dtype=np.float32)
    weights[:, _MEASURED] = coefficients[:, :-4]
    met = (taste + unseen * (1 - batch.shared[:, _SEEN]))[:, None]
    weights[:, _STYLE] = met * batch.shared[:, _TASTE] + about[:, None] * batch.shared[:, _ABOUT]
    counts = batch.counts
    scores = np.einsum("ij,ij->i", batch.artworks, np.repeat(weights, counts, axis=0))
    return np.asarray(scores + np.repeat(own, counts) * lift, dtype=np.float64)
