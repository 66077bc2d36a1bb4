"""A small catalogue, policies whose probabilities are known, and a real server around them."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import structlog
import uvicorn
from structlog.types import EventDict

from models.batch import Batch, Floats
from models.catalogue import Artwork, Catalogue, Title
from models.decision import Page
from models.event import Event, decode_line
from models.segment import find_segments
from serving.catalogue_file import write_catalogue
from serving.features import InMemoryFeatures, OnlineFeatures
from serving.log_setup import REQUEST_ID
from serving.policy import LoadedPolicy, PolicySource
from serving.server import build_app, server_config
from serving.service import Clock, Service, utc_now
from serving.settings import ScorerSettings

NOW = datetime(2026, 11, 2, 12, 30, tzinfo=UTC)
LAUNCHED = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = {"profile_id": "p", "titles": ["t0", "t1", "t2"], "explain": True}
"""A body that asks about three titles of the example catalogue."""


def example_catalogue(n_titles: int = 3, n_artworks: int = 4) -> Catalogue:
    """Titles t0, t1, …, each with artworks t0-a0, t0-a1, …; the second one is the default."""
    titles = [Title(f"t{n}", LAUNCHED, {"comedy": 1.0 + n}, f"Title {n}") for n in range(n_titles)]
    artworks = [
        Artwork(f"t{n}-a{k}", f"t{n}", LAUNCHED, {"drama": 1.0 + k}, f"motif {k}", is_default=k == 1)
        for n in range(n_titles)
        for k in range(n_artworks)
    ]
    return Catalogue(titles, artworks)


class TiltedPolicy:
    """Candidate k of K has probability in proportion to 1 + tilt · k."""

    def __init__(self, tilt: float) -> None:
        self.tilt = tilt

    def pmf(self, batch: Batch) -> Floats:
        weights = 1.0 + self.tilt * (np.arange(len(batch.artwork_keys)) - batch.offsets[batch.owner])
        return weights / np.repeat(np.add.reduceat(weights, batch.offsets[:-1]), batch.counts)


class BrokenPolicy:
    """Raises, or answers with something that is no probability."""

    def __init__(self, answer: float | Exception) -> None:
        self.answer = answer

    def pmf(self, batch: Batch) -> Floats:
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.full(len(batch.artwork_keys), self.answer)


def loaded(version: str = "v1", tilt: float = 1.0) -> LoadedPolicy:
    return LoadedPolicy(version, TiltedPolicy(tilt), TiltedPolicy(0.5))


class ListedPolicies:
    """A source that gives what it is handed, one a poll; an exception is raised."""

    def __init__(self, *outcomes: LoadedPolicy | Exception) -> None:
        self.outcomes = list(outcomes)

    def poll(self) -> LoadedPolicy | None:
        if not self.outcomes:
            return None
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def take_back(self) -> None:
        """Hand out nothing twice."""


def settings_in(home: Path, **changes: object) -> ScorerSettings:
    """Settings of a home with the example catalogue in it, whatever the environment says."""
    defaults = {"home": home, "policy_poll_seconds": 0.05, "segment_seconds": 60.0, "uniform_cell_share": 0.0}
    settings = ScorerSettings(**{**defaults, **changes})
    if not settings.catalogue_path.exists():
        write_catalogue(example_catalogue(), settings.catalogue_path)
    return settings


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens, a client of it, and its inside."""

    client: httpx.Client
    url: str
    service: Service


@contextmanager
def running(
    settings: ScorerSettings,
    *,
    features: OnlineFeatures | None = None,
    policies: PolicySource | None = None,
    clock: Clock = utc_now,
    freeze: bool = False,
) -> Iterator[Running]:
    """Serve over real HTTP, in a thread; features are empty unless given."""
    app = build_app(
        settings,
        features=features or InMemoryFeatures(),
        policies=policies or ListedPolicies(),
        clock=clock,
        freeze=freeze,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive())
    assert thread.is_alive(), "the server did not start"
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
            yield Running(client, url, app.state.service)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


def readiness(server: Running) -> tuple[int, dict[str, object]]:
    answer = server.client.get("/readyz")
    return answer.status_code, answer.json()


def metric(server: Running, name: str) -> float:
    """Sum a metric over its labels."""
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def noting_logger(lines: list[dict[str, Any]]) -> Any:
    """A logger that puts its lines there, whatever else ran in this process may have configured structlog for."""

    def note(_logger: object, _method: str, line: EventDict) -> EventDict:
        lines.append({"request_id": REQUEST_ID.get(""), **line})
        raise structlog.DropEvent

    return structlog.wrap_logger(
        structlog.PrintLogger(), processors=[note], wrapper_class=structlog.make_filtering_bound_logger(0)
    )


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
    return found


def wait_for(condition: object, seconds: float = 20.0) -> None:
    """Wait until something becomes true, and fail where it does not in time."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def logged_events(directory: Path) -> list[Event]:
    """Decode every line of every segment, open ones too, in the order of the segments."""
    while True:
        try:
            texts = [segment.path.read_bytes() for segment in find_segments(directory)]
        except FileNotFoundError:  # a running scorer closed a segment, which renames it, after it was found
            continue
        return [decode_line(line) for text in texts for line in text.splitlines()]


def logged_pages(directory: Path) -> list[Page]:
    return [event for event in logged_events(directory) if isinstance(event, Page)]


def hours(n: float) -> timedelta:
    return timedelta(hours=n)
