"""A thin client of the scorer: pages and events, typed by the very records that the scorer decodes and encodes.

It speaks by the standard library's `http.client` and adds no package to whoever uses it: one connection that is kept,
a deadline, and a token are all that a caller within one data centre needs. Who wants pools or HTTP/2 uses a library of
their own and the scorer's OpenAPI document.
"""

import http.client
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from models.error import ScorerError
from serving.answer import EventsAnswer, PageAnswer, Refusal
from serving.body import JSON
from serving.request import EventsRequest, PageRequest

_T = TypeVar("_T")
_IDLE_SECONDS = 20.0
"""A connection that rested longer is not used again: the scorer closes it at 30, perhaps under a request."""

_TRY_AGAIN = frozenset({408, 429, 502, 503, 504})
_encoder = msgspec.json.Encoder(order=None)


class ScorerClient:
    """Asks one scorer, or the balancer before several. Not thread-safe: a client for each thread.

    A page is asked for once: asked twice, it would be decided and logged twice. Where it fails the caller shows what it
    shows without personalization. Events count once by their ids however often they are sent, so they are sent again
    where that may help.

    Args: url, `http://` or `https://`; page_token and event_token, where the scorer needs them; timeout_seconds, for
    the connection and for each wait on it; retries, of events only, each after twice the pause before it.
    """

    def __init__(
        self,
        url: str,
        *,
        page_token: str = "",
        event_token: str = "",
        timeout_seconds: float = 1.0,
        retries: int = 3,
        pause_seconds: float = 0.1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            raise ScorerError(f"a scorer's URL must be http:// or https:// and a host, got {url!r}")
        self._path = parts.path.rstrip("/")
        self._connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=timeout_seconds)
        self._used_at = 0.0
        self._page_token, self._event_token = page_token, event_token
        self._retries, self._pause_seconds, self._sleep = retries, pause_seconds, sleep

    def page(self, request: PageRequest) -> PageAnswer:
        """Ask for an artwork for each title.

        Raises:
            ScorerError: if the scorer refuses (`status` and `field` tell why) or does not answer in time.
        """
        return self._post("/v1/pages", request, self._page_token, PageAnswer)

    def events(self, request: EventsRequest) -> EventsAnswer:
        """Report impressions and plays; sent again while the scorer is away, busy, or cannot write its log.

        Raises:
            ScorerError: if the scorer refuses, or was away every time.
        """
        for number in range(self._retries):
            try:
                return self._post("/v1/events", request, self._event_token, EventsAnswer)
            except ScorerError as error:
                if error.status and error.status not in _TRY_AGAIN:
                    raise
                self._sleep(self._pause_seconds * 2**number)
        return self._post("/v1/events", request, self._event_token, EventsAnswer)

    def close(self) -> None:
        """Hang up; a later request connects anew."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _post(self, path: str, request: PageRequest | EventsRequest, token: str, answer: type[_T]) -> _T:
        headers = {"content-type": JSON} | ({"authorization": f"Bearer {token}"} if token else {})
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self.close()
        try:
            self._connection.request("POST", self._path + path, _encoder.encode(request), headers)
            response = self._connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ScorerError(f"no answer from {self._connection.host}:{self._connection.port}: {error!r}") from error
        self._used_at = time.monotonic()
        return _understood(status, text, answer)


def _understood(status: int, text: bytes, answer: type[_T]) -> _T:
    try:
        if status < 300:
            return msgspec.json.decode(text, type=answer)
        problem = msgspec.json.decode(text, type=Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ScorerError(f"answered {status} with something else than its contract says: {error}", status) from error
    raise ScorerError(f"refused with {status}: {problem.message}", status, problem.field)
