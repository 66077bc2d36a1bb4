"""Traces by OpenTelemetry, where it is installed (extra `otel`) and an endpoint is named: one span a request.

A span carries the route, the status, the request's id and the seconds of each stage: nothing of what was asked.
"""

from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.error import ContractError
from serving.settings import ScorerSettings

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

LAPS: Final = "marquee.laps"
ROUTE: Final = "marquee.route"
"""Where a page's laps and a request's route are left, in the request's scope."""

_HOW = "MARQUEE_OTEL_ENDPOINT needs the packages of marquee[otel], which are not installed"


class Traced:
    """An application whose requests are spans; a caller's `traceparent` is their parent."""

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        from opentelemetry import propagate, trace

        self._app = app
        self._extract = propagate.extract
        self._server = trace.SpanKind.SERVER
        self._tracer = provider.get_tracer("marquee.scorer")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.start_as_current_span(
            scope["method"], context=self._extract(carrier), kind=self._server
        ) as span:

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note(span, scope, message)
                await send(message)

            await self._app(scope, receive, send_and_note)


def tracer_provider(settings: ScorerSettings) -> "TracerProvider | None":
    """Make the provider that sends spans to the settings' endpoint in batches; None where none is named.

    Raises:
        ContractError: if an endpoint is named and OpenTelemetry is not installed.
    """
    if not settings.otel_endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ContractError(_HOW) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "marquee-scorer"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otel_endpoint)))
    return provider


def _note(span: "Span", scope: Scope, answer: Message) -> None:
    route = scope.get(ROUTE, "other")
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.response.status_code", answer["status"])
    for name, value in answer["headers"]:
        if name == b"x-request-id":
            span.set_attribute("marquee.request_id", value.decode())
    if LAPS in scope:
        for stage, seconds in scope[LAPS].seconds.items():
            span.set_attribute(f"marquee.seconds.{stage}", seconds)
