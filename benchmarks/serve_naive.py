"""The page as one would first write it: Feast's SDK for all features, vowpal-wabbit-next title by title, no log.

The same HTTP stack, body and answer as the scorer's; Feast reads the scorer's own online store, whose rows are packed.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.vw_page import VwPages
from models.bundle import read_bundle, read_pointer
from models.layout import PROFILE
from serving.answer import Choice, PageAnswer
from serving.catalogue_file import read_catalogue
from serving.catalogue_index import build_index
from serving.feast_features import FeastFeatures
from serving.feature_store import open_feature_store
from serving.features import InMemoryFeatures
from serving.page_batch import build_page_batch
from serving.request import PageRequest
from serving.settings import ScorerSettings


def naive_app(settings: ScorerSettings) -> Starlette:
    """Make the application."""
    from datetime import timedelta

    store: Any = open_feature_store(settings, online_only=True)
    features = FeastFeatures(store, ttl=timedelta(hours=settings.profile_ttl_hours), by_feast=True)
    catalogue = read_catalogue(settings.catalogue_path)
    index = build_index(catalogue, InMemoryFeatures())
    pointer = read_pointer(settings.policies_url)
    if pointer is None:
        raise SystemExit("no policy is published")
    bundle = read_bundle(settings.policies_url, pointer.version)
    model = settings.home / "policies" / "bundles" / pointer.version / "model.vw"
    pages_of = VwPages(Path(model), bundle.policy.exploration)
    decoder, rng = msgspec.json.Decoder(PageRequest), np.random.default_rng(1)

    async def pages(request: Request) -> Response:
        asked = decoder.decode(await request.body())
        at = datetime.now(UTC)
        profile = features.profile(asked.profile_id, at)
        page = build_page_batch([(asked, profile)], index, at)
        batch = page.batch
        titles = features.titles(page.pages[0].title_ids).vectors
        batch.shared[:, len(PROFILE) : len(PROFILE) + titles.shape[1]] = titles
        batch.artworks[:] = features.artworks([name for each in page.found for name in each.actions]).vectors
        choices = []
        pmf = pages_of.pmf(batch)
        for place, each in enumerate(page.found):
            own = pmf[batch.offsets[place] : batch.offsets[place + 1]]
            name = each.actions[rng.choice(len(own), p=own / own.sum())]
            choices.append(Choice(page.pages[0].title_ids[place], name, f"{place}"))
        answer = PageAnswer(page_id="naive", policy_version=pointer.version, cell="live", decisions=tuple(choices))
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def readyz(_: Request) -> Response:
        return Response(b"ok")

    return Starlette(routes=[Route("/v1/pages", pages, methods=["POST"]), Route("/readyz", readyz)])


if __name__ == "__main__":
    found = ScorerSettings()
    uvicorn.run(naive_app(found), host="127.0.0.1", port=found.port, log_config=None, access_log=False, ws="none")
