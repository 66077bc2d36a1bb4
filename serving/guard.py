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
from serving.metric import Metrics
from serving.trace import ROUTE

Handle = Callable[[Request], Awaitable[Response]]
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HAND_BACK = {401: {"www-authenticate": "Bearer"}}
# Where a body was not read to its end, the connection holds the rest of it and cannot be used again.
_UNREAD = frozenset({401, 403, 413, 415})
_log = structlog.get_logger(__name__)


class _Endpoint:
    """A handler as an application of its own. Whatever is raised is answered within it: nobody needs to wrap it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._handle(Request(scope, receive))
        await response(scope, receive, send)


class Guard:
    """Makes routes out of handlers: this is where the process ends for a client."""

    def __init__(self, access: Access, metrics: Metrics, *, access_log: bool = False) -> None:
        self._access = access
        self._metrics = metrics
        self._access_log = access_log
        self._ids = (f"{prefix}-{n:x}" for prefix in (secrets.token_hex(6),) for n in itertools.count(1))

    def route(self, path: str, handle: Handle, method: str = "GET", *, role: Role | None = None) -> Route:
        """Guard a handler; with a role, its callers need a token of it."""

        async def endpoint(request: Request) -> Response:
            started, request_id = time.perf_counter(), self._identify(request)
            request.scope[ROUTE] = path
            try:
                self._admit(request, role)
                response = await handle(request)
            except RefusedError as error:
                response = _refused(error)
            except Exception:
                _log.exception("request failed", path=path)
                response = _refused(RefusedError(500, "internal error"))
            self._answered(path, response, time.perf_counter() - started, request_id)
            return response

        return Route(path, _Endpoint(endpoint), methods=[method])

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer a request that no route takes."""
        status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
        message = error.detail if isinstance(error, HTTPException) else "internal error"
        response = refusal(RefusedError(status, message), headers)
        self._answered("other", response, 0.0, self._identify(request))
        return response

    def _identify(self, request: Request) -> str:
        """Take the caller's name for this request if it is a plain one, and give it one otherwise."""
        told = request.headers.get("x-request-id", "")
        request_id = told if _WELL_FORMED.fullmatch(told) else next(self._ids)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        return request_id

    def _admit(self, request: Request, role: Role | None) -> None:
        if role is None or self._access.is_open:
            return
        verdict = self._access.judge(role, request.headers.get("authorization"))
        if verdict is Verdict.STRANGER:
            raise RefusedError(401, f"a bearer token of the role {role} is needed", "authorization")
        if verdict is Verdict.FORBIDDEN:
            raise RefusedError(403, f"this token is not of the role {role}", "authorization")

    def _answered(self, route: str, response: Response, seconds: float, request_id: str) -> None:
        response.raw_headers.append((b"x-request-id", request_id.encode()))
        self._metrics.answered(route, response.status_code, seconds)
        if self._access_log:
            facts: dict[str, Any] = {"route": route, "status": response.status_code, "ms": round(seconds * 1e3, 3)}
            _log.info("request answered", **facts)


def _refused(error: RefusedError) -> Response:
    headers = {"connection": "close"} if error.status in _UNREAD else {}
    return refusal(error, headers | _HAND_BACK.get(error.status, {}))
