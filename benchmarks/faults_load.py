"""A load of pages and impressions that remembers what it was told, and when nobody was there to tell it."""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from models.error import ScorerError
from serving.answer import PageAnswer
from serving.client import ScorerClient
from serving.request import EventsRequest, PageRequest, SeenImpression

N_PROFILES = 200
_TITLES_A_PAGE = 5
_N_TITLES = 20
_PAUSE_SECONDS = 0.005


@dataclass(slots=True)
class Heard:
    """What one client was answered: pages, impressions that were accepted, and requests that failed, by when."""

    pages: list[PageAnswer] = field(default_factory=list)
    impressions: list[str] = field(default_factory=list)
    failures: list[tuple[float, float, str]] = field(default_factory=list)


class Load:
    """Clients that ask for pages one after another, and report the first decision of each as seen, until the end."""

    def __init__(self, url: str, n_clients: int) -> None:
        self.heard = [Heard() for _ in range(n_clients)]
        self._url = url
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number, heard), daemon=True)
            for number, heard in enumerate(self.heard)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the requests under way."""
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def unanswered(self, dead: list[tuple[float, float]]) -> list[str]:
        """List pages that failed while a process lived: at no moment of theirs was it dead."""
        return [
            why
            for heard in self.heard
            for began, ended, why in heard.failures
            if not any(began <= until and ended >= since for since, until in dead)
        ]

    def _ask(self, number: int, heard: Heard) -> None:
        with ScorerClient(self._url, timeout_seconds=5.0, retries=0) as client:
            n = 0
            while not self._ended.wait(_PAUSE_SECONDS):
                n += 1
                titles = tuple(f"t{(n * 7 + number + k) % _N_TITLES}" for k in range(_TITLES_A_PAGE))
                profile = f"p{(n * 13 + number * 101) % (2 * N_PROFILES)}"
                began = time.monotonic()
                try:
                    page = client.page(PageRequest(profile_id=profile, titles=titles))
                except ScorerError as error:
                    heard.failures.append((began, time.monotonic(), str(error)))
                    continue
                heard.pages.append(page)
                self._report(client, page, heard)

    @staticmethod
    def _report(client: ScorerClient, page: PageAnswer, heard: Heard) -> None:
        seen = SeenImpression(decision_id=page.decisions[0].decision_id, seen_at=datetime.now(UTC))
        try:
            client.events(EventsRequest(impressions=(seen,)))
        except ScorerError:
            return  # not accepted, and so not promised: the log cannot be written, or nobody is there
        heard.impressions.append(seen.decision_id)
