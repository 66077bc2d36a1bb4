"""Work beside the event loop that leaves the interpreter to pages for most of the time.

A thread that reads a whole catalogue is asked to give way to pages, and does; but each page gives way in turn, a few
times, and at half load there is no time to spare: those behind it pile up for as long as the work takes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, local
from typing import Final

_SHARE: Final = 0.1
"""What such work takes of the time: the vectors of ten thousand artworks are read in two seconds instead of a fifth."""

_SLICE_SECONDS: Final = 0.0005
"""Of work: less is not worth a rest."""

_LONGEST_SECONDS: Final = 0.1
"""Of a rest: what could not rest for long is over, and pages gain nothing by waiting for the rest of the work."""


class _Pace:
    def __init__(self, hurry: Event) -> None:
        self._hurry = hurry
        self._rested_at = time.thread_time()

    def rest(self) -> None:
        worked = time.thread_time() - self._rested_at
        if worked >= _SLICE_SECONDS:
            self._hurry.wait(min(worked * (1 / _SHARE - 1), _LONGEST_SECONDS))
            self._rested_at = time.thread_time()


class _Here(local):
    pace: _Pace | None = None


_here = _Here()


@contextmanager
def unhurried(hurry: Event) -> Iterator[None]:
    """Let `rest` rest, for all that this thread does within, until `hurry` is set: somebody waits for its end."""
    _here.pace = _Pace(hurry)
    try:
        yield
    finally:
        _here.pace = None


def rest() -> None:
    """Leave time to pages, if there was work enough since the last rest and it is `unhurried`; else return at once."""
    if _here.pace is not None:
        _here.pace.rest()
