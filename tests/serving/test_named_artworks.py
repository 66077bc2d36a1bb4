"""Artworks that a request names: those of them that its viewer may see, launched and known or not."""

import numpy as np
import pytest

from models.catalogue import Artwork, Catalogue, Title
from models.layout import ARTWORK
from serving.features import InMemoryFeatures
from serving.lookup import COLD
from serving.page_batch import build_page_batch
from serving.policy import LoadedPolicy
from serving.request import AskedContext, AskedTitle
from tests.serving.bundle_example import tasteful
from tests.serving.example import (
    LAUNCHED,
    NOW,
    hours,
    loaded,
)
from tests.serving.scorer_example import ask, scorer_of

RESTRICTED = Catalogue(
    [Title("t", LAUNCHED), Title("other", LAUNCHED)],
    [
        Artwork("open", "t", LAUNCHED),
        Artwork("adult", "t", LAUNCHED, maturity=18, countries=("US",), is_default=True),
        Artwork("soon", "t", NOW + hours(1), countries=("DE", "US")),
        Artwork("teen", "t", LAUNCHED, maturity=12),
        Artwork("foreign", "other", LAUNCHED, countries=("FR",)),
    ],
)
NAMED = AskedTitle(title_id="t", artworks=("soon", "adult", "x", "open", "foreign", "teen"))


@pytest.mark.parametrize(
    ("context", "left"),
    [
        (AskedContext(country="de", maturity_limit=6), ("soon", "x", "open")),
        (AskedContext(country="US", maturity_limit=18), ("soon", "adult", "x", "open", "teen")),
        (AskedContext(country="FR"), ("x", "open", "foreign", "teen")),
        (AskedContext(), ("x", "open", "teen")),
    ],
)
def test_of_artworks_that_are_named_those_that_may_not_be_seen_are_left_out(context, left) -> None:
    scorer = scorer_of(loaded(), catalogue=RESTRICTED)
    for n in range(40):
        (decision,) = scorer.decide(ask(NAMED, profile_id=f"p{n}", context=context), NOW).decisions
        assert (decision.actions, decision.intent) == (left, "live")
        expected = (1 + left.index(decision.artwork_id)) / sum(range(1, len(left) + 1))
        assert decision.propensity == pytest.approx(expected)
        only = AskedTitle(title_id="t", artworks=left)
        (same,) = scorer.decide(ask(only, profile_id=f"p{n}", context=context), NOW).decisions
        assert same.artwork_id == decision.artwork_id, "it is as if the others had not been named"


def test_where_nothing_is_left_of_artworks_that_are_named_there_is_none() -> None:
    scorer = scorer_of(loaded(), catalogue=RESTRICTED)
    context = AskedContext(country="DE", maturity_limit=6)
    for title_id in ("t", "unheard-of"):
        named = AskedTitle(title_id=title_id, artworks=("adult", "foreign"))
        (decision,) = scorer.decide(ask(named, context=context), NOW).decisions
        assert (decision.actions, decision.artwork_id) == ((f"{title_id}:default",), f"{title_id}:default")
        assert (decision.propensity, decision.intent) == (1.0, "fallback:no_artwork")


def test_a_kernel_scores_what_is_left_of_artworks_that_are_named() -> None:
    policy = tasteful(1)
    scorer = scorer_of(LoadedPolicy("v1", policy, policy), catalogue=RESTRICTED, features=InMemoryFeatures(
        artworks={name: np.random.default_rng(n).normal(size=len(ARTWORK)).astype(np.float32)
                  for n, name in enumerate(RESTRICTED.artworks)}
    ))  # fmt: skip
    context = AskedContext(country="DE", maturity_limit=12)
    request = ask(AskedTitle(title_id="t", artworks=("foreign", "teen", "adult", "open")), context=context)
    batch = build_page_batch([(request, None)], scorer.index, NOW)
    assert batch.kernel_pages is not None, "all that is left is the title's own"
    page = scorer.choose(COLD, request, NOW)
    (found,) = page.page.found
    assert found.actions == ("teen", "open")
    expected = policy.pmf(batch.batch)[found.actions.index(page.artwork_ids[0])]
    assert page.propensities == pytest.approx([expected], abs=1e-9)
    together = scorer.choose_all([(COLD, request)] * 3, NOW)
    assert {tuple(each.artwork_ids) for each in together} == {tuple(page.artwork_ids)}
