"""The two estimators of how much artworks differ recover what counts were drawn from, noise aside."""

import numpy as np
import pytest

from benchmarks.between_artworks import Counts, spread
from models.error import ContractError

N_TITLES, N_ARTWORKS = 3_000, 5


def drawn(cv: float, impressions: int, seed: int = 0) -> tuple[Counts, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = 0.05 * (1.0 + cv * rng.standard_normal((N_TITLES, N_ARTWORKS))).clip(0.1)
    seen = np.full(true.size, impressions)
    titles = np.repeat(np.arange(N_TITLES), N_ARTWORKS)
    mixed = rng.permutation(true.size)
    return Counts.of(titles[mixed], seen, rng.binomial(impressions, true.ravel()[mixed])), true


@pytest.mark.parametrize("impressions", [500, 5_000, 50_000])
def test_the_coefficient_of_variation_is_that_of_the_true_fractions_however_few_the_impressions(
    impressions: int,
) -> None:
    counts, true = drawn(0.16, impressions)
    expected = np.sqrt(true.var(axis=1).mean() / (true.mean(axis=1) ** 2).mean())
    assert spread(counts, np.random.default_rng(1), 1).cv == pytest.approx(expected, abs=0.012)


def test_with_many_impressions_the_best_in_one_half_is_the_best() -> None:
    counts, true = drawn(0.16, 400_000)
    expected = true.max(axis=1).sum() / true.mean(axis=1).sum() - 1.0
    assert spread(counts, np.random.default_rng(1), 2).best_lift == pytest.approx(expected, abs=0.005)


def test_artworks_that_are_alike_differ_by_nothing() -> None:
    found = spread(drawn(0.0, 2_000)[0], np.random.default_rng(1))
    assert found.cv < 0.03
    assert abs(found.best_lift) < 0.01


def test_few_impressions_find_less_of_what_the_best_is_worth() -> None:
    lifts = [spread(drawn(0.16, n)[0], np.random.default_rng(1)).best_lift for n in (500, 5_000, 50_000)]
    assert lifts == sorted(lifts)


def test_titles_that_tell_nothing_are_left_out() -> None:
    titles = np.array(["alone", "nobody", "nobody", "two", "two"])
    seen, taken = np.array([100, 100, 100, 100, 100]), np.array([9, 0, 0, 5, 7])
    assert Counts.of(titles, seen, taken).takes.tolist() == [5, 7]
    with pytest.raises(ContractError):
        Counts.of(titles[:3], seen[:3], taken[:3])
