"""Puts the scorer together and serves it."""

import os
import socket
import sys
from types import FrameType

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from models.error import ContractError
from serving.access import refuse_exposed
from serving.app import http_app
from serving.features import OnlineFeatures
from serving.late_features import LateFeatures
from serving.log_setup import log_to_stderr
from serving.page_id import PageIds
from serving.policy import PolicySource
from serving.policy_source import BundlePolicySource
from serving.protocol import Limits, bounded_protocol
from serving.scorer import Scorer
from serving.service import Clock, Service, utc_now
from serving.settings import ScorerSettings
from serving.trace import Traced, tracer_provider
from serving.variable import unknown_variables

_log = structlog.get_logger(__name__)

_GRACE_SECONDS = 10
_KEEP_ALIVE_SECONDS = 30
_CHUNKED = 6
"""Bytes that a byte of a body may take: as many as a chunk that holds just this one."""

_SWITCH_SECONDS = 0.001
"""How long a page waits, each time, for a thread that lays a policy out: not Python's own 5 ms. A thread that reads
vectors rests sooner (`serving.pace`)."""


def run(settings: ScorerSettings) -> None:
    """Serve until the process is told to end (SIGINT or SIGTERM); requests under way are answered first.

    Raises:
        ContractError: if the address cannot be listened on, or would be open to others without a token; nothing has
        been loaded by then.
    """
    refuse_exposed(settings)
    refuse_taken(settings)
    log_to_stderr()
    for unknown in unknown_variables(settings, os.environ):
        _log.warning("unknown variable", why=unknown)
    sys.setswitchinterval(_SWITCH_SECONDS)
    ScorerServer(build_app(settings, freeze=True), settings).run()


class ScorerServer(uvicorn.Server):
    """Serves an application that `build_app` made; told to end, it ends while it still starts too."""

    def __init__(self, app: Starlette, settings: ScorerSettings) -> None:
        super().__init__(server_config(app, settings))
        self._service: Service = app.state.service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: stop serving, and waiting for what the start still waits for."""
        self._service.leave()
        super().handle_exit(sig, frame)


def server_config(app: Starlette, settings: ScorerSettings) -> uvicorn.Config:
    """Tell uvicorn how to serve an application that `build_app` made: where, and within which bounds.

    Raises:
        ContractError: if traces are asked for and cannot be made.
    """
    service: Service = app.state.service
    limits = Limits(
        request_bytes=settings.max_header_bytes + _CHUNKED * settings.max_body_bytes,
        header_bytes=settings.max_header_bytes,
        headers=settings.max_headers,
        request_seconds=settings.request_seconds,
        connections=settings.max_connections,
    )
    traces = tracer_provider(settings)
    served: ASGIApp = app if traces is None else Traced(app, traces)
    return uvicorn.Config(
        served,
        host=settings.host,
        port=settings.port,
        http=bounded_protocol(limits, lambda status: service.metrics.answered("other", status, 0.0)),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody asks where a request comes from
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def refuse_taken(settings: ScorerSettings) -> None:
    """Find out, before anything is loaded, whether the scorer's address can be listened on.

    Raises:
        ContractError: naming the address, and how to choose another one.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except (OSError, UnicodeError) as error:  # Python spells a name for the resolver before it asks
        why = getattr(error, "strerror", None) or error
        raise ContractError(
            f"cannot serve on {where}: {why}; choose another with MARQUEE_HOST or MARQUEE_PORT"
        ) from error


def build_app(
    settings: ScorerSettings,
    *,
    features: OnlineFeatures | None = None,
    policies: PolicySource | None = None,
    clock: Clock = utc_now,
    new_page_id: PageIds | None = None,
    freeze: bool = False,
) -> Starlette:
    """Compose the application: features from Feast and policies from bundles, unless others are given.

    Args: freeze, whether to freeze garbage collection after the start, for a process that does nothing else.
    """
    found = features or LateFeatures(lambda: _open_feast(settings))
    scorer = Scorer(settings, found, new_page_id=new_page_id)
    service = Service(settings, scorer, policies or BundlePolicySource(settings.policies_url), clock=clock)
    return http_app(service, freeze=freeze)


def _open_feast(settings: ScorerSettings) -> OnlineFeatures:
    # Feast takes seconds to import: not before it is needed, and never for a scorer that is given other features.
    from serving.feast_features import open_features

    return open_features(settings)
