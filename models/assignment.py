"""Who belongs to which side: stable, independent splits of the profiles."""

import numpy as np
from numpy.typing import NDArray

from models.batch import Keys
from models.draw import combine, unit
from models.identity import hash64

_CELL = np.uint64(hash64("marquee/cell"))
_HOLDOUT = np.uint64(hash64("marquee/holdout"))


def in_uniform_cell(profiles: Keys, share: float) -> NDArray[np.bool_]:
    """Tell, `(n,)` for `(n,)`, which profiles always see uniformly drawn artwork."""
    return unit(combine(profiles, np.broadcast_to(_CELL, profiles.shape))) < share


def is_held_out(profiles: Keys, share: float) -> NDArray[np.bool_]:
    """Tell, `(n,)` for `(n,)`, whose decisions only judge candidates and never train them."""
    return unit(combine(profiles, np.broadcast_to(_HOLDOUT, profiles.shape))) < share
