"""Pages that are decided together are what each would have been alone, to the last bit."""

import dataclasses
import random
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision import Cell
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, PROFILE, TITLE
from models.shape import SHAPES
from serving.catalogue_index import build_index
from serving.chosen_page import ChosenPage, lines_of
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.ladder import ladder_of
from serving.lookup import Lookup
from serving.page_id import page_ids
from serving.policy import LoadedPolicy
from serving.request import AskedContext, AskedTitle, PageRequest
from serving.scorer import Asked, Scorer
from serving.settings import ScorerSettings
from tests.models.example import EXAMPLES
from tests.serving.example import NOW, BrokenPolicy, TiltedPolicy, example_catalogue, loaded, noting_logger

RNG = np.random.default_rng(11)
CATALOGUE = example_catalogue(12, 5)
FEATURES = InMemoryFeatures(
    titles={name: RNG.normal(size=len(TITLE)).astype(np.float32) for name in CATALOGUE.titles},
    artworks={name: RNG.normal(size=len(ARTWORK)).astype(np.float32) for name in CATALOGUE.artworks},
)
INDEX = build_index(CATALOGUE, FEATURES)
STRANGE = AskedTitle(title_id="t3", artworks=("t0-a1", "new", "t3-a0"))
NAMED = AskedTitle(title_id="t2", artworks=("t2-a3", "t2-a0"), score=0.5, row=3)


def _scorer(policy: object, *, uniform: float = 0.0, factor: float = 1.0) -> Scorer:
    return Scorer(
        ScorerSettings(uniform_cell_share=uniform, repeated_motif_factor=factor),
        FEATURES,
        index=INDEX,
        policy=LoadedPolicy("v1", policy, TiltedPolicy(0.5)),
        new_page_id=page_ids(random.Random(1).getrandbits),
    )


def _profile(rng: np.random.Generator) -> ProfileFeatures:
    n_met = int(rng.integers(0, 9))
    return ProfileFeatures(
        rng.normal(size=len(PROFILE)).astype(np.float32),
        rng.choice(INDEX.title_keys[:-1], n_met, replace=False),
        rng.uniform(0, 90, n_met).astype(np.float32),
        rng.uniform(0, 9, n_met).astype(np.float32),
    )


def _asked(seed: int, n: int) -> list[Asked]:
    rng = np.random.default_rng(seed)
    asked = []
    for _ in range(n):
        ids = [f"t{number}" for number in rng.choice(12, int(rng.integers(1, 9)), replace=False)]
        titles = [AskedTitle(title_id=name, score=float(rng.random()), row=int(rng.integers(9))) for name in ids]
        for special in (STRANGE, NAMED, AskedTitle(title_id="nobody-knows")):
            if rng.random() < 0.2 and special.title_id not in ids:
                titles.insert(int(rng.integers(len(titles) + 1)), special)
        kind = int(rng.integers(4))
        lookup = (Lookup(), Lookup(failure="features_timeout"), Lookup(_profile(rng)), Lookup(_profile(rng)))[kind]
        context = AskedContext(device=str(rng.choice(["tv", "web"])), local_hour=int(rng.integers(24)))
        asked.append((lookup, PageRequest(profile_id=f"p{rng.integers(99)}", titles=tuple(titles), context=context)))
    return asked


def _said(page: ChosenPage) -> dict[str, object]:
    """All that is logged of a page but its ids."""
    record = page.named("x").record()
    return {name: getattr(record, name) for name in record.__struct_fields__}


@pytest.mark.parametrize(("uniform", "factor"), [(0.0, 1.0), (0.4, 1.0), (0.2, 0.3)])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 9))
def test_each_page_is_what_it_would_be_alone(shape, uniform, factor, seed, n) -> None:
    scorer = _scorer(EXAMPLES[shape](Exploration(ExplorationKind.SOFTMAX, 1.0, 0.1)), uniform=uniform, factor=factor)
    asked = _asked(seed, n)
    together = scorer.choose_all(asked, NOW)
    assert [page.page.request for page in together] == [request for _, request in asked], "in the order of asking"
    assert len({page.page_id for page in together}) == n
    for page, (lookup, request) in zip(together, asked, strict=True):
        assert _said(page) == _said(scorer.choose(lookup, request, NOW))
        assert page.decision_ids == [f"{page.page_id}-{number}" for number in range(len(request.titles))]
    assert lines_of(together) == b"".join(page.line() + b"\n" for page in together)


def test_profiles_of_the_uniform_cell_are_told_apart_within_a_group() -> None:
    asked = [(Lookup(), PageRequest(profile_id=f"p{n}", titles=("t0",))) for n in range(60)]
    pages = _scorer(TiltedPolicy(9.0), uniform=0.3).choose_all(asked, NOW)
    assert {page.cell for page in pages} == {Cell.LIVE, Cell.UNIFORM}
    for page in pages:
        is_uniform = page.cell is Cell.UNIFORM
        assert page.policy_version == ("uniform" if is_uniform else "v1")
        assert page.propensities[0] == pytest.approx(0.2 if is_uniform else (1 + 9 * int(page.artwork_ids[0][-1])) / 95)


class _Failing:
    """A kernel that fails whenever one profile's page is among those it scores, as a bug would."""

    def __init__(self, kernel, error: Exception | float) -> None:
        self._kernel, self._error = kernel, error
        self.n_pages: list[int] = []

    def probabilities(self, pages):
        self.n_pages.append(len(pages.common))
        pmf = self._kernel.probabilities(pages)
        if (pages.common[:, 0] > 30.0).any():
            if isinstance(self._error, Exception):
                raise self._error
            pmf[:] = self._error
        return pmf


@pytest.mark.parametrize("error", [ValueError("a bug"), TypeError("a bug"), float("nan"), 0.7])
def test_a_page_that_fails_climbs_down_alone(error) -> None:
    scorer = _scorer(EXAMPLES[SHAPES[0]](Exploration(ExplorationKind.EPSILON, 0.2)))
    asked = [(lookup, PageRequest(profile_id=f"p{n}", titles=("t0", "t1"))) for n, lookup in enumerate([Lookup()] * 4)]
    wild = np.zeros(len(PROFILE), dtype=np.float32)
    wild[0] = 31.0
    nothing = np.zeros(0, dtype=np.float32)
    asked[2] = (Lookup(ProfileFeatures(wild, nothing.astype(np.uint64), nothing, nothing)), asked[2][1])
    expected = [_said(scorer.choose(*each, NOW)) for each in asked]
    failing = _Failing(scorer._in_force.kernel, error)
    ladder = ladder_of(scorer.policy, failing)
    scorer._in_force = dataclasses.replace(scorer._in_force, kernel=failing, ladder=ladder)
    pages = scorer.choose_all(asked, NOW)
    assert failing.n_pages == [4, 1, 1, 1, 1]
    assert pages[2].intents == ["fallback:policy_failed"] * 2
    for place in (0, 1, 3):
        assert _said(pages[place]) == expected[place]


def test_every_page_of_a_group_steps_down_where_the_policy_is_broken() -> None:
    pages = _scorer(BrokenPolicy(ValueError("no"))).choose_all(_asked(1, 5), NOW)
    assert {intent for page in pages for intent in page.intents} <= {
        "fallback:policy_failed",
        "fallback:unknown_title",
    }


def test_what_fails_for_every_page_is_told_once_for_each_step_and_error(monkeypatch) -> None:
    told: list[dict[str, object]] = []
    monkeypatch.setattr("serving.ladder._log", noting_logger(told))
    broken = BrokenPolicy(TypeError("no"))
    scorer = _scorer(broken)
    for policy in (broken, BrokenPolicy(KeyError("no")), broken):
        scorer.policy = LoadedPolicy("v1", policy, broken)
        for seed in range(5):
            scorer.choose_all(_asked(seed, 5), NOW)
    assert [(line["step"], line["error"]) for line in told] == [
        ("live", "TypeError('no')"),
        ("policy_failed", "TypeError('no')"),
        ("live", "KeyError('no')"),
    ]


def test_a_group_is_of_one_version_whenever_policies_swap() -> None:
    numbers = count()

    def swap_and_name(_) -> str:
        number = next(numbers)
        scorer.policy = loaded(f"v{number}", float(number))
        return f"page-{number}"

    scorer = _scorer(TiltedPolicy(0.0), uniform=0.3)
    scorer._new_page_id = swap_and_name
    before = "v1"
    for _ in range(5):
        pages = scorer.choose_all([(Lookup(), PageRequest(profile_id=f"p{n}", titles=("t0",))) for n in range(9)], NOW)
        assert {page.policy_version for page in pages} == {before, "uniform"}
        before = scorer.policy.version
