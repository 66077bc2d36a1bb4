"""Log lines as records, however structlog was configured before: a logger keeps what was in force when it was used."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import getattr_static
from typing import Any

import structlog
from structlog._config import BoundLoggerLazyProxy
from structlog.testing import LogCapture


@contextmanager
def captured_logs() -> Iterator[list[Any]]:
    """Collect what our modules log until the block ends, of every level."""
    for module in list(sys.modules.values()):
        log = getattr_static(module, "_log", None)  # a plain getattr wakes what other modules do when they are asked
        if isinstance(log, BoundLoggerLazyProxy):
            vars(log).pop("bind", None)
    before, capture = structlog.get_config(), LogCapture()
    # Airflow's own configuration, which a test before may have left, keeps warnings out.
    structlog.configure(
        processors=[capture],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield capture.entries
    finally:
        structlog.configure(**before)
