"""Decisions as arrays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batch import Batch, LoggedBatch
from models.error import ContractError
from models.policy import UniformPolicy
from tests.models.world import batch_of, logged_of


@st.composite
def batches_and_rows(draw: st.DrawFn) -> tuple[Batch, np.ndarray]:
    counts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    rows = draw(st.lists(st.integers(0, len(counts) - 1), max_size=15))
    batch = batch_of(np.array(counts), np.random.default_rng(draw(st.integers(0, 2**32))))
    return batch, np.array(rows, dtype=np.int64)


@given(given=batches_and_rows())
def test_taking_decisions_takes_their_candidates_with_them(given: tuple[Batch, np.ndarray]) -> None:
    batch, rows = given
    taken = batch.take(rows)
    assert len(taken) == len(rows)
    for place, row in enumerate(rows):
        ours = slice(*taken.offsets[place : place + 2])
        theirs = slice(*batch.offsets[row : row + 2])
        np.testing.assert_array_equal(taken.artwork_keys[ours], batch.artwork_keys[theirs])
        np.testing.assert_array_equal(taken.artworks[ours], batch.artworks[theirs])
        np.testing.assert_array_equal(taken.shared[place], batch.shared[row])
        assert taken.profile_keys[place] == batch.profile_keys[row]
        assert taken.title_keys[place] == batch.title_keys[row]


@given(given=batches_and_rows())
def test_owners_and_counts_agree_with_offsets(given: tuple[Batch, np.ndarray]) -> None:
    batch, _ = given
    assert batch.counts.sum() == len(batch.owner) == batch.offsets[-1]
    for row in range(len(batch)):
        np.testing.assert_array_equal(
            np.flatnonzero(batch.owner == row), np.arange(batch.offsets[row], batch.offsets[row + 1])
        )


@given(given=batches_and_rows())
def test_taking_logged_decisions_keeps_the_choice(given: tuple[Batch, np.ndarray]) -> None:
    batch, rows = given
    logged = logged_of(batch, UniformPolicy().pmf(batch), np.random.default_rng(1))
    taken = logged.take(rows)
    np.testing.assert_array_equal(
        taken.batch.artwork_keys[taken.chosen], batch.artwork_keys[logged.chosen[rows]], strict=True
    )
    for name in ("propensity", "reward", "decision_ids", "decided_at", "device", "country", "cell"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(logged, name)[rows])


@pytest.mark.parametrize("offsets", [[0, 2, 2, 5], [1, 2, 3, 5], [0, 2, 3, 4], [0, 3, 2, 5], []])
def test_offsets_that_do_not_tile_the_candidates_are_refused(offsets: list[int]) -> None:
    batch = batch_of(np.array([2, 1, 2]), np.random.default_rng(1))
    with pytest.raises(ContractError):
        replace(batch, offsets=np.array(offsets, dtype=np.int64))


def test_shapes_that_do_not_fit_are_named() -> None:
    batch = batch_of(np.array([2, 1, 2]), np.random.default_rng(1))
    for name in ("profile_keys", "title_keys", "shared", "artworks"):
        with pytest.raises(ContractError, match=name):
            replace(batch, **{name: getattr(batch, name)[:-1]})


@pytest.fixture
def logged() -> LoggedBatch:
    batch = batch_of(np.array([2, 1, 2]), np.random.default_rng(1))
    return logged_of(batch, UniformPolicy().pmf(batch), np.random.default_rng(2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("propensity", 0.0),
        ("propensity", -0.1),
        ("propensity", 1.1),
        ("propensity", np.nan),
        ("reward", np.inf),
        ("reward", np.nan),
        ("chosen", 1),
        ("chosen", 5),
    ],
)
def test_what_cannot_be_logged_is_refused_by_its_decision_id(logged: LoggedBatch, name: str, value: float) -> None:
    values = getattr(logged, name).copy()
    values[2] = value
    with pytest.raises(ContractError, match=rf"{name} .*decision_id=decision-2"):
        replace(logged, **{name: values})


@given(counts=st.lists(st.integers(1, 9), max_size=30), most=st.integers(1, 20))
def test_blocks_are_the_batch_cut_at_decisions(counts: list[int], most: int) -> None:
    batch = batch_of(np.array(counts, dtype=np.int64), np.random.default_rng(1))
    blocks = list(batch.blocks(most))
    assert all(len(block) == 1 or len(block.artwork_keys) <= most for block in blocks)
    for name in ("counts", "profile_keys", "artwork_keys", "shared", "artworks"):
        joined = [getattr(block, name) for block in blocks]
        np.testing.assert_array_equal(np.concatenate([getattr(batch, name)[:0], *joined]), getattr(batch, name))


def test_what_was_shown_is_the_chosen_artwork_alone() -> None:
    rng = np.random.default_rng(1)
    batch = batch_of(np.array([3, 1, 5]), rng)
    logged = logged_of(batch, UniformPolicy().pmf(batch), rng)
    shown = logged.shown
    assert shown.counts.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(shown.artwork_keys, batch.artwork_keys[logged.chosen])
    np.testing.assert_array_equal(shown.artworks, batch.artworks[logged.chosen])
    np.testing.assert_array_equal(shown.shared, batch.shared)
