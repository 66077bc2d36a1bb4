"""The HTTP application: bodies in, records through the service, JSON out; every error is JSON and says why."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.access import Access, Role
from serving.answer import PageAnswer
from serving.body import JSON, RefusedError, decode, json_response
from serving.guard import Guard
from serving.incoming import Incoming
from serving.openapi import openapi
from serving.request import EventsRequest, PageRequest
from serving.service import Service
from serving.stage import Laps, Stage
from serving.trace import LAPS


def http_app(service: Service, *, freeze: bool = False) -> Starlette:
    """Put the service behind HTTP; its background work begins and ends with the application's lifespan.

    Raises:
        ContractError: if a token cannot be one.
    """
    handlers = _Handlers(service)
    guard = Guard(Access.of(service.settings), service.metrics, access_log=service.settings.access_log)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start(freeze=freeze)
        try:
            yield
        finally:
            await service.stop()

    app = _Direct(
        routes=[
            guard.route("/v1/pages", handlers.pages, "POST", role=Role.PAGE),
            guard.route("/v1/events", handlers.events, "POST", role=Role.EVENT),
            guard.route("/metrics", handlers.metrics, role=Role.ADMIN),
            guard.route("/healthz", handlers.healthz),
            guard.route("/readyz", handlers.readyz),
            guard.route("/openapi.json", handlers.openapi),
        ],
        exception_handlers={HTTPException: guard.refuse},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


class _Direct(Starlette):
    """Starlette, but a request for a route to the letter goes straight there: the way round costs what a draw does.

    Guarded routes need none of what lies between: they have no parameters, and answer all that is raised within.
    """

    def __init__(self, routes: Sequence[Route], **rest: Any) -> None:
        super().__init__(routes=routes, **rest)
        self._direct = {(method, route.path): route.app for route in routes for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or the lifespan."""
        direct = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (super().__call__ if direct is None else direct)(scope, receive, send)


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._max_bytes = service.settings.max_body_bytes
        self._max_titles = service.settings.max_titles
        self._max_events = service.settings.max_events
        self._page_decoder = msgspec.json.Decoder(PageRequest)
        self._events_decoder = msgspec.json.Decoder(EventsRequest)
        self._openapi: bytes = msgspec.json.encode(openapi(service.settings))

    async def pages(self, incoming: Incoming) -> Response:
        body = await incoming.json_body(self._max_bytes)
        laps = Laps()
        asked = decode(self._page_decoder, body, has_moments=False)
        if len(asked.titles) > self._max_titles:
            raise RefusedError(422, f"titles must be at most {self._max_titles}, got {len(asked.titles)}", "titles")
        laps.end(Stage.DECODE)
        answer: PageAnswer = await self._service.page(asked, laps)
        response = json_response(answer)
        laps.end(Stage.ENCODE)
        self._service.metrics.staged(laps)
        incoming.scope[LAPS] = laps
        return response

    async def events(self, incoming: Incoming) -> Response:
        reported = decode(self._events_decoder, await incoming.json_body(self._max_bytes))
        n_events = len(reported.impressions) + len(reported.plays)
        if n_events > self._max_events:
            most = f"impressions and plays must be at most {self._max_events} together, got {n_events}"
            raise RefusedError(422, most, "impressions" if reported.impressions else "plays")
        try:
            return json_response(await self._service.events(reported), 202)
        except OSError as error:
            raise RefusedError(503, "the event log cannot be written: send the events again later") from error

    async def healthz(self, _: Incoming) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Incoming) -> Response:
        readiness = self._service.readiness()
        return json_response(readiness, 200 if readiness.ready else 503)

    async def metrics(self, _: Incoming) -> Response:
        return Response(generate_latest(self._service.metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def openapi(self, _: Incoming) -> Response:
        return Response(self._openapi, media_type=JSON)
