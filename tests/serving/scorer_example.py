"""A scorer over a small catalogue, without HTTP and files, and pages to ask it for."""

import random
from pathlib import Path

from models.catalogue import Catalogue
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures, OnlineFeatures
from serving.page_id import page_ids
from serving.policy import LoadedPolicy
from serving.request import AskedContext, AskedTitle, PageRequest
from serving.scorer import Scorer
from serving.settings import ScorerSettings
from tests.serving.example import (
    example_catalogue,
)

ALL = ("t0", "t1", "t2")


def scorer_of(
    policy: LoadedPolicy | None = None,
    *,
    features: OnlineFeatures | None = None,
    catalogue: Catalogue | None = None,
    uniform_share: float = 0.0,
) -> Scorer:
    found = features or InMemoryFeatures()
    return Scorer(
        ScorerSettings(uniform_cell_share=uniform_share, home=Path("nowhere")),
        found,
        index=build_index(catalogue or example_catalogue(), found),
        policy=policy,
        new_page_id=page_ids(random.Random(1).getrandbits),
    )


def ask(*titles: AskedTitle | str, profile_id: str = "p", context: AskedContext | None = None) -> PageRequest:
    return PageRequest(profile_id=profile_id, titles=titles or ALL, context=context or AskedContext())
