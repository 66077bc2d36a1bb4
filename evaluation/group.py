"""Groups of profiles: a fixed number of independent clusters, for whatever is told apart in many cells.

Whole profiles fall into groups by a hash. Groups of profiles are as independent of each other as profiles are, so that
an interval over them is as valid as one over profiles; its spread is only estimated from fewer, larger sums. That
keeps sums by (cell, profile) in memory that neither the log nor its number of profiles touches.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats, Keys
from models.draw import mix

Places = NDArray[np.int64]
N_GROUPS = 1024
_SHIFT = np.uint64(64 - 10)


def group_of(profiles: Keys) -> Places:
    """Find the group, below `N_GROUPS`, of `(n,)` profiles."""
    return (mix(profiles) >> _SHIFT).astype(np.int64)


def sums_by_group(cells: Places, groups: Places, values: Floats, n_cells: int) -> Floats:
    """Sum `(n,)` values by cell and group: `(n_cells, N_GROUPS)`."""
    sums = np.bincount(cells * N_GROUPS + groups, weights=values, minlength=n_cells * N_GROUPS)
    return np.asarray(sums.reshape(n_cells, N_GROUPS), dtype=np.float64)


def places_of(names: NDArray[np.object_], place: Callable[[str], int]) -> Places:
    """Find the places of `(n,)` names, asking once for each name."""
    listed = names.tolist()
    known = {name: place(name) for name in set(listed)}
    return np.fromiter(map(known.__getitem__, listed), dtype=np.int64, count=len(listed))
