"""The launch budget: what a new artwork is shown for, before anything is known of it.

    new(a)  =  age(a) < max_age_hours  or  impressions(a) < min_impressions
    each(t) =  min(share, cap / number of new artworks among title t's candidates)

Age and impressions are read from the artwork's own features as they are known when the decision is made, so that the
guarantee is a part of the pmf and the propensity stays true. An artwork of which nothing is known yet is new.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.error import ContractError
from models.layout import ARTWORK
from models.vector import log_scaled

_AGE = ARTWORK.index("log_age_days")
_IMPRESSIONS = ARTWORK.index("log_impressions")
_HOURS_A_DAY = 24.0


@dataclass(frozen=True, slots=True)
class LaunchBudget:
    """At least `share` of its title's decisions for each new artwork, at most `cap` for all new ones of a title.

    Args: share and cap in [0, 1]; max_age_hours, since the artwork was launched, and min_impressions, at which an
    artwork stops being new: it is new while it is below either of them, and 0 switches that one off.

    Raises:
        ContractError: if one of them is out of range.
    """

    share: float
    cap: float
    max_age_hours: float = 48.0
    min_impressions: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= self.cap <= 1.0:
            raise ContractError(f"launch budget must have 0 <= share <= cap <= 1, got {self.share!r} and {self.cap!r}")
        for name in ("max_age_hours", "min_impressions"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0.0):
                raise ContractError(f"{name} of a launch budget must be finite and at least 0, got {value!r}")

    def is_new(self, artworks: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which of `(m, len(ARTWORK))` candidates are new: `(m,)`."""
        youngest = np.float32(log_scaled(self.max_age_hours / _HOURS_A_DAY))
        fewest = np.float32(log_scaled(self.min_impressions))
        return np.asarray((artworks[:, _AGE] < youngest) | (artworks[:, _IMPRESSIONS] < fewest), dtype=np.bool_)

    def share_each(self, n_new: Floats) -> Floats:
        """Give what each new artwork of a title gets where the title has `n_new` of them."""
        return np.minimum(self.share, self.cap / np.maximum(n_new, 1.0))
