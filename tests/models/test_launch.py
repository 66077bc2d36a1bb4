"""What new artworks are guaranteed, and what all exploration together may cost a title."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.error import ContractError
from models.exploration import Exploration, ExplorationKind
from models.launch import LaunchBudget
from models.layout import ARTWORK
from models.vector import artwork_vectors

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=12)


def artworks_of(age_hours: list[float], impressions: list[float]) -> np.ndarray:
    """Real vectors of artworks, as the feature pipeline lays them out."""
    n = len(age_hours)
    return artwork_vectors(
        style=np.zeros((n, len(ARTWORK) - 4)),
        take_fraction=np.full(n, 0.2),
        title_take_fraction=np.full(n, 0.2),
        n_impressions=impressions,
        age_days=np.array(age_hours) / 24,
        is_default=np.zeros(n),
    )


def test_new_is_what_is_young_or_hardly_seen() -> None:
    artworks = artworks_of([0, 47, 48, 49, 500, 500], [999, 999, 999, 999, 19, 20])
    young = LaunchBudget(0.1, 0.1, max_age_hours=48)
    unseen = LaunchBudget(0.1, 0.1, max_age_hours=0, min_impressions=20)
    both = LaunchBudget(0.1, 0.1, max_age_hours=48, min_impressions=20)
    assert young.is_new(artworks).tolist() == [True, True, False, False, False, False]
    assert unseen.is_new(artworks).tolist() == [False, False, False, False, True, False]
    assert both.is_new(artworks).tolist() == [True, True, False, False, True, False]


def test_an_artwork_of_which_nothing_is_known_yet_is_new() -> None:
    assert LaunchBudget(0.1, 0.1).is_new(np.zeros((1, len(ARTWORK)), dtype=np.float32)).all()


def test_new_artworks_get_their_share_and_no_more_than_the_cap_together() -> None:
    scores = np.array([1.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.9, 0.1])
    offsets = np.array([0, 3, 7, 8])
    artworks = artworks_of([900, 900, 1, 900, 1, 1, 1, 1], [99] * 8)
    rule = Exploration(ExplorationKind.GREEDY, floor=0.03, launch=LaunchBudget(share=0.1, cap=0.24))
    pmf = rule.pmf(scores, offsets, artworks)
    np.testing.assert_allclose(pmf[:3], [0.01 + 0.88, 0.01, 0.1], atol=1e-12)
    guaranteed = 0.03 / 4 + 3 * 0.08
    np.testing.assert_allclose(pmf[3:7], [0.03 / 4, 0.08, 0.08, 0.08 + 1 - guaranteed], atol=1e-12)
    assert pmf[7] == pytest.approx(1.0)


RULES = st.builds(
    lambda kind, parameter, floor, share, extra, spare: Exploration(
        kind, parameter, floor, LaunchBudget(share, share + extra, 48.0), min(floor + share + extra + spare, 1.0)
    ),
    kind=st.sampled_from(ExplorationKind),
    parameter=st.floats(0, 1),
    floor=st.sampled_from([0.0, 0.02, 0.2]),
    share=st.sampled_from([0.0, 0.05, 0.2]),
    extra=st.sampled_from([0.0, 0.1]),
    spare=st.sampled_from([0.0, 0.05, 0.5]),
)


@given(rule=RULES, counts=COUNTS, seed=st.integers(0, 2**32), n_members=st.integers(0, 4))
def test_guarantees_and_budget_hold_at_once(rule: Exploration, counts: list[int], seed: int, n_members: int) -> None:
    rng, offsets = np.random.default_rng(seed), np.concatenate(([0], np.cumsum(counts)))
    shape = (n_members, offsets[-1]) if n_members else (offsets[-1],)
    scores = rng.integers(5, size=shape) / 5
    artworks = artworks_of(list(rng.choice([1.0, 900.0], size=offsets[-1])), [99.0] * offsets[-1])
    free = Exploration(rule.kind, rule.parameter).pmf(scores, offsets)
    pmf = rule.pmf(scores, offsets, artworks)
    assert rule.launch is not None
    is_new = rule.launch.is_new(artworks)
    for start, stop in pairwise(offsets):
        own = slice(start, stop)
        assert pmf[own].sum() == pytest.approx(1.0, abs=1e-12)
        least = rule.floor / (stop - start)
        each = max(least, min(rule.launch.share, rule.launch.cap / max(is_new[own].sum(), 1)))
        assert (pmf[own] >= np.where(is_new[own], each, least) - 1e-12).all()
        preferred = free[own] >= free[own].max() - 1e-12
        assert pmf[own][~preferred].sum() <= rule.budget + 1e-12


def test_a_candidate_that_is_all_but_impossible_is_no_matter_for_the_budget() -> None:
    rule = Exploration(ExplorationKind.SOFTMAX, 715.0, budget=0.05)  # exp(-715) is below the least normal number
    assert rule.pmf(np.array([1.0, 0.0]), np.array([0, 2])).tolist() == pytest.approx([1.0, 0.0], abs=1e-300)


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    scores, offsets = np.array([0.3, 0.2, 0.1]), np.array([0, 3])
    loose = Exploration(ExplorationKind.SOFTMAX, 10.0, floor=0.02)
    given_away = 1 - loose.pmf(scores, offsets).max()
    at = Exploration(ExplorationKind.SOFTMAX, 10.0, floor=0.02, budget=given_away + 1e-9)
    tight = Exploration(ExplorationKind.SOFTMAX, 10.0, floor=0.02, budget=given_away / 2)
    np.testing.assert_allclose(at.pmf(scores, offsets), loose.pmf(scores, offsets), atol=1e-12)
    assert tight.pmf(scores, offsets)[1:].sum() == pytest.approx(given_away / 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": -0.1, "cap": 0.1},
        {"share": 0.2, "cap": 0.1},
        {"share": 0.1, "cap": 1.1},
        {"share": 0.1, "cap": 0.1, "max_age_hours": float("inf")},
        {"share": 0.1, "cap": 0.1, "min_impressions": -1.0},
    ],
)
def test_a_launch_budget_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ContractError):
        LaunchBudget(**wrong)


def test_a_budget_below_what_is_guaranteed_is_refused() -> None:
    with pytest.raises(ContractError, match="budget"):
        Exploration(ExplorationKind.GREEDY, floor=0.05, launch=LaunchBudget(0.1, 0.2), budget=0.2)
    with pytest.raises(ContractError, match="artworks"):
        Exploration(ExplorationKind.GREEDY, launch=LaunchBudget(0.1, 0.2)).pmf(np.zeros(2), np.array([0, 2]))


def test_a_rule_with_budgets_survives_json() -> None:
    rule = Exploration(ExplorationKind.SOFTMAX, 50.0, 0.02, LaunchBudget(0.02, 0.04, 72.0, 200.0), 0.1)
    assert Exploration.from_json(rule.to_json()) == rule
    assert Exploration.from_json(b'{"kind":"greedy","parameter":0.0,"floor":0.05}').launch is None
