"""Nobody's artwork changes within an epoch without a reason, and no more profiles than must with one."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.closed_loop import ClosedLoop, Day, loop_settings
from benchmarks.sticky import measure, week
from benchmarks.sticky_week import CANDIDATES, LIVE, Size, batches_of, pairs_of, shown
from models.batch import Batch, Floats
from models.epoch import Epochs
from models.exploration import Exploration, ExplorationKind
from models.layout import FAMILIARITY_PART, PROFILE_PART, TITLE_PART
from models.linear import LinearPolicy
from models.policy import UniformPolicy
from simulation.world import DEMO_SPEC, World


@pytest.mark.slow
def test_artworks_stay_unless_there_is_a_reason_and_move_no_more_than_the_bound() -> None:
    found = measure(n_profiles=40, n_logged=3_000)
    assert found["changes_of_draw"] == 0
    for event in ("promotion", "new_artwork"):
        changes, bound = float(found[f"changes_after_{event}"]), float(found[f"bound_after_{event}"])
        assert changes > 0
        assert changes <= bound + 4 * (bound / float(found["n_pairs"])) ** 0.5
    assert float(found["changes_of_draw_at_epoch_ends"]) > 0


@pytest.mark.slow
def test_a_week_is_told_of_the_live_policy_and_of_every_shape() -> None:
    found = week(Size(n_profiles=40, n_pages_a_day=80))
    assert found["changes_within_epoch"] == found[f"changes_within_epoch_nightly_{LIVE}"] == 0
    for name in CANDIDATES:
        context, nightly, fresh = (
            float(found[f"changes_within_epoch_{rows}_{name}"]) for rows in ("context", "nightly", "fresh")
        )
        assert nightly <= context + 0.01, "an epoch waits for the batch"
        assert nightly < fresh < 0.5
    assert float(found["n_pairs_again"]) > 500


def test_rows_of_a_day_are_as_old_as_they_are_said_to_be() -> None:
    loop = ClosedLoop(World(replace(DEMO_SPEC, n_profiles=40)), loop_settings(), 120)
    day_before = loop.features.copy()
    loop.run_day(UniformPolicy())
    known = loop.features.copy()
    made = loop.run_day(UniformPolicy())
    found = batches_of(loop, made, known, day_before)
    at = made.decided.logged.decided_at
    early = at < np.datetime64(made.interval.start_at.replace(tzinfo=None)) + np.timedelta64(1, "h")
    context, nightly, fresh = (found[name].shared for name in ("context", "nightly", "fresh"))
    assert 0 < early.sum() < len(early) / 4
    np.testing.assert_array_equal(context[~early], nightly[~early])
    assert not nightly[early][:, PROFILE_PART].any(), "nothing was known a day earlier"
    assert context[early][:, PROFILE_PART].any()
    _, first_page = np.unique(loop.visits.profile, return_index=True)
    moved = (fresh != context)[:, PROFILE_PART].reshape(len(loop.visits), -1).any(axis=1)
    later = np.setdiff1d(np.arange(len(loop.visits)), first_page)
    assert moved[later].all(), "who asked for a page before has done something"
    np.testing.assert_array_equal(fresh[:, TITLE_PART], nightly[:, TITLE_PART])
    assert (fresh[:, FAMILIARITY_PART] >= context[:, FAMILIARITY_PART] - 1e-6).all()


def test_fresh_rows_at_the_end_of_a_day_are_those_of_the_batch() -> None:
    loop = ClosedLoop(World(replace(DEMO_SPEC, n_profiles=40)), loop_settings(), 120)
    loop.run_day(UniformPolicy())
    known = loop.features.copy()
    made = loop.run_day(UniformPolicy())
    known.know_profiles(loop.events, made.interval.end_at)
    everybody, titles = np.arange(40), np.tile(np.arange(5), (40, 1))
    both = (features.of_profiles(everybody, titles) for features in (known, loop.features))
    for fresh, batch in zip(*both, strict=True):
        np.testing.assert_array_equal(fresh, batch)
        assert fresh.any()


def test_pairs_change_where_the_policy_does_and_nowhere_else() -> None:
    loop = ClosedLoop(World(replace(DEMO_SPEC, n_profiles=40)), loop_settings(), 120)
    made = loop.run_day(UniformPolicy())
    batch = made.decided.logged.batch
    by_hour, by_day = (_epochs(made, hours) for hours in (1.0, 24.0))
    same = pairs_of([shown(UniformPolicy(), batch, by_day)])
    assert same.n_again > 100
    assert same.n_changed == 0
    ids = np.unique(batch.artwork_keys)
    bias = np.random.default_rng(1).normal(size=len(ids)).astype(np.float32)
    policy = LinearPolicy.flat(Exploration(ExplorationKind.SOFTMAX, 1.0), bias_keys=ids, bias=bias)
    assert pairs_of([shown(policy, batch, by_day)]).n_changed == 0
    hourly = pairs_of([shown(UniformPolicy(), batch, by_hour)])
    assert hourly.n_again < same.n_again, "an epoch of an hour has fewer again"
    fickle = pairs_of([shown(_Alternating(), batch, by_day)])
    assert fickle.n_changed > 0.9 * fickle.n_again
    halves = np.array_split(np.arange(len(by_day)), 2)
    twice = [shown(_Alternating(), batch.take(half), by_day[half]) for half in halves]
    assert pairs_of(twice).n_again == same.n_again, "a pair may come again on another day"


def _epochs(made: Day, hours: float) -> NDArray[np.int64]:
    return Epochs.of(hours, 0.0).at(made.decided.logged.decided_at.astype("datetime64[us]").astype(np.int64))


class _Alternating:
    """Shows a title's first artwork and its last in turns, by decision."""

    def pmf(self, batch: Batch) -> Floats:
        pmf = np.full(len(batch.artwork_keys), 0.0)
        turns: dict[tuple[int, int], int] = {}
        for row, key in enumerate(zip(batch.profile_keys.tolist(), batch.title_keys.tolist(), strict=True)):
            turns[key] = turns.get(key, 0) + 1
            pmf[batch.offsets[row] if turns[key] % 2 else batch.offsets[row + 1] - 1] = 1.0
        return pmf
