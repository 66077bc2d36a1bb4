"""Work beside the event loop that leaves the interpreter to pages for most of the time.

A thread that reads or lays out a whole catalogue is asked to give way to pages, and does; but each page gives way in
turn, a few times, and at half load there is no time to spare: those behind it pile up for as long as the work takes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_SHARE: Final = 0.1
"""What such work takes of the time: ten thousand artworks are read and laid out in two seconds instead of a fifth."""

_worked: ContextVar[float | None] = ContextVar("worked", default=None)


@contextmanager
def unhurried() -> Iterator[None]:
    """Let `rest` rest, for all that is done within by this thread."""
    token = _worked.set(time.thread_time())
    try:
        yield
    finally:
        _worked.reset(token)


def rest() -> None:
    """Leave time to pages, after a millisecond of work or so; does nothing unless the work is `unhurried`."""
    since = _worked.get()
    if since is not None:
        time.sleep((time.thread_time() - since) * (1 / _SHARE - 1))
        _worked.set(time.thread_time())
