"""The sample-ratio check of counts: right by hand, at its level on sound tests, and awake on faulty ones."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_logs import FAULTY_WEEKS, upworthy_tests
from evaluation.allocation import allocation_p_values, more_than_chance
from models.error import ContractError


def test_one_test_is_pearsons() -> None:
    # χ² = (10² + 10²) / 50 = 4 with one degree of freedom
    assert allocation_p_values(np.array([60, 40]), np.array([0, 2])) == pytest.approx([0.04550026389635842])
    assert allocation_p_values(np.array([50, 50]), np.array([0, 2])) == pytest.approx([1.0])


def test_declared_shares_are_what_counts_are_held_against() -> None:
    counts, offsets = np.array([90, 10, 50, 50]), np.array([0, 2, 4])
    equal, declared = (allocation_p_values(counts, offsets, shares) for shares in (None, np.array([9.0, 1, 9, 1])))
    assert equal[0] < 1e-10
    assert declared[0] == pytest.approx(1.0)
    assert equal[1] == pytest.approx(1.0)
    assert declared[1] < 1e-10


def test_sound_tests_fail_at_their_level_and_shifted_ones_nearly_always() -> None:
    rng, n = np.random.default_rng(8), 4_000
    offsets = np.arange(n + 1) * 4
    sound = rng.multinomial(3_000, [0.25] * 4, n).ravel()
    faulty = rng.multinomial(3_000, [0.29, 0.25, 0.23, 0.23], n).ravel()
    p_values = allocation_p_values(sound, offsets)
    for level in (0.05, 0.01):
        assert abs((p_values < level).mean() - level) < 4 * np.sqrt(level / n)
    assert (allocation_p_values(faulty, offsets) < 0.01).mean() > 0.9


def test_tests_of_one_arm_or_without_visitors_say_nothing() -> None:
    p_values = allocation_p_values(np.array([5, 0, 0, 3, 3]), np.array([0, 1, 3, 5]))
    assert np.isnan(p_values[:2]).all()
    assert p_values[2] == pytest.approx(1.0)
    assert len(allocation_p_values(np.zeros(0, dtype=np.int64), np.array([0]))) == 0


def test_counts_and_shares_that_cannot_be_are_refused() -> None:
    offsets = np.array([0, 2])
    with pytest.raises(ContractError, match=r"count must be at least 0, got -1 \(row=1\)"):
        allocation_p_values(np.array([3, -1]), offsets)
    with pytest.raises(ContractError, match=r"share must be above 0, got 0\.0 \(row=0\)"):
        allocation_p_values(np.array([3, 1]), offsets, np.array([0.0, 1.0]))
    with pytest.raises(ContractError, match="offsets must rise"):
        allocation_p_values(np.array([3, 1]), np.array([0, 1]))


def test_more_failures_than_chance_allows_is_a_binomial_tail() -> None:
    assert more_than_chance(0, 20) == 1.0
    assert more_than_chance(1, 1, 0.01) == pytest.approx(0.01)
    assert more_than_chance(2, 2, 0.1) == pytest.approx(0.01)
    assert more_than_chance(1, 20, 0.01) == pytest.approx(1 - 0.99**20)


def test_the_archives_faulty_weeks_fail_and_the_others_hardly(shared_data: Path) -> None:
    week, p_values = upworthy_tests(shared_data / "upworthy" / "packages.parquet")
    assert len(week) == 2_491
    faulty = (week >= FAULTY_WEEKS[0]) & (week <= FAULTY_WEEKS[1])
    assert (p_values[faulty] < 0.01).mean() > 0.7
    assert (p_values[~faulty] < 0.01).mean() < 0.05
