"""Motifs are not piled up on a page, and every propensity is the exact conditional one."""

from dataclasses import replace

import numpy as np
import pytest

from models.catalogue import Catalogue
from models.exploration import Exploration, ExplorationKind
from models.linear import LinearPolicy
from models.policy import UniformPolicy
from serving.catalogue_index import build_index
from serving.features import InMemoryFeatures
from serving.lookup import COLD
from serving.page_batch import build_page_batch
from serving.page_rule import draw_in_turn
from serving.policy import LoadedPolicy
from serving.request import PageRequest
from serving.scorer import Scorer
from tests.serving.bundle_example import tasteful
from tests.serving.example import NOW, example_catalogue, settings_in

TITLES = tuple(f"t{n}" for n in range(6))
FLOOR = 0.1


def _catalogue() -> Catalogue:
    """Three motifs and none, over and over."""
    whole = example_catalogue(6, 4)
    motifs = ["face", "crowd", "landscape", ""]
    artworks = [replace(each, motif=motifs[place % 4]) for place, each in enumerate(whole.artworks.values())]
    return Catalogue(whole.titles.values(), artworks)


def _scorer(tmp_path, factor: float, policy: LinearPolicy, uniform: float = 0.0) -> Scorer:
    settings = settings_in(tmp_path, repeated_motif_factor=factor, uniform_cell_share=uniform)
    index = build_index(_catalogue(), InMemoryFeatures())
    return Scorer(settings, InMemoryFeatures(), index=index, policy=LoadedPolicy("v", policy, policy))


def _policy(seed: int = 1) -> LinearPolicy:
    rule = Exploration(ExplorationKind.SOFTMAX, parameter=1.0, floor=FLOOR)
    return LinearPolicy.from_arrays({**tasteful(seed).arrays(), "exploration": rule.to_array()})


def _motif(name: str) -> str:
    return _catalogue().artworks[name].motif


def _expected(pmf: np.ndarray, motifs: list[str], shown: list[str], factor: float) -> np.ndarray:
    """The formula, one candidate after another."""
    guaranteed = FLOOR / len(pmf)
    kept = [
        (p - guaranteed) * factor ** (shown.count(motif) if motif else 0) for p, motif in zip(pmf, motifs, strict=True)
    ]
    return np.array([guaranteed + (1 - FLOOR) * each / sum(kept) for each in kept])


def test_each_propensity_is_the_conditional_one_by_the_formula(tmp_path) -> None:
    policy, factor = _policy(), 0.3
    scorer = _scorer(tmp_path, factor, policy)
    for n in range(50):
        request = PageRequest(profile_id=f"p{n}", titles=TITLES)
        page = scorer.choose(COLD, request, NOW)
        batch = build_page_batch([(request, None)], scorer.index, NOW)
        pmf, shown = policy.pmf(batch.batch), []
        for title, (artwork, propensity) in enumerate(zip(page.artwork_ids, page.propensities, strict=True)):
            own = slice(*batch.offsets[title : title + 2])
            actions = page.page.found[title].actions
            expected = _expected(pmf[own], [_motif(name) for name in actions], shown, factor)
            assert propensity == pytest.approx(expected[actions.index(artwork)], rel=1e-9)
            assert propensity >= FLOOR / len(actions) - 1e-12
            shown.append(_motif(artwork))


def test_weighing_by_the_propensity_recovers_every_artwork_s_share(tmp_path) -> None:
    """For each artwork, 1/propensity over the pages that show it sums to the number of all pages."""
    scorer, n = _scorer(tmp_path, 0.2, _policy()), 6_000
    totals: dict[str, list[float]] = {}
    for number in range(n):
        page = scorer.choose(COLD, PageRequest(profile_id=f"p{number}", titles=TITLES), NOW)
        for artwork, propensity in zip(page.artwork_ids, page.propensities, strict=True):
            totals.setdefault(artwork, []).append(1.0 / propensity)
    assert len(totals) == 24
    for weights in totals.values():
        padded = np.concatenate([weights, np.zeros(n - len(weights))])
        assert abs(padded.mean() - 1.0) < 5 * padded.std() / np.sqrt(n)


def _repeats(scorer: Scorer) -> float:
    found = 0
    for number in range(400):
        page = scorer.choose(COLD, PageRequest(profile_id=f"p{number}", titles=TITLES), NOW)
        motifs = [motif for name in page.artwork_ids if (motif := _motif(name))]
        found += len(motifs) - len(set(motifs))
    return found / 400


def test_motifs_repeat_less_the_stronger_the_rule(tmp_path) -> None:
    none, some, strong = (_repeats(_scorer(tmp_path, factor, _policy())) for factor in (1.0, 0.5, 0.05))
    assert strong < 0.9 * some < 0.9 * none


def test_the_uniform_cell_knows_no_rule(tmp_path) -> None:
    page = _scorer(tmp_path, 0.05, _policy(), uniform=1.0).choose(COLD, PageRequest(profile_id="p", titles=TITLES), NOW)
    assert page.propensities == [0.25] * 6


@pytest.mark.parametrize("policy", [None, LoadedPolicy("uniform", UniformPolicy(), UniformPolicy())])
def test_uniform_knows_no_rule_whether_nothing_was_published_or_all_was_withdrawn(tmp_path, policy) -> None:
    scorer = _scorer(tmp_path, 0.05, _policy())
    scorer.policy = policy
    asked = [(COLD, PageRequest(profile_id=f"p{n}", titles=TITLES)) for n in range(3)]
    for page in (*scorer.choose_all(asked, NOW), scorer.choose(*asked[0], NOW)):
        assert (page.policy_version, page.propensities, set(page.intents)) == ("uniform", [0.25] * 6, {"live"})


def test_a_title_that_has_nothing_but_the_guarantee_keeps_it() -> None:
    pmf = np.array([0.5, 0.5, 0.5, 0.5])
    chosen, conditional = draw_in_turn(
        pmf, pmf, np.zeros(4), np.array([0, 2, 4]), np.array([1, 1, 1, 2], dtype=np.int64), 0.1
    )
    assert chosen.tolist() == [0, 2]
    np.testing.assert_array_equal(conditional, pmf)
