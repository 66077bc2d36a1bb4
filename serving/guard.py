"""What every request passes through: an id, its role, its time, and an answer whatever is raised within."""

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.access import Access, Role, Verdict
from serving.body import RefusedError, refusal
from serving.incoming import Incoming
from serving.log_setup import REQUEST_ID
from serving.metric import Metrics
from serving.trace import ROUTE

Handle = Callable[[Incoming], Awaitable[Response]]
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HAND_BACK = {401: {"www-authenticate": "Bearer"}}
# Where a body was not read to its end, the connection holds the rest of it and cannot be used again.
_UNREAD = frozenset({401, 403, 413, 415})
_log = structlog.get_logger(__name__)


class Guard:
    """Makes routes out of handlers: this is where the process ends for a client."""

    def __init__(self, access: Access, metrics: Metrics, *, access_log: bool = False) -> None:
        self._access = access
        self._metrics = metrics
        self._access_log = access_log
        self._ids = (b"%b-%x" % (prefix, n) for prefix in (secrets.token_hex(6).encode(),) for n in itertools.count(1))

    def route(self, path: str, handle: Handle, method: str = "GET", *, role: Role | None = None) -> Route:
        """Guard a handler; with a role, its callers need a token of it."""
        return Route(path, _Guarded(self, path, handle, role), methods=[method])

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer a request that no route takes."""
        status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
        message = error.detail if isinstance(error, HTTPException) else "internal error"
        response = refusal(RefusedError(status, message), headers)
        self.answered("other", response, 0.0, self.identify(Incoming(request.scope, request.receive)))
        return response

    def identify(self, incoming: Incoming) -> bytes:
        """Take the caller's name for this request if it is a plain one, and give it one otherwise."""
        told = incoming.headers.get(b"x-request-id", b"")
        request_id = told if _WELL_FORMED.fullmatch(told) else next(self._ids)
        REQUEST_ID.set(request_id.decode())
        return request_id

    def admit(self, incoming: Incoming, role: Role | None) -> None:
        """Let a caller pass who may.

        Raises:
            RefusedError: 401 without a token that is known, 403 with one of another role.
        """
        if role is None or self._access.is_open:
            return
        told = incoming.headers.get(b"authorization")
        verdict = self._access.judge(role, None if told is None else told.decode("latin-1"))
        if verdict is Verdict.STRANGER:
            raise RefusedError(401, f"a bearer token of the role {role} is needed", "authorization")
        if verdict is Verdict.FORBIDDEN:
            raise RefusedError(403, f"this token is not of the role {role}", "authorization")

    def answered(self, route: str, response: Response, seconds: float, request_id: bytes) -> None:
        """Count an answer that is about to be sent, and name the request in it."""
        response.raw_headers.append((b"x-request-id", request_id))
        self._metrics.answered(route, response.status_code, seconds)
        if self._access_log:
            facts: dict[str, Any] = {"route": route, "status": response.status_code, "ms": round(seconds * 1e3, 3)}
            _log.info("request answered", **facts)


class _Guarded:
    """A handler as an application of its own. Whatever is raised is answered within it: nobody needs to wrap it."""

    def __init__(self, guard: Guard, path: str, handle: Handle, role: Role | None) -> None:
        self._guard, self._path, self._handle, self._role = guard, path, handle, role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started, incoming = time.perf_counter(), Incoming(scope, receive)
        request_id = self._guard.identify(incoming)
        scope[ROUTE] = self._path
        try:
            self._guard.admit(incoming, self._role)
            response = await self._handle(incoming)
        except RefusedError as error:
            response = _refused(error)
        except Exception:
            _log.exception("request failed", path=self._path)
            response = _refused(RefusedError(500, "internal error"))
        self._guard.answered(self._path, response, time.perf_counter() - started, request_id)
        await response(scope, receive, send)


def _refused(error: RefusedError) -> Response:
    headers = {"connection": "close"} if error.status in _UNREAD else {}
    return refusal(error, headers | _HAND_BACK.get(error.status, {}))
