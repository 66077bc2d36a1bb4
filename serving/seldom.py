"""Lines that every page might write are written seldom: what fails for one fails for all, and writing takes time."""

import time
from collections.abc import Callable, Hashable

_SECONDS = 10.0
_MOST_KEPT = 64


class Seldom:
    """Tells whether a line is due: the first of its kind at once, others of it once in ten seconds."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told_at: dict[Hashable, float] = {}

    def is_due(self, kind: Hashable = None) -> bool:
        """Tell whether to write the line now; if so, it counts as written. Args: kind, one of few."""
        now = self._monotonic()
        if now - self._told_at.get(kind, -_SECONDS) < _SECONDS:
            return False
        if len(self._told_at) >= _MOST_KEPT:
            self._told_at.clear()
        self._told_at[kind] = now
        return True
