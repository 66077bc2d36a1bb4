"""A page that was decided says the same in all its forms, and a compiled policy decides as the policy itself."""

import numpy as np
import pytest

from models.decision import Page
from models.event import decode_line, encode_lines
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, PROFILE, TITLE
from models.shape import SHAPES
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.lookup import Lookup
from serving.policy import LoadedPolicy
from serving.request import AskedContext, AskedTitle, PageRequest
from serving.scorer import Scorer
from tests.models.example import EXAMPLES
from tests.serving.example import NOW, example_catalogue, settings_in

LAUNCHED_TITLES = tuple(f"t{n}" for n in range(8))
MIXED = (
    "t0",
    AskedTitle(title_id="t1", score=0.25, row=2, column=7),
    AskedTitle(title_id="t2", artworks=("t2-a3", "t2-a0")),
    "nobody-knows",
)
STRANGE = (*MIXED, AskedTitle(title_id="t3", artworks=("t0-a1", "new", "t3-a0")))


class _Plain:
    """A policy without the shape that would be compiled."""

    def __init__(self, policy) -> None:
        self.pmf = policy.pmf


def _features() -> InMemoryFeatures:
    rng = np.random.default_rng(4)
    catalogue = example_catalogue(8, 6)
    titles = {name: rng.normal(size=len(TITLE)).astype(np.float32) for name in catalogue.titles}
    artworks = {name: rng.normal(size=len(ARTWORK)).astype(np.float32) for name in catalogue.artworks}
    index = build_index(catalogue, InMemoryFeatures())
    met = index.title_keys[[1, 4]]
    profile = ProfileFeatures(
        rng.normal(size=len(PROFILE)).astype(np.float32), met, np.float32([30, 2]), np.float32([3, 9])
    )
    return InMemoryFeatures({"p": (profile, NOW)}, titles, artworks)


def _scorer(policy, tmp_path) -> Scorer:
    features = _features()
    index = build_index(example_catalogue(8, 6), features)
    loaded = LoadedPolicy("v1", policy, policy)
    return Scorer(settings_in(tmp_path), features, index=index, policy=loaded, new_page_id=lambda _: "page")


@pytest.mark.parametrize("titles", [LAUNCHED_TITLES, MIXED, STRANGE], ids=["plain", "mixed", "strange"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_a_compiled_policy_decides_and_logs_as_the_policy_itself(shape, titles, tmp_path) -> None:
    policy = EXAMPLES[shape](Exploration(ExplorationKind.SOFTMAX, 1.0, 0.1))
    quick, plain = _scorer(policy, tmp_path), _scorer(_Plain(policy), tmp_path)
    assert quick._in_force.kernel is not None
    assert plain._in_force.kernel is None
    for n in range(20):
        context = AskedContext(device="tv", country="DE", local_hour=n)
        request = PageRequest(profile_id="p" if n % 2 else f"q{n}", titles=titles, context=context)
        found, expected = quick.decide(request, NOW), plain.decide(request, NOW)
        for one, other in zip(found.decisions, expected.decisions, strict=True):
            assert one.artwork_id == other.artwork_id
            assert one.propensity == pytest.approx(other.propensity, rel=1e-9)
            assert (one.features, one.actions) == (other.features, other.actions)


@pytest.mark.parametrize("failure", ["", "features_timeout"])
def test_the_line_is_the_record_s_own(failure, tmp_path) -> None:
    scorer = _scorer(EXAMPLES[SHAPES[0]](Exploration(ExplorationKind.EPSILON, 0.3)), tmp_path)
    found = scorer.features.profile("p", NOW)
    page = scorer.choose(Lookup(None if failure else found, failure), PageRequest(profile_id="p", titles=STRANGE), NOW)
    record = page.record()
    assert isinstance(record, Page)
    assert page.line() + b"\n" == encode_lines([record])
    assert decode_line(page.line()) == record
    answer = page.answer(explain=True)
    assert [(c.title_id, c.artwork_id, c.decision_id, c.propensity, c.intent) for c in answer.decisions] == [
        (d.title_id, d.artwork_id, d.decision_id, d.propensity, d.intent) for d in record.decisions
    ]
    assert {c.propensity for c in page.answer().decisions} == {None}


def test_an_unlearned_page_has_the_same_forms(tmp_path) -> None:
    scorer = _scorer(EXAMPLES[SHAPES[0]](Exploration(ExplorationKind.EPSILON, 0.3)), tmp_path)
    page = scorer.choose_unlearned(Lookup(), PageRequest(profile_id="p", titles=MIXED), NOW, "log_unwritable")
    assert {each.intent for each in page.record().decisions} == {
        "fallback:log_unwritable",
        "fallback:unknown_title",
    }
    assert page.answer(unlogged=True).unlogged
