"""One connection to Redis on the event loop, for reads that many requests make at once and none waits long for.

Commands of one turn of the loop are sent together and answered in order: no thread, no pool, no lock. Whoever waits
longer than the time-out is told so, and the connection is given up with all that wait on it: what Redis has not
answered by then, it answers too late. The next to ask connects again.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

_CONNECT_SECONDS: Final = 1.0
"""What connecting may take, whatever a reading may: who asks meanwhile waits no longer for it than for an answer."""

_RETRY_SECONDS: Final = 0.05
"""How long nobody tries to connect again after it has failed."""

_REFUSED_SECONDS: Final = 1.0
"""The same after Redis has refused a password or a database: somebody has to mend that."""

_LOOK_SECONDS: Final = 0.001
"""What an answer that is overdue is given to be read in."""


class RedisPipe:
    """A pipe to one Redis, connected when it is first asked.

    Args: host and port; password and db, sent when it connects; timeout_seconds, of a reading.
    """

    def __init__(self, host: str, port: int, *, timeout_seconds: float, password: str = "", db: int = 0) -> None:
        self._where = host, port
        self._timeout_seconds = timeout_seconds
        self._hello: list[tuple[bytes, bytes]] = [(b"AUTH", password.encode())] if password else []
        self._hello += [(b"SELECT", b"%d" % db)] if db else []
        self._link: _Link | None = None
        self._connecting: asyncio.Task[_Link] | None = None
        self._not_before = 0.0

    async def hmget(self, key: bytes, fields: Sequence[bytes]) -> list[bytes | None]:
        """Read fields of a hash: None for each that is not there.

        Raises:
            redis.exceptions.RedisError: if Redis cannot be reached, or refuses.
            redis.exceptions.TimeoutError: if the answer is not there within the time-out, connecting included.
        """
        link, command = self._link, (b"HMGET", key, *fields)
        found: list[bytes | None]
        if link is not None and not link.is_cut:
            found = await link.ask(command)
        else:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    found = await (await self._connected()).ask(command)
            except TimeoutError as error:
                raise _too_late(self._timeout_seconds) from error
        return found

    def close(self) -> None:
        """Give up the connection; who still waits on it is told that it was lost."""
        if self._link is not None:
            self._link.cut(RedisConnectionError("the connection to Redis was closed"))

    async def _connected(self) -> "_Link":
        """Connect, once for all who wait for it."""
        loop = asyncio.get_running_loop()
        if self._connecting is None or self._connecting.done():
            if loop.time() < self._not_before:
                raise RedisConnectionError("Redis could not be reached a moment ago")
            self._connecting = loop.create_task(self._connect())
            self._connecting.add_done_callback(_hear)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> "_Link":
        loop = asyncio.get_running_loop()
        link = _Link(_CONNECT_SECONDS)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await loop.create_connection(lambda: link, *self._where)
                await asyncio.gather(*(link.ask(command) for command in self._hello))
        except BaseException as error:
            link.cut(RedisConnectionError("the connection to Redis was given up"))  # or nobody would ever close it
            if not isinstance(error, (OSError, RedisError, TimeoutError)):
                raise
            is_refused = isinstance(error, RedisError) and not isinstance(
                error, (RedisConnectionError, RedisTimeoutError)
            )
            self._not_before = loop.time() + (_REFUSED_SECONDS if is_refused else _RETRY_SECONDS)
            why = str(error) or "it took too long"
            raise RedisConnectionError(f"Redis cannot be reached: {why}") from error
        link.hasten(self._timeout_seconds)
        self._link = link
        return link


def _too_late(seconds: float) -> RedisTimeoutError:
    return RedisTimeoutError(f"Redis took more than {seconds:g} seconds")


def _hear(connecting: "asyncio.Task[_Link]") -> None:
    """Read the failure of a connection that nobody waits for any more."""
    if not connecting.cancelled():
        connecting.exception()


class _Link(asyncio.Protocol):
    """A connection, and those who wait for its answers in the order in which they asked."""

    def __init__(self, timeout_seconds: float) -> None:
        self.is_cut = False
        self._why: RedisError = RedisConnectionError("the connection to Redis was lost")
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._expiry: asyncio.TimerHandle | None = None
        self._looked_at = -math.inf
        self._transport: asyncio.WriteTransport | None = None

    async def ask(self, command: tuple[bytes, ...]) -> Any:
        """Send a command and wait for its answer."""
        if self._transport is None or self.is_cut:
            raise self._why
        waiting: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((waiting, self._loop.time() + self._timeout_seconds))
        if self._expiry is None:
            self._expiry = self._loop.call_later(self._timeout_seconds, self._expire)
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub knows one part only
        return await waiting

    def hasten(self, timeout_seconds: float) -> None:
        """Wait no longer than this for any later answer, once nobody waits for one."""
        self._timeout_seconds = timeout_seconds
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def cut(self, error: RedisError) -> None:
        """Hang up, and tell all who wait why."""
        if not self.is_cut:
            self.is_cut, self._why = True, error
        if self._transport is not None:
            self._transport.abort()
        if self._expiry is not None:
            self._expiry.cancel()
        while self._waiting:
            waiting, _ = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own are of no class of asyncio's
        if self.is_cut:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut(RedisConnectionError(f"the connection to Redis was lost: {exc or 'it was closed'}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                waiting, _ = self._waiting.popleft()
                if waiting.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.set_exception(RedisError(str(answer)))
                else:
                    waiting.set_result(answer)
        except (hiredis.HiredisError, IndexError) as error:
            self.cut(RedisConnectionError(f"what answers is no Redis: {error}"))

    def _send(self) -> None:
        """Send what was asked in this turn of the event loop: one packet there, and most often one back."""
        unsent, self._unsent = self._unsent, []
        if self._transport is not None and not self.is_cut:
            self._transport.write(b"".join(unsent))

    def _expire(self) -> None:
        """Look whether the one who waits longest waits too long; one timer serves all."""
        self._expiry = None
        if not self._waiting:
            return
        due, now = self._waiting[0][1], self._loop.time()
        if now < due:
            self._expiry = self._loop.call_at(due, self._expire)
        elif due > self._looked_at:
            # Timers go before sockets: where the loop itself was held up, the answer may be there, and nobody looked.
            # What is overdue now and not answered at the next look is late, however many came in between.
            self._looked_at = now
            self._expiry = self._loop.call_later(_LOOK_SECONDS, self._expire)
        else:
            self.cut(_too_late(self._timeout_seconds))
