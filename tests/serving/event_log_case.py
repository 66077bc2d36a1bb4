"""Events for a log, and a disk that is full."""

import errno
from datetime import timedelta

from models.event import Impression
from tests.serving.example import NOW


def impression(n: int, after_seconds: float = 0.0) -> Impression:
    at = NOW + timedelta(seconds=after_seconds)
    return Impression(decision_id=f"d{n}", seen_at=at, received_at=at)


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
