"""HTTP/1.1 within bounds: what uvicorn's protocol leaves open is closed before a request reaches the application.

uvicorn waits for ever for a request that never ends, takes any number of headers, and any number of connections.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.body import JSON, RefusedError, refusal

Refused = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request: bytes in all and of its head, lines of headers, seconds to arrive; and of connections."""

    request_bytes: int
    header_bytes: int
    headers: int
    request_seconds: float
    connections: int


def bounded_protocol(limits: Limits, refused: Refused) -> type[HttpToolsProtocol]:
    """Make a protocol for uvicorn; `refused` is told the status of every answer that the application never sees."""

    class Bounded(_BoundedProtocol):
        _limits = limits
        _refused = staticmethod(refused)

    return Bounded


class _TooLargeError(Exception):
    """Raised inside of the parser, which stops there and says no more than that it failed."""


class _Joined(asyncio.Transport):
    """A transport that sends what is written in one turn of the event loop at once: uvicorn writes head and body apart.

    It has what uvicorn's protocol asks of one, and no more.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._unsent: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))


class _BoundedProtocol(HttpToolsProtocol):
    _limits: Limits
    _refused: Refused

    _is_arriving = False
    _has_head = False
    _is_too_large = False
    _n_bytes = 0
    _is_shared = False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn narrows it
        super().connection_made(transport)
        self.transport = _Joined(transport, self.loop)
        if len(self.connections) > self._limits.connections:
            self._refuse(RefusedError(503, "too many connections: try again later"))
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._is_shared = False
        super().data_received(data)
        if self._late is None and (self._is_arriving or self._is_idle()):
            self._expect()  # also where nothing has begun: an empty line keeps no connection
        if not self._is_arriving:
            return
        # What has not ended yet (a header, a trailer, a chunk's size) is told of by nobody: bytes count as they come,
        # but for those that came with the end of another request.
        self._n_bytes += 0 if self._is_shared else len(data)
        if not self._has_head and self._n_bytes > self._limits.header_bytes:
            self._refuse(self._too_large_head())
        elif self._n_bytes > self._limits.request_bytes:
            self._refuse(RefusedError(413, f"a request must be at most {self._limits.request_bytes} bytes"))

    def on_message_begin(self) -> None:
        self._is_arriving, self._has_head, self._n_bytes = True, False, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head come trailers, which nobody reads, and which must not become headers of a request under way.
        if self._has_head or len(self.headers) >= self._limits.headers:
            self._stop()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._limits.header_bytes:
            self._stop()
        super().on_headers_complete()
        self._has_head = True  # not before: a path that cannot be read raises, and has no cycle

    def on_message_complete(self) -> None:
        self._is_arriving, self._is_shared = False, True
        self._expect_nothing()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._is_arriving = False
        not_http = RefusedError(400, "the request is not HTTP/1.1")
        self._refuse(self._too_large_head() if self._is_too_large else not_http)

    def _too_large_head(self) -> RefusedError:
        most = f"{self._limits.header_bytes} bytes in {self._limits.headers} lines"
        return RefusedError(431, f"request line and headers must be at most {most}", "headers")

    def _stop(self) -> NoReturn:
        self._is_too_large = True
        raise _TooLargeError

    def _expect(self) -> None:
        self._late = self.loop.call_later(self._limits.request_seconds, self._give_up)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._refuse(RefusedError(408, f"a request must arrive within {self._limits.request_seconds:g} seconds"))

    def _refuse(self, error: RefusedError) -> None:
        """Answer past the application, unless it has begun to, and hang up."""
        self._expect_nothing()
        if self.transport.is_closing():
            return
        if self._may_answer():
            answer = refusal(error)
            head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[error.status] + head % (JSON.encode(), len(answer.body)) + answer.body)
            self._refused(error.status)
        self.transport.close()

    def _may_answer(self) -> bool:
        """Tell whether what is refused has no answer yet, and nobody before it waits for one.

        A second answer to one request would be taken for the answer to the next.
        """
        # Without a head it is not the cycle's request that arrives, but the one after it.
        return not self.pipeline and (self._is_idle() if not self._has_head else not self.cycle.response_started)

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete
