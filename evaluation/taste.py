"""Which artworks are chosen for which tastes: the styles that each policy shows to profiles of each taste."""

import numpy as np
from numpy.typing import NDArray

from evaluation.group import Places
from evaluation.record import TasteMix
from models.batch import Batch, Floats
from models.layout import TASTES

UNKNOWN = "unknown"
"""The taste of a profile that has shown none yet, and the style of an artwork that stresses nothing."""
_NAMES = (*TASTES, UNKNOWN)
_N = len(_NAMES)


class TasteTally:
    """Expected shows by dominant taste of the profile and dominant style of the artwork, for every policy."""

    def __init__(self) -> None:
        self._shows: dict[str, Floats] = {}
        self._decisions = np.zeros(_N)

    def place(self, batch: Batch) -> Places:
        """Count decisions by taste, and find the `(m,)` cell of each candidate."""
        taste, style = _dominant(batch.shared), _dominant(batch.artworks)
        self._decisions += np.bincount(taste, minlength=_N)
        return np.asarray(np.repeat(taste * _N, batch.counts) + style, dtype=np.int64)

    def add(self, policy: str, cells: Places, pmf: Floats) -> None:
        """Add a policy's `(m,)` probabilities of candidates in `cells`."""
        shows = np.asarray(np.bincount(cells, weights=pmf, minlength=_N * _N), dtype=np.float64)
        self._shows[policy] = self._shows[policy] + shows if policy in self._shows else shows

    def mixes(self, policy: str) -> tuple[TasteMix, ...]:
        """Say for every taste that occurs, the commonest first, which styles the policy shows."""
        shows = np.asarray(self._shows[policy]).reshape(_N, _N)
        order = np.argsort(-self._decisions, kind="stable")
        return tuple(
            TasteMix(
                _NAMES[taste],
                round(float(self._decisions[taste])),
                {
                    name: float(share)
                    for name, share in zip(_NAMES, shows[taste] / self._decisions[taste], strict=True)
                    if share > 0
                },
            )
            for taste in order
            if self._decisions[taste] > 0
        )


def _dominant(vectors: NDArray[np.float32]) -> Places:
    """Find the greatest of the leading `len(TASTES)` columns of each row; a row of zeros has none."""
    tastes = vectors[:, : len(TASTES)]
    place = tastes.argmax(axis=1)
    return np.where(np.take_along_axis(tastes, place[:, None], axis=1)[:, 0] > 0, place, len(TASTES))
