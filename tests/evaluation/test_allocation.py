"""The sample-ratio check of counts: right by hand, at its level on sound tests, and awake on faulty ones."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_logs import FAULTY_WEEKS, upworthy_tests, week_p_values
from evaluation.allocation import Allocations, allocation_p_values, log_capitals, many_faulty, one_faulty
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


def lists(rng: np.random.Generator, sizes: list[int], totals: list[int], n_runs: int) -> list[Allocations]:
    """Sound tests, again and again."""
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    drawn = [rng.multinomial(n, np.full(k, 1 / k), n_runs) for k, n in zip(sizes, totals, strict=True)]
    return [Allocations.of(counts, offsets) for counts in np.concatenate(drawn, axis=1)]


@pytest.mark.parametrize(
    ("sizes", "totals"),
    [
        ([4], [300]),
        ([20] * 10, [2] * 10),
        ([5] * 30, [3] * 30),
        ([34] * 3, [1_300] * 3),
        ([2, 5, 20, 34] * 5, [1, 2, 3, 5, 8, 40, 100, 2, 30, 9] * 2),
        ([5] * 5 + [15] * 50, [400] * 5 + [2] * 50),
    ],
)
def test_sound_tests_fail_together_or_for_one_of_them_no_oftener_than_the_level(
    sizes: list[int], totals: list[int]
) -> None:
    n_runs = 3_000
    found = lists(np.random.default_rng(9), sizes, totals, n_runs)
    together = np.array([many_faulty(each) for each in found])
    of_one = np.array([one_faulty(log_capitals(each)) for each in found])
    for level in (0.05, 0.01, 0.001):
        allowed = level + 4 * np.sqrt(level / n_runs)
        assert (together <= level).mean() <= allowed
        assert (of_one <= level).mean() <= allowed


def test_capital_is_fair_whatever_the_lists_and_their_order() -> None:
    """Three arms in one list, two of them in another: over all outcomes of few draws the mean capital is 1."""
    offsets, subjects, arms = np.array([0, 3, 5]), np.array([0, 0]), np.array([0, 1, 2, 0, 2])
    mean = 0.0
    for draws in np.ndindex(3, 3, 2, 2):
        counts = np.concatenate((np.bincount(draws[:2], minlength=3), np.bincount(draws[2:], minlength=2)))
        mean += float(np.exp(log_capitals(Allocations(counts, offsets, subjects, arms))[0])) / 36
    assert mean == pytest.approx(1.0)


def test_lists_of_a_title_add_up_to_what_is_known_of_its_artworks() -> None:
    """An artwork that is shunned in both of two lists: together they say more than either."""
    offsets, arms = np.array([0, 3, 5]), np.array([0, 1, 2, 0, 1])
    counts = np.array([2, 20, 18, 6, 24])
    both = log_capitals(Allocations(counts, offsets, np.array([0, 0]), arms))
    apart = log_capitals(Allocations(counts, offsets, np.array([0, 1]), np.arange(5)))
    assert both[0] > apart.sum() > 0
    drawn, expected, errors = Allocations(counts, offsets, np.array([0, 0]), arms).deviations()
    assert drawn.tolist() == [8, 44, 18]
    assert expected == pytest.approx([40 / 3 + 15, 40 / 3 + 15, 40 / 3])
    assert errors == pytest.approx((drawn - expected) / np.sqrt([40 * 2 / 9 + 7.5, 40 * 2 / 9 + 7.5, 40 * 2 / 9]))


def test_one_artwork_that_is_never_shown_is_found_among_hundreds_of_titles() -> None:
    rng, n, n_found = np.random.default_rng(10), 300, 0
    for _ in range(50):
        counts = rng.multinomial(60, [0.25] * 4, n)
        counts[77] = rng.multinomial(80, [1 / 3, 1 / 3, 0, 1 / 3])
        capitals = log_capitals(Allocations.of(counts.ravel(), np.arange(n + 1) * 4))
        n_found += np.argmax(capitals) == 77 and one_faulty(capitals) < 0.001 / 3
    assert n_found >= 45


def test_many_tests_a_little_off_in_different_arms_are_found_together() -> None:
    rng, n = np.random.default_rng(11), 400
    shares = [rng.permutation([0.30, 0.25, 0.25, 0.20]) for _ in range(n)]
    tests = Allocations.of(np.concatenate([rng.multinomial(100, each) for each in shares]), np.arange(n + 1) * 4)
    assert many_faulty(tests) < 1e-6
    assert one_faulty(log_capitals(tests)) > 0.001


def test_what_says_nothing_has_no_say() -> None:
    nothing = Allocations.of(np.array([5, 1, 0, 0, 0]), np.array([0, 1, 3, 5]))
    assert many_faulty(nothing) == 1.0
    assert log_capitals(nothing) == pytest.approx([0, 0, 0])
    empty = Allocations.of(np.zeros(0, dtype=np.int64), np.array([0]))
    assert (many_faulty(empty), one_faulty(log_capitals(empty))) == (1.0, 1.0)
    with pytest.raises(ContractError, match="subjects and arms must fit 1 tests of 2 arms"):
        Allocations(np.array([3, 1]), np.array([0, 2]), np.array([0, 1]), np.array([0, 1]))


def test_the_archives_faulty_weeks_fail_and_the_others_hardly(shared_data: Path) -> None:
    week, counts, offsets = upworthy_tests(shared_data / "upworthy" / "packages.parquet")
    assert len(week) == 2_491
    p_values = allocation_p_values(counts, offsets)
    faulty = (week >= FAULTY_WEEKS[0]) & (week <= FAULTY_WEEKS[1])
    assert (p_values[faulty] < 0.01).mean() > 0.7
    assert (p_values[~faulty] < 0.01).mean() < 0.05
    of_one, together = week_p_values(week == 201331, counts, offsets)
    assert max(of_one, together) < 1e-10
