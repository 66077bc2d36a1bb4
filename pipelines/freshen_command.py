"""`marquee freshen`: fresh features until SIGINT or SIGTERM, the step under way finished first."""

import signal
import threading

import structlog

from pipelines.freshen import freshen
from pipelines.settings import Settings
from serving.feature_store import apply_feature_repo
from serving.log_setup import log_to_stderr

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Keep rows fresh until the process is told to end.

    Raises:
        ContractError: if the feature definitions are refused or the feature store cannot be opened.
    """
    log_to_stderr()
    apply_feature_repo(settings)
    stop = threading.Event()
    _log.info("following the event log until Ctrl-C", events=str(settings.events_dir))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    freshen(settings, stop)
    _log.info("ended")
