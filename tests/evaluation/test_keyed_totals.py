"""Sums by key do not depend on how the rows came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.keyed_totals import DistinctCount, Grouping, KeyedTotals


def fill(totals: KeyedTotals, ids: np.ndarray, values: np.ndarray, size: int) -> KeyedTotals:
    for start in range(0, len(ids), size):
        grouping = Grouping.of(totals.key(ids[start : start + size]))
        totals.add(grouping, grouping.sums(values[start : start + size]))
    return totals


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 60))
def test_sums_are_those_of_each_key(ids: list[int], size: int) -> None:
    keys = np.array(ids, dtype=np.uint64)
    values = np.column_stack((np.ones(len(ids)), np.arange(len(ids), dtype=float)))
    totals = fill(KeyedTotals(2), keys, values, size)
    assert totals.keys.tolist() == sorted(set(ids))
    for key, row in zip(totals.keys, totals.sums, strict=True):
        assert row.tolist() == values[keys == key].sum(axis=0).tolist()


@given(st.integers(1, 500), st.integers(1, 7), st.integers(2, 40))
def test_merged_keys_stay_within_bounds_lose_nothing_and_ignore_the_batches(n: int, repeats: int, most: int) -> None:
    ids = np.tile(np.arange(n, dtype=np.uint64), repeats)
    values = np.arange(len(ids), dtype=float)[:, None]
    one = fill(KeyedTotals(1, most), ids, values, len(ids))
    other = fill(KeyedTotals(1, most), ids[::-1], values[::-1], 13)
    assert len(one.keys) <= most
    assert one.is_merged == (n > most)
    assert one.keys.tolist() == other.keys.tolist()
    assert one.sums.tolist() == other.sums.tolist()
    assert one.sums.sum() == values.sum()


def test_distinct_ids_are_counted_exactly_while_few_and_closely_when_many() -> None:
    counted = DistinctCount()
    for n, tolerance in ((100, 0), (4_000, 0), (200_000, 0.07)):  # four standard errors
        ids = np.arange(n, dtype=np.uint64)
        for part in (ids[n // 3 :], ids[: n // 2], ids[:1]):
            counted.add(part)
        assert abs(counted.value / n - 1) <= tolerance
