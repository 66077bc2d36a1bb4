"""The scorer as production starts it: a process of its own that learns from variables alone where its home is."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

import msgspec

from models.error import MarqueeError
from pipelines.settings import Settings, environment_of
from serving.status import Readiness

_COMMAND: Final = (
    sys.executable,
    "-c",
    "from serving.server import run; from serving.settings import ScorerSettings; run(ScorerSettings())",
)
WAIT_SECONDS: Final = 180.0


def start_scorer(settings: Settings) -> "subprocess.Popen[bytes]":
    """Start it; what it says goes to HOME/scorer.log."""
    environment = os.environ | environment_of(settings)
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)  # Feast sets it here; a scorer's environment does not have it
    with (settings.home / "scorer.log").open("ab") as log:
        return subprocess.Popen(_COMMAND, env=environment, stdout=log, stderr=log)


def readiness(settings: Settings) -> Readiness | None:
    """Ask a scorer how it is; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.port}/readyz", timeout=5) as answer:
            return msgspec.json.decode(answer.read(), type=Readiness)
    except urllib.error.HTTPError as refused:
        return msgspec.json.decode(refused.read(), type=Readiness)
    except OSError:
        return None


def until(condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS, every: float = 0.02) -> None:
    """Wait for something.

    Raises:
        MarqueeError: if it does not come.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise MarqueeError(f"waited {seconds:g} seconds in vain until {what}")
        time.sleep(every)
