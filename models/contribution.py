"""What a score is made of: one number a candidate for each group of features, which add up to the score.

A policy of several members is told by the mean of what they say; that is not what decides among them, their votes are,
but it is what they agree on.
"""

from typing import Final

import numpy as np

from models.batch import Batch, Floats
from models.compact import COMPACT, compact_features
from models.ensemble import EnsemblePolicy
from models.layout import ARTWORK, CONTEXT_PART, FAMILIARITY_PART, PROFILE_PART, TASTES, TITLE_PART
from models.linear import LinearPolicy, bounded
from models.shape import PublishedPolicy
from models.thompson import ThompsonPolicy
from models.upper_bound import UpperBoundPolicy

CONSTANT: Final = "constant"
ARTWORK_ID: Final = "artwork id"
DOUBT: Final = "doubt"

_N_TASTES: Final = len(TASTES)
_SHARED: Final = {
    "taste": slice(0, _N_TASTES),
    "profile": slice(_N_TASTES, PROFILE_PART.stop),
    "title": TITLE_PART,
    "familiarity": FAMILIARITY_PART,
    "context": CONTEXT_PART,
}
_ARTWORK: Final = {"style": slice(0, _N_TASTES), "artwork response": slice(_N_TASTES, len(ARTWORK))}


def contributions(policy: PublishedPolicy, batch: Batch) -> dict[str, Floats]:
    """Split the scores of a batch's m candidates by group of features: `(m,)` each.

    Groups that add nothing to any candidate are left out.

    Raises:
        TypeError: if the policy is of no shape that is known here.
    """
    match policy:
        case LinearPolicy():
            return _split(policy, batch)
        case EnsemblePolicy():
            each = [_split(member, batch) for member in policy.members]
            names = dict.fromkeys(name for parts in each for name in parts)
            nothing = np.zeros(len(batch.artwork_keys))
            return {name: np.mean([parts.get(name, nothing) for parts in each], axis=0) for name in names}
        case ThompsonPolicy():
            own = policy.bias_of(batch.artwork_keys).mean(axis=1)
            return {**_compact(policy.weights.mean(axis=0), batch), ARTWORK_ID: own}
        case UpperBoundPolicy():
            parts = _compact(policy.weights[:-1], batch)
            expected, doubt = policy.beliefs(batch)
            own = expected - np.sum(list(parts.values()), axis=0)
            return {**parts, ARTWORK_ID: own, DOUBT: policy.width * doubt}
        case _:
            raise TypeError(f"scores of a {type(policy).__name__} cannot be split")


def _split(policy: LinearPolicy, batch: Batch) -> dict[str, Floats]:
    owner = batch.owner
    shared, artworks = bounded(batch.shared).astype(np.float64), bounded(batch.artworks).astype(np.float64)
    parts = {CONSTANT: np.full(len(owner), policy.constant)}
    for first, columns in _SHARED.items():
        parts[first] = (shared[:, columns] @ policy.shared_weights[columns])[owner]
    for second, places in _ARTWORK.items():
        parts[second] = artworks[:, places] @ policy.artwork_weights[places]
    for first, columns in _SHARED.items():
        for second, places in _ARTWORK.items():
            weights = shared[:, columns] @ policy.cross[columns, places]
            parts[f"{first} × {second}"] = np.einsum("ma,ma->m", weights[owner], artworks[:, places])
    own = policy.bias_of(batch.artwork_keys)
    return {name: part for name, part in {**parts, ARTWORK_ID: own}.items() if name == CONSTANT or part.any()}


def _compact(weights: Floats, batch: Batch) -> dict[str, Floats]:
    each = compact_features(batch) * weights
    groups = np.array(list(COMPACT.values()))
    return {str(group): each[:, groups == group].sum(axis=1) for group in dict.fromkeys(COMPACT.values())}
