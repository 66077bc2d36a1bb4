"""Which profile has played which title before: the world's own memory."""

import numpy as np
from numpy.typing import NDArray

from simulation.population import Ints


class Ledger:
    """An immutable set of (profile, title) pairs, by place in the world.

    The world turns a page in it once an interval: plays of an interval are taken in when the interval is over, so that
    what a decision meets is known before the interval's first decision and does not depend on how work is portioned.

    Example:
        >>> ledger = Ledger(n_titles=10).with_plays(np.array([3, 3]), np.array([7, 7]))
        >>> len(ledger), ledger.familiar(np.array([3, 7]), np.array([7, 3])).tolist()
        (1, [True, False])
    """

    def __init__(self, n_titles: int, codes: Ints | None = None) -> None:
        self._n_titles = n_titles
        self._codes = np.unique(np.zeros(0, dtype=np.int64) if codes is None else codes)

    def __len__(self) -> int:
        return len(self._codes)

    def familiar(self, profiles: Ints, titles: Ints) -> NDArray[np.bool_]:
        """Tell, `(n,)` for `(n,)` places, which pairs are in here."""
        if not len(self._codes):
            return np.zeros(np.broadcast(profiles, titles).shape, dtype=bool)
        codes = profiles * self._n_titles + titles
        found = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.asarray(self._codes[found] == codes)

    def with_plays(self, profiles: Ints, titles: Ints) -> "Ledger":
        """Make the ledger that also holds these pairs."""
        return Ledger(self._n_titles, np.concatenate((self._codes, profiles * self._n_titles + titles)))
