"""The end of the demo: the approved policy, served, and one page asked of it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from rich.console import Console
from rich.markup import escape

from models.error import MarqueeError
from pipelines.presentation import out
from pipelines.settings import Settings, environment_of
from serving.catalogue_file import read_catalogue
from serving.server import refuse_taken

_START_SECONDS = 60.0
_POLL_SECONDS = 0.2


def serve_until_interrupted(settings: Settings, console: Console) -> None:
    """Serve HOME's policy, print a curl line and its answer, and stay until Ctrl-C.

    Raises:
        MarqueeError: if the port is taken, or the scorer does not become ready.
    """
    url = f"http://{settings.host}:{settings.port}"
    refuse_taken(settings)
    scorer = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "serve"],
        env=os.environ | environment_of(settings),
        stderr=(settings.home / "scorer.log").open("ab"),
    )
    try:
        _wait_ready(scorer, f"{url}/readyz", settings)
        body = _example(settings)
        answer = _post(f"{url}/v1/pages", body)
        out.print(f"[bold]Serving on {url}[/] (log: {settings.home / 'scorer.log'}). Ask for a page:\n", soft_wrap=True)
        words = shlex.join(["curl", "-s", f"{url}/v1/pages", "-H", "content-type: application/json", "-d", body])
        out.print(escape(words), soft_wrap=True, highlight=False)
        out.print(escape(answer) + "\n", soft_wrap=True, highlight=False)
        console.print("Ctrl-C ends it.")
        scorer.wait()
    except KeyboardInterrupt:
        console.print("Ending.")
    finally:
        scorer.send_signal(signal.SIGINT)
        scorer.wait(timeout=_START_SECONDS)


def _wait_ready(scorer: "subprocess.Popen[bytes]", url: str, settings: Settings) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and scorer.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - the URL is ours
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise MarqueeError(f"the scorer did not become ready; its log is {settings.home / 'scorer.log'}")


def _example(settings: Settings) -> str:
    titles = list(read_catalogue(settings.catalogue_path).titles)[:3]
    return json.dumps({"profile_id": "somebody-new", "titles": titles, "context": {"device": "tv"}})


def _post(url: str, body: str) -> str:
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
        return str(answer.read().decode())
