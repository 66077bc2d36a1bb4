"""The keyed draw: exact, sticky, hard to move and recomputable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chisquare, norm

from models.draw import combine, draw, gumbel, segment_argmax, unit
from models.error import ContractError
from models.identity import keys_of

N_DRAWS = 1_000_000


def drawn(pmf: np.ndarray, n: int, *, first_profile: int = 0, title: int = 1, epoch: int = 0) -> np.ndarray:
    """Draw for n profiles from one pmf: `(n,)` places in it. Keys are small whole numbers, the hardest to hash well."""
    k = len(pmf)
    return (
        draw(
            np.tile(pmf, n),
            np.arange(0, n * k + 1, k),
            np.arange(first_profile, first_profile + n, dtype=np.uint64),
            np.full(n, title, dtype=np.uint64),
            np.tile(np.arange(k, dtype=np.uint64), n),
            np.full(n, epoch, dtype=np.uint64),
        )
        % k
    )


@pytest.mark.parametrize("pmf", [[0.7, 0.2, 0.09, 0.01], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5], [0.001, 0.999]])
def test_draws_follow_the_probabilities(pmf: list[float]) -> None:
    counts = np.bincount(drawn(np.array(pmf), N_DRAWS), minlength=len(pmf))
    assert chisquare(counts, np.array(pmf) * N_DRAWS).pvalue > 1e-4


@pytest.mark.parametrize("vary", ["title", "epoch"])
def test_draws_of_one_profile_over_titles_or_epochs_follow_the_probabilities(vary: str) -> None:
    n, pmf = 250_000, np.array([0.6, 0.3, 0.1])
    one, many = np.full(n, 7, dtype=np.uint64), np.arange(n, dtype=np.uint64)
    titles, epochs = (many, one) if vary == "title" else (one, many)
    artworks = np.tile(np.arange(3, dtype=np.uint64), n)
    chosen = draw(np.tile(pmf, n), np.arange(0, 3 * n + 1, 3), one, titles, artworks, epochs) % 3
    assert chisquare(np.bincount(chosen, minlength=3), pmf * n).pvalue > 1e-4


def test_draws_of_neighbouring_epochs_are_independent() -> None:
    pmf = np.array([0.5, 0.3, 0.2])
    today, tomorrow = (drawn(pmf, 300_000, epoch=epoch) for epoch in (100, 101))
    table = np.bincount(today * 3 + tomorrow, minlength=9)
    assert chisquare(table, np.outer(pmf, pmf).ravel() * 300_000).pvalue > 1e-4


def test_the_same_request_gets_the_same_artwork_all_epoch_long() -> None:
    pmf = np.array([0.4, 0.3, 0.3])
    np.testing.assert_array_equal(drawn(pmf, 5_000), drawn(pmf, 5_000))
    np.testing.assert_array_equal(drawn(pmf, 5_000)[2_000:], drawn(pmf, 3_000, first_profile=2_000))
    assert (drawn(pmf, 5_000) != drawn(pmf, 5_000, epoch=1)).mean() > 0.5


@settings(max_examples=25)
@given(
    weights=st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=2, max_size=8),
    first_profile=st.integers(0, 2**40),
)
def test_a_changed_policy_moves_no_more_profiles_than_the_bound(
    weights: list[tuple[float, float]], first_profile: int
) -> None:
    n = 20_000
    p, q = (np.array(side) / sum(side) for side in zip(*weights, strict=True))
    distance = 0.5 * float(np.abs(p - q).sum())
    bound = 2 * distance / (1 + distance)
    moved = float((drawn(p, n, first_profile=first_profile) != drawn(q, n, first_profile=first_profile)).mean())
    assert moved <= bound + 5 * np.sqrt(max(bound, 1 / n) / n)


N_MANY = 10_000_000
CHUNK = 1_000_000


@pytest.mark.parametrize("pmf", [[0.4, 0.3, 0.2, 0.06, 0.03, 0.01]])
def test_ten_million_draws_follow_the_probabilities(pmf: list[float]) -> None:
    """Ten million profiles, a million at a time: it finds probabilities that are off by 1 in 500."""
    counts = np.zeros(len(pmf), dtype=np.int64)
    for first in range(0, N_MANY, CHUNK):
        counts += np.bincount(drawn(np.array(pmf), CHUNK, first_profile=first), minlength=len(pmf))
    assert counts.sum() == N_MANY
    assert chisquare(counts, np.array(pmf) * N_MANY).pvalue > 1e-4


def test_draws_of_ragged_decisions_follow_each_its_own_probabilities() -> None:
    """Two million decisions of 2 to 30 artworks, each with a pmf of its own.

    What is drawn with probability p is drawn Σp times in all, give or take √Σp(1 − p): in every tenth of the
    probabilities, and at every place.
    """
    rng, k_most, n = np.random.default_rng(1), 30, 200_000
    z_limit = norm.isf(1e-6)
    hits, expected, variance = np.zeros(10), np.zeros(10), np.zeros(10)
    at_place, place_expected, place_variance = np.zeros(k_most), np.zeros(k_most), np.zeros(k_most)
    for part in range(10):
        counts = rng.integers(2, k_most + 1, size=n)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        raw = rng.exponential(size=offsets[-1]) ** 3
        pmf = raw / np.repeat(np.add.reduceat(raw, offsets[:-1]), counts)
        profiles, titles, epochs = (np.arange(n, dtype=np.uint64) + np.uint64(part * n + each) for each in (0, 3, 5))
        artworks = np.arange(offsets[-1], dtype=np.uint64)
        is_drawn = np.zeros(len(pmf))
        is_drawn[draw(pmf, offsets, profiles, titles, artworks, epochs)] = 1.0
        tenth, place = np.minimum((pmf * 10).astype(int), 9), artworks.astype(int) - np.repeat(offsets[:-1], counts)
        for group, totals in ((tenth, (hits, expected, variance)), (place, (at_place, place_expected, place_variance))):
            for total, values in zip(totals, (is_drawn, pmf, pmf * (1 - pmf)), strict=True):
                total += np.bincount(group, weights=values, minlength=len(total))
    assert (np.abs(hits - expected) < z_limit * np.sqrt(variance)).all()
    assert (np.abs(at_place - place_expected) < z_limit * np.sqrt(place_variance)).all()


@pytest.mark.parametrize("pair", [(1, 2), (1, 2**63), (5, 6), (0, 2**64 - 1)])
def test_draws_of_different_titles_are_independent(pair: tuple[int, int]) -> None:
    """One profile's draws of two titles, over the same artworks: every pair as often as both alone say.

    A million profiles each: it finds a pair that is off by 1 in 100 all over the table.
    """
    pmf = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
    n = 1_000_000
    first, second = (drawn(pmf, n, title=title) for title in pair)
    table = np.bincount(first * 5 + second, minlength=25)
    assert chisquare(table, np.outer(pmf, pmf).ravel() * n).pvalue > 1e-4


def test_draws_of_many_titles_of_one_profile_are_independent_of_each_other() -> None:
    """Of 40 titles on a page, the number that show their first artwork is binomial: no page is all luck."""
    n_pages, n_titles, p = 50_000, 40, 0.3
    profiles = np.repeat(np.arange(n_pages, dtype=np.uint64), n_titles)
    titles = np.tile(np.arange(n_titles, dtype=np.uint64), n_pages)
    n = n_pages * n_titles
    artworks = np.tile(np.arange(2, dtype=np.uint64), n)
    chosen = draw(
        np.tile([p, 1 - p], n), np.arange(0, 2 * n + 1, 2), profiles, titles, artworks, np.zeros(n, np.uint64)
    )
    shown = (chosen % 2 == 0).reshape(n_pages, n_titles).sum(axis=1)
    counts = np.bincount(np.clip(shown, 4, 20), minlength=21)[4:]
    expected = binom.pmf(np.arange(4, 21), n_titles, p)
    expected[0], expected[-1] = binom.cdf(4, n_titles, p), binom.sf(19, n_titles, p)
    assert chisquare(counts, expected * n_pages).pvalue > 1e-4


def test_the_coupling_bound_holds_over_many_random_pairs() -> None:
    """A thousand pairs of pmfs, near and far, 20,000 profiles each: at most 2δ/(1 + δ) of them move.

    And at least δ must, whatever the coupling. Both are on a probability b, and what is counted differs from it by
    chance: a pair may pass its bound by 4.75 √(b(1 − b)/n), which happens once in 10⁶, and 4.75²/n for bounds near 0
    or 1; all pairs together by no more than 4.75 standard deviations of their sum.
    """
    rng, n, n_pairs = np.random.default_rng(2), 20_000, 1_000
    z_limit, over, variance = norm.isf(1e-6), 0.0, 0.0
    least_moved = 0.0
    for number in range(n_pairs):
        k = int(rng.integers(2, 9))
        p, other = rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k) * 0.5)
        q = p + (other - p) * 10.0 ** rng.uniform(-3, 0)
        distance = 0.5 * float(np.abs(p - q).sum())
        bound = 2 * distance / (1 + distance)
        first = number * n
        moved = float((drawn(p, n, first_profile=first) != drawn(q, n, first_profile=first)).mean())
        assert moved <= bound + z_limit * np.sqrt(bound * (1 - bound) / n) + z_limit**2 / n
        assert moved >= distance - z_limit * np.sqrt(distance * (1 - distance) / n) - z_limit**2 / n
        over += moved - bound
        variance += bound * (1 - bound) / n
        least_moved += moved - distance
    assert over <= z_limit * np.sqrt(variance)
    assert least_moved >= -z_limit * np.sqrt(variance)


def test_a_withdrawn_artwork_moves_only_those_who_saw_it() -> None:
    before = drawn(np.array([0.5, 0.3, 0.2]), 20_000)
    after = drawn(np.array([0.5, 0.3]) / 0.8, 20_000)
    stayed = before != 2
    np.testing.assert_array_equal(after[stayed], before[stayed])


def test_a_candidate_of_probability_zero_is_never_drawn() -> None:
    assert set(np.unique(drawn(np.array([0.0, 0.999999, 0.0, 0.000001]), N_DRAWS))) <= {1, 3}


def test_a_draw_does_not_depend_on_the_order_of_candidates() -> None:
    rng, n, k = np.random.default_rng(1), 2_000, 5
    pmf = rng.dirichlet(np.ones(k), size=n)
    keys = rng.integers(2**64, size=(n, k), dtype=np.uint64)
    profiles, titles, epochs = (rng.integers(2**64, size=n, dtype=np.uint64) for _ in range(3))
    order = np.argsort(rng.random((n, k)), axis=1)
    offsets = np.arange(0, n * k + 1, k)
    first = draw(pmf.ravel(), offsets, profiles, titles, keys.ravel(), epochs)
    mixed_keys = np.take_along_axis(keys, order, axis=1).ravel()
    second = draw(np.take_along_axis(pmf, order, axis=1).ravel(), offsets, profiles, titles, mixed_keys, epochs)
    np.testing.assert_array_equal(keys.ravel()[first], mixed_keys[second])


def test_noise_can_be_recomputed_years_later() -> None:
    """Written down once: whoever changes these numbers breaks every draw that was ever logged."""
    keys, more = np.array([1, 2, 3], dtype=np.uint64), np.array([10, 20, 30], dtype=np.uint64)
    assert combine(keys, more).tolist() == [9826537078838596292, 11602561772494509002, 16888211410018513593]
    noise = gumbel(np.array([0, 2, 3]), keys[:2], more[:2], keys, more[:2])
    np.testing.assert_allclose(noise, [1.1307716002044799, -1.1783248609497707, 2.2919694226438723], rtol=1e-14)
    assert keys_of(["profile-1", ""]).tolist() == [15078730031699570570, 13020603013274838756]


def test_units_never_reach_zero_or_one() -> None:
    ends = unit(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert 0.0 < ends[0] < ends[1] < 1.0


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=30), seed=st.integers(0, 2**32))
def test_the_greatest_of_each_segment_is_the_first_on_ties(counts: list[int], seed: int) -> None:
    offsets = np.concatenate(([0], np.cumsum(counts)))
    values = np.random.default_rng(seed).integers(3, size=offsets[-1]).astype(float)
    expected = [start + int(np.argmax(values[start : start + n])) for start, n in zip(offsets, counts, strict=False)]
    assert segment_argmax(values, offsets).tolist() == expected


_KEYS = np.arange(8, dtype=np.uint64)


@pytest.mark.parametrize(
    ("offsets", "n_decisions", "n_candidates"),
    [([0, 2], 1, 3), ([2, 4], 1, 4), ([0, 2], 2, 2), ([0, 3], 1, 2), ([], 0, 2)],
)
def test_what_does_not_fit_is_refused(offsets: list[int], n_decisions: int, n_candidates: int) -> None:
    each, artworks = _KEYS[:n_decisions], _KEYS[:n_candidates]
    with pytest.raises(ContractError):
        draw(np.full(n_candidates, 0.5), np.array(offsets, dtype=np.int64), each, each, artworks, each)


def test_as_many_probabilities_as_candidates_are_asked_for() -> None:
    with pytest.raises(ContractError, match="2 candidates have 3 probabilities"):
        draw(np.full(3, 0.5), np.array([0, 2]), _KEYS[:1], _KEYS[:1], _KEYS[:2], _KEYS[:1])
    with pytest.raises(ContractError, match="from 0 to 3"):
        segment_argmax(np.zeros(3), np.array([0, 2]))


@pytest.mark.parametrize("wrong", [np.nan, -0.5])
def test_what_is_no_probability_is_never_drawn_from(wrong: float) -> None:
    for pmf in ([wrong, 0.5], [0.5, wrong]):
        with pytest.raises(ValueError, match="not a number"):
            draw(np.array(pmf), np.array([0, 2]), _KEYS[:1], _KEYS[:1], _KEYS[:2], _KEYS[:1])


def test_the_greatest_of_what_is_not_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a number"):
        segment_argmax(np.array([np.nan, 1.0]), np.array([0, 2]))
    assert segment_argmax(np.array([-np.inf, -np.inf, np.inf]), np.array([0, 2, 3])).tolist() == [0, 2]
