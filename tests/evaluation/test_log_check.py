"""A log that does not draw as it says is found; a sound one, however sticky, is left alone."""

import numpy as np
import pytest
from scipy.special import stdtr

from evaluation.keyed_totals import Grouping, KeyedTotals
from evaluation.log_check import N_COLUMNS, DrawTest, draw_columns, draw_tests, mean_zero_test
from models.batch import LoggedBatch
from models.draw import mix
from tests.evaluation.world import log_of, plain_batch

N_PROFILES, N_REPEATS = 400, 10


def log(
    rng: np.random.Generator, drawn: list[float], logged: list[float] | None = None, *, uniform: bool = True
) -> LoggedBatch:
    """One sticky draw a profile from `drawn`, seen ten times, with propensities as `logged` says."""
    n_artworks, n = len(drawn), N_PROFILES * N_REPEATS
    place = np.repeat(rng.choice(n_artworks, N_PROFILES, p=drawn), N_REPEATS)
    profiles = np.repeat(mix(np.arange(1, N_PROFILES + 1, dtype=np.uint64)), N_REPEATS)
    batch = plain_batch(np.arange(n + 1) * n_artworks, profiles, np.tile(np.arange(n_artworks), n))
    propensity = np.array(drawn if logged is None else logged)[place]
    return log_of(batch, batch.offsets[:-1] + place, propensity, np.zeros(n), uniform=uniform)


def both_tests(logged: LoggedBatch) -> tuple[DrawTest, DrawTest]:
    totals = KeyedTotals(N_COLUMNS)
    grouping = Grouping.of(logged.batch.profile_keys)
    totals.add(grouping, grouping.sums(draw_columns(logged)))
    return draw_tests(totals.sums, len(logged), int((logged.cell == "uniform").sum()))


def test_a_sound_sticky_log_fails_as_often_as_the_level_says() -> None:
    rng, n_runs = np.random.default_rng(1), 400
    low = np.zeros(2)
    for _ in range(n_runs):
        both = both_tests(log(rng, [0.25] * 4))
        low += [test.p_value is not None and test.p_value < 0.05 for test in both]
    # four standard errors of 400 runs at 0.05 are 0.044; without clustering about half would fail
    assert (low / n_runs < 0.094).all()
    assert (low / n_runs > 0.006).all()


def test_a_uniform_cell_that_prefers_an_artwork_is_found() -> None:
    ratio, calibration = both_tests(log(np.random.default_rng(2), [0.4, 0.2, 0.2, 0.2], [0.25] * 4))
    assert ratio.p_value is not None
    assert ratio.p_value < 1e-6
    assert calibration.p_value is not None
    assert calibration.p_value < 1e-6


def test_propensities_that_are_not_those_of_the_draw_are_found_outside_the_uniform_cell_too() -> None:
    rng = np.random.default_rng(3)
    honest = both_tests(log(rng, [0.7, 0.1, 0.1, 0.1], uniform=False))
    swapped = both_tests(log(rng, [0.7, 0.1, 0.1, 0.1], [0.4, 0.2, 0.2, 0.2], uniform=False))
    for ratio, _ in (honest, swapped):
        assert (ratio.n_decisions, ratio.p_value) == (0, None)
    assert honest[1].p_value is not None
    assert honest[1].p_value > 0.001
    assert swapped[1].p_value is not None
    assert swapped[1].p_value < 1e-6


def test_decisions_of_the_uniform_cell_with_another_propensity_are_counted_and_left_out() -> None:
    rng = np.random.default_rng(4)
    sound = log(rng, [0.25] * 4)
    fallback = log(rng, [1.0, 0.0, 0.0, 0.0])
    totals = KeyedTotals(N_COLUMNS)
    for logged in (sound, fallback):
        grouping = Grouping.of(logged.batch.profile_keys)
        totals.add(grouping, grouping.sums(draw_columns(logged)))
    ratio, _ = draw_tests(totals.sums, 8_000, 8_000)
    assert (ratio.n_decisions, ratio.n_left_out) == (4_000, 4_000)
    assert ratio.p_value is not None
    assert ratio.p_value > 0.001


def test_every_position_of_a_long_list_is_looked_at_in_groups() -> None:
    drawn = np.full(34, 1 / 34)
    drawn[20:24] *= 3
    ratio, _ = both_tests(log(np.random.default_rng(5), list(drawn / drawn.sum()), [1 / 34] * 34))
    assert ratio.p_value is not None
    assert ratio.p_value < 1e-4


@pytest.mark.parametrize("n_artworks", range(2, 9))
def test_a_position_that_is_never_drawn_is_found_although_no_profile_differs_from_another_there(
    n_artworks: int,
) -> None:
    rng, uniform = np.random.default_rng(n_artworks), [1 / n_artworks] * n_artworks
    never = [1 / (n_artworks - 1)] * (n_artworks - 1) + [0.0]
    always = [1.0] + [0.0] * (n_artworks - 1)
    for drawn in (never, always):
        for test in both_tests(log(rng, drawn, uniform)):
            assert test.p_value is not None
            assert test.p_value < 1e-6
    ratio, calibration = both_tests(log(rng, always, uniform=False))  # p = 1: others have no chance at all
    assert ratio.p_value is None
    assert calibration.p_value is not None
    assert calibration.p_value < 1e-6
    for test in both_tests(log(rng, uniform)):
        assert test.p_value is not None
        assert test.p_value > 0.001


def test_a_position_that_few_profiles_did_not_draw_yet_is_no_fault() -> None:
    rows = np.tile(np.full(8, -1 / 8), (10, 1))
    rows[np.arange(10), np.arange(10) % 7] += 1
    p_value = mean_zero_test(rows)[1]
    assert p_value is None or p_value > 0.5


def test_rounding_is_no_spread() -> None:
    rows = np.full((60, 3), 0.1) + np.random.default_rng(1).normal(0, 1e-13, (60, 3))
    assert mean_zero_test(rows) == (None, pytest.approx(3 * 2.0**-60))


def test_too_few_profiles_are_not_tested() -> None:
    rng = np.random.default_rng(6)
    assert mean_zero_test(rng.normal(size=(5, 4))) == (None, None)
    assert mean_zero_test(np.zeros((50, 4))) == (None, None)
    assert mean_zero_test(np.zeros((0, 4))) == (None, None)


def test_the_mean_zero_test_of_one_column_is_students() -> None:
    rows = np.random.default_rng(7).normal(0.2, 1, (40, 1))
    statistic, p_value = mean_zero_test(rows)
    t = rows.mean() / (rows.std(ddof=1) / np.sqrt(40))
    assert statistic == pytest.approx(t**2)
    assert p_value == pytest.approx(2 * stdtr(39, -abs(t)))
