"""The stickiness epoch: how long a draw stays the same, and when the next one begins."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.int64]

ALL_KNOWN: Final = 2**63 - 1
"""Known as late as can be: an epoch waits for nothing."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """Epochs of one length, counted from 1970; each begins when the features of its beginning have arrived.

    New features move probabilities, and with them artworks. An epoch that began before the night's rows arrived would
    show a change within itself; so it waits for them, at most for the patience and never for more than half its length.

    Args: length_us, patience_us, microseconds.
    """

    length_us: int
    patience_us: int

    @classmethod
    def of(cls, hours: float, patience_hours: float) -> "Epochs":
        """Make epochs of so many hours."""
        length, patience = (timedelta(hours=each) // timedelta(microseconds=1) for each in (hours, patience_hours))
        return cls(length, min(patience, length // 2))

    @overload
    def at(self, at_us: int, known_us: int = ALL_KNOWN) -> int: ...
    @overload
    def at(self, at_us: Moments, known_us: int | Moments = ALL_KNOWN) -> Moments: ...
    def at(self, at_us: int | Moments, known_us: int | Moments = ALL_KNOWN) -> int | Moments:
        """Tell the epoch of a moment, or of each of some, by number.

        Args: at_us, `(n,)` or one, microseconds since 1970; known_us, the same for the end of the interval that the
        features in force were made of.

        Example:
            >>> day = Epochs(length_us=24, patience_us=6)
            >>> [day.at(50, known_us=known) for known in (24, 48)], day.at(54, known_us=24)
            ([1, 2], 2)
        """
        epoch = at_us // self.length_us
        begins = epoch * self.length_us
        is_waiting = (known_us < begins) & (at_us - begins < self.patience_us)
        return epoch - is_waiting
