"""Log lines as records, however structlog was configured before: a logger keeps what was in force when it was used."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import getattr_static
from typing import Any

from structlog._config import BoundLoggerLazyProxy
from structlog.testing import capture_logs


@contextmanager
def captured_logs() -> Iterator[list[Any]]:
    """Collect what our modules log until the block ends."""
    for module in list(sys.modules.values()):
        log = getattr_static(module, "_log", None)  # a plain getattr wakes what other modules do when they are asked
        if isinstance(log, BoundLoggerLazyProxy):
            vars(log).pop("bind", None)
    with capture_logs() as lines:
        yield lines
