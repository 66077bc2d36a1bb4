"""Laws of exploration rules."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.error import ContractError
from models.exploration import Exploration, ExplorationKind

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=20)
RULES = st.builds(
    Exploration,
    kind=st.sampled_from(ExplorationKind),
    parameter=st.floats(0, 1),
    floor=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)


def scored(counts: list[int], seed: int, levels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties."""
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return np.random.default_rng(seed).integers(levels, size=offsets[-1]) / levels, offsets


@given(rule=RULES, counts=COUNTS, seed=st.integers(0, 2**32), scale=st.sampled_from([0.0, 1.0, 1e3, 1e150]))
def test_any_rule_gives_a_distribution_that_favours_higher_scores(
    rule: Exploration, counts: list[int], seed: int, scale: float
) -> None:
    scores, offsets = scored(counts, seed)
    pmf = rule.pmf(scores * scale, offsets)
    np.testing.assert_allclose(np.add.reduceat(pmf, offsets[:-1]), 1.0, rtol=0, atol=1e-12)
    for start, stop in pairwise(offsets):
        order = np.argsort(scores[start:stop], kind="stable")
        assert (np.diff(pmf[start:stop][order]) >= -1e-15).all()
        assert (pmf[start:stop] >= rule.floor / (stop - start) - 1e-15).all()


@given(rule=RULES, counts=COUNTS, seed=st.integers(0, 2**32), shift=st.floats(-10, 10))
def test_a_reward_added_to_all_changes_nothing(rule: Exploration, counts: list[int], seed: int, shift: float) -> None:
    scores, offsets = scored(counts, seed, levels=4)
    shift = np.rint(shift)  # whole shifts of quarters are exact in floating point
    np.testing.assert_allclose(rule.pmf(scores + shift, offsets), rule.pmf(scores, offsets), rtol=0, atol=1e-12)


@given(rule=RULES)
def test_a_rule_survives_json(rule: Exploration) -> None:
    assert Exploration.from_json(rule.to_json()) == rule


def test_each_rule_is_its_formula() -> None:
    scores, offsets = np.array([0.1, 0.5, 0.3, 0.5, 0.2]), np.array([0, 4, 5])

    def pmf(kind: ExplorationKind, parameter: float = 0.0, floor: float = 0.0) -> np.ndarray:
        return Exploration(kind, parameter, floor).pmf(scores, offsets)

    np.testing.assert_allclose(pmf(ExplorationKind.GREEDY), [0, 0.5, 0, 0.5, 1])
    np.testing.assert_allclose(pmf(ExplorationKind.EPSILON, 0.2), [0.05, 0.45, 0.05, 0.45, 1])
    np.testing.assert_allclose(pmf(ExplorationKind.UNIFORM), [0.25, 0.25, 0.25, 0.25, 1])
    np.testing.assert_allclose(pmf(ExplorationKind.UNIFORM, floor=0.5), [0.25, 0.25, 0.25, 0.25, 1])
    np.testing.assert_allclose(pmf(ExplorationKind.GREEDY, floor=0.4), [0.1, 0.4, 0.1, 0.4, 1])
    soft = np.exp(10 * scores[:4])
    np.testing.assert_allclose(pmf(ExplorationKind.SOFTMAX, 10.0), [*(soft / soft.sum()), 1])
    others = np.array([1 / (4 + 100 * 0.4), 1 / (4 + 100 * 0.2)])
    best = (1 - others.sum()) / 2
    np.testing.assert_allclose(pmf(ExplorationKind.SQUARECB, 100.0), [others[0], best, others[1], best, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ContractError, match="candidate row 1"):
        Exploration(ExplorationKind.GREEDY).pmf(np.array([0.0, bad]), np.array([0, 2]))


@pytest.mark.parametrize(
    ("kind", "parameter", "floor"),
    [("epsilon", 1.1, 0.0), ("epsilon", -0.1, 0.0), ("softmax", float("nan"), 0.0), ("greedy", 0.0, 1.1)],
)
def test_parameters_out_of_range_are_refused(kind: str, parameter: float, floor: float) -> None:
    with pytest.raises(ContractError):
        Exploration(ExplorationKind(kind), parameter, floor)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"kind":"best"}', b'{"kind":"epsilon","parameter":2}', b"\xff"])
def test_json_of_something_else_is_refused(text: bytes) -> None:
    with pytest.raises(ContractError, match="not an exploration rule"):
        Exploration.from_json(text)


def test_tied_scores_share_exactly_alike_under_every_rule() -> None:
    scores, offsets = np.array([0.5, 0.5 - 4e-13, 0.1]), np.array([0, 3])
    for kind, parameter in (("greedy", 0.0), ("epsilon", 0.2), ("softmax", 1e12), ("squarecb", 50.0)):
        pmf = Exploration(ExplorationKind(kind), parameter).pmf(scores, offsets)
        assert pmf[0] == pmf[1] > pmf[2]


@pytest.mark.parametrize("kind", [ExplorationKind.SOFTMAX, ExplorationKind.SQUARECB])
def test_a_budget_refuses_what_scores_beyond_all_bounds_leave(kind: ExplorationKind) -> None:
    with pytest.raises(ContractError, match="must be finite"), np.errstate(all="ignore"):
        Exploration(kind, 0.0, budget=0.3).pmf(np.array([1.7e308, -1.7e308, 0.0]), np.array([0, 3]))


def test_offsets_that_do_not_cover_the_scores_are_refused() -> None:
    with pytest.raises(ContractError, match="from 0 to 4"):
        Exploration(ExplorationKind.EPSILON, 0.2).pmf(np.arange(4.0), np.array([0, 3]))
