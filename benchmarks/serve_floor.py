"""The least that a page can cost on this HTTP stack: decode the body, read the profile's bytes once, answer a constant.

Redis is asked by its own client, on the event loop: the cheapest read there is, which no server of many clients should
make, as all of them wait for it.
"""

import os
from typing import cast

import msgspec
import uvicorn
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.serve_load import N_PROFILES, N_TITLES_A_PAGE
from serving.answer import Choice, PageAnswer
from serving.request import PageRequest
from serving.settings import ScorerSettings

_ANSWER = PageAnswer(
    page_id="0" * 32,
    policy_version="constant",
    cell="live",
    decisions=tuple(Choice(f"t{n}", f"t{n}-a0", f"{'0' * 32}-{n}") for n in range(N_TITLES_A_PAGE)),
)


def floor_app() -> Starlette:
    """Make the application."""
    host, _, port = os.environ["MARQUEE_REDIS"].partition(":")
    redis, keys = Redis(host, int(port)), {f"p{n}": _key(f"p{n}") for n in range(N_PROFILES)}
    decoder = msgspec.json.Decoder(PageRequest)
    answer: bytes = msgspec.json.encode(_ANSWER)

    async def pages(request: Request) -> Response:
        asked = decoder.decode(await request.body())
        redis.hmget(cast("str", keys[asked.profile_id]), ["profile_taste", "profile_familiarity"])
        return Response(answer, media_type="application/json")

    async def readyz(_: Request) -> Response:
        return Response(b"ok")

    return Starlette(routes=[Route("/v1/pages", pages, methods=["POST"]), Route("/readyz", readyz)])


def _key(profile_id: str) -> bytes:
    entity = EntityKey(join_keys=["profile_id"], entity_values=[Value(string_val=profile_id)])
    return b"marquee/" + bytes(serialize_entity_key(entity, entity_key_serialization_version=3))


if __name__ == "__main__":
    settings = ScorerSettings()
    uvicorn.run(floor_app(), host="127.0.0.1", port=settings.port, log_config=None, access_log=False, ws="none")
