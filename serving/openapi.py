"""The OpenAPI document, made from the very types that decode and encode, so that it cannot drift from them."""

from typing import Any, Final

import msgspec

from models.layout import FEATURE_SERVICE
from serving.access import Role
from serving.answer import EventsAnswer, PageAnswer, Refusal
from serving.request import EventsRequest, PageRequest
from serving.settings import ScorerSettings
from serving.status import Readiness

_TYPES: Final = (PageRequest, EventsRequest, PageAnswer, EventsAnswer, Refusal, Readiness)
_REFUSALS: Final = {
    400: "the body is not JSON",
    401: "a bearer token of the route's role is needed",
    403: "the token is of another role",
    408: "the request did not arrive in time",
    413: "the body is too long",
    415: "the body is not declared as JSON",
    422: "a field breaks its contract; `error.field` names it",
    431: "request line and headers are too long",
    503: "too many connections, or the event log cannot be written: send the request again later",
}


def openapi(settings: ScorerSettings) -> dict[str, Any]:
    """Describe the HTTP interface under these settings."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    schemas["PageRequest"]["properties"]["titles"]["maxItems"] = settings.max_titles
    for reported in ("impressions", "plays"):
        schemas["EventsRequest"]["properties"][reported]["maxItems"] = settings.max_events
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Marquee scorer",
            "version": FEATURE_SERVICE,
            "description": "Which artwork to show for each title of a page, and what came of it.",
        },
        "paths": {
            "/v1/pages": {
                "post": _post("Choose an artwork for each title of a page", Role.PAGE, PageRequest, PageAnswer, 200)
            },
            "/v1/events": {
                "post": _post(
                    "Report impressions and plays, any number of times", Role.EVENT, EventsRequest, EventsAnswer, 202
                )
                | {"description": "An event is counted once, by its id, however often it is sent."}
            },
            "/healthz": {"get": _get("Whether the process lives", {"200": _text("it does")})},
            "/readyz": {
                "get": _get(
                    "Whether the event log can be written",
                    {"200": _json(Readiness, "it can"), "503": _json(Readiness, "it cannot")},
                )
            },
            "/metrics": {
                "get": _get(
                    "Prometheus metrics",
                    {"200": _text("the metrics")} | {str(code): _json(Refusal, _REFUSALS[code]) for code in (401, 403)},
                )
                | _needs(Role.ADMIN)
            },
            "/openapi.json": {"get": _get("This document", {"200": {"description": "it"}})},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                role.value: {"type": "http", "scheme": "bearer", "description": f"a token of the role {role}"}
                for role in Role
            },
        },
    }


def _post(summary: str, role: Role, body: type, answer: type, status: int) -> dict[str, Any]:
    responses = {str(status): _json(answer, "done")}
    responses |= {str(code): _json(Refusal, why) for code, why in _REFUSALS.items()}
    return {
        "summary": summary,
        **_needs(role),
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}},
        "responses": responses,
    }


def _needs(role: Role) -> dict[str, Any]:
    """Say that a route takes a token of the role, or none where the scorer has none."""
    return {"security": [{role.value: []}, {}]}


def _get(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": responses}


def _json(answer: type, description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(answer)}}}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _ref(answer: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{answer.__name__}"}
