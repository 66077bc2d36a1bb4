"""The index is what the formula says, and warns of what has moved and not of chance."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation.population_stability import population_stability


def obvious(reference: list[int], newest: list[int], n_bins: int) -> float:
    """The same, one bin at a time."""
    coarse: dict[int, list[float]] = {}
    below = 0
    for was, now in zip(reference, newest, strict=True):
        middle = Fraction(2 * below + was, 2 * sum(reference))
        cell = coarse.setdefault(min(int(middle * n_bins), n_bins - 1), [0.5, 0.5])
        cell[0] += was
        cell[1] += now
        below += was
    q_total, p_total = (sum(cell[side] for cell in coarse.values()) for side in (0, 1))
    return sum((p / p_total - q / q_total) * math.log((p / p_total) / (q / q_total)) for q, p in coarse.values())


counts = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=2, max_size=40)


@given(counts)
@example([(10, 9), (1, 99), (1, 299), (8, 0)])
def test_it_is_the_sum_over_bins_and_never_below_0(pairs):
    reference, newest = ([pair[side] + 1 for pair in pairs] for side in (0, 1))
    found = population_stability(reference, newest).index
    assert found == pytest.approx(obvious(reference, newest, 10), rel=1e-6, abs=1e-9)
    assert found >= -1e-12


def test_known_values():
    # By hand: (0.9 − 0.5) ln(0.9 / 0.5) + (0.1 − 0.5) ln(0.1 / 0.5) = 0.8789
    assert population_stability([50_000, 50_000], [90_000, 10_000]).index == pytest.approx(0.8789, abs=2e-4)
    assert population_stability([10] * 10, [10] * 10).index == 0.0


def test_fine_bins_and_their_order_do_not_matter_once_merged():
    rng = np.random.default_rng(1)
    reference, newest = rng.integers(50, 90, 100), rng.integers(50, 90, 100)
    sums = [side.reshape(10, 10).sum(axis=1) for side in (reference, newest)]
    assert population_stability(reference, newest).index == pytest.approx(population_stability(*sums).index, rel=0.3)


def test_what_is_drawn_from_one_distribution_stays_below_chance_and_a_shift_does_not():
    rng = np.random.default_rng(2)
    edges = np.linspace(-3, 3, 121)
    beyond = 0
    for _ in range(200):
        found = population_stability(*(np.histogram(rng.normal(size=500), edges)[0] for _ in range(2)))
        beyond += found.index > found.by_chance
    assert beyond <= 6
    moved = population_stability(
        np.histogram(rng.normal(size=500), edges)[0], np.histogram(rng.normal(0.8, size=500), edges)[0]
    )
    assert moved.index > max(0.25, moved.by_chance)


def test_nothing_cannot_be_compared():
    with pytest.raises(ValueError, match="counts"):
        population_stability([0, 0], [1, 2])
