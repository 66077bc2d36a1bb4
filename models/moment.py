"""Which moments may be believed, wherever they come from: a request, a file or a device."""

from datetime import UTC, datetime

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Events happen in [EARLIEST, LATEST).

A device without a clock reports its own epoch, and years further out overflow whatever adds a window to them.
"""
