"""The crossed features as one row a candidate: every column and pair of columns that the bilinear scores weigh.

The same columns and pairs as VW's (`models.vw_encoding`), with the artwork's lift in place of its id. A linear model
over these rows *is* a `LinearPolicy`: `compiled` only sorts its weights into place.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.layout import ARTWORK, FAMILIARITY_PART, SHARED
from models.linear import bounded
from models.vw_encoding import ARTWORK_NAMESPACES, INTERACTIONS, SHARED_NAMESPACES

LIFT_SCALE: Final = 10.0
"""Lifts are hundredths; ten times as much is of the size of the other features, as steps of learning want it."""

_COLUMNS: Final = {space.letter: space.columns for space in (*SHARED_NAMESPACES, *ARTWORK_NAMESPACES)}
_SHARED_COLUMNS: Final = np.concatenate([space.columns for space in SHARED_NAMESPACES])
_SCALE: Final = np.ones(len(SHARED))
_SCALE[FAMILIARITY_PART] = 1.0 / 3.0  # plain log1p, up to about 10; all other columns are within ±3

N_CROSSED: Final = (
    len(_SHARED_COLUMNS)
    + len(ARTWORK)
    + sum(len(_COLUMNS[first]) * len(_COLUMNS[second]) for first, second in INTERACTIONS)
    + 1
)


def crossed(shared: NDArray[np.float32], artworks: NDArray[np.float32], lift: Floats) -> Floats:
    """Cross the features of m (decision, artwork) pairs.

    Args: shared `(m, len(SHARED))` and artworks `(m, len(ARTWORK))`, one row a pair; lift `(m,)`.

    Returns: `(m, N_CROSSED)`.
    """
    s, a = bounded(shared) * _SCALE, bounded(artworks).astype(np.float64)
    pairs = [
        (s[:, _COLUMNS[first], None] * a[:, None, _COLUMNS[second]]).reshape(len(s), -1)
        for first, second in INTERACTIONS
    ]
    return np.concatenate([s[:, _SHARED_COLUMNS], a, *pairs, LIFT_SCALE * lift[:, None]], axis=1)


def compiled(weights: Floats) -> tuple[dict[str, Any], float]:
    """Sort the `(N_CROSSED,)` weights of a linear model over crossed rows into place.

    Returns: `shared_weights`, `cross` and `artwork_weights` as a `LinearPolicy` has them, and the weight of the lift.
    """
    shared_weights = np.zeros(len(SHARED))
    cross = np.zeros((len(SHARED), len(ARTWORK)))
    shared_weights[_SHARED_COLUMNS], artwork_weights, rest = np.split(
        weights, [len(_SHARED_COLUMNS), len(_SHARED_COLUMNS) + len(ARTWORK)]
    )
    for first, second in INTERACTIONS:
        shape = len(_COLUMNS[first]), len(_COLUMNS[second])
        block, rest = np.split(rest, [shape[0] * shape[1]])
        cross[np.ix_(_COLUMNS[first], _COLUMNS[second])] = block.reshape(shape)
    arrays = {
        "shared_weights": shared_weights * _SCALE,
        "cross": cross * _SCALE[:, None],
        "artwork_weights": artwork_weights,
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}, float(LIFT_SCALE * rest[0])
