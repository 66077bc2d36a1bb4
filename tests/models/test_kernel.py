"""A policy laid out over a catalogue says what it says itself, whatever its shape and rule."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.batch import Batch
from models.compact import COMPACT
from models.draw import draw
from models.exploration import Exploration, ExplorationKind
from models.kernel import ArtworkTable, KernelPages, random_page
from models.kernel_shape import compiled, hold_to_policy
from models.launch import LaunchBudget
from models.layout import ARTWORK, FAMILIARITY_PART, TITLE
from models.shape import SHAPES
from tests.models.example import EXAMPLES, random_keys, random_thompson

Rows = NDArray[np.int64]

RULES = [
    Exploration(ExplorationKind.EPSILON, 0.1),
    Exploration(ExplorationKind.SOFTMAX, 3.0, 0.05),
    Exploration(ExplorationKind.SQUARECB, 20.0, 0.05),
    Exploration(ExplorationKind.GREEDY, 0.0, 0.1, LaunchBudget(0.1, 0.25, 48.0, 3.0), 0.5),
    Exploration(ExplorationKind.UNIFORM),
]


def example_table(n_titles: int = 30, n_artworks: int = 7, wild: bool = False) -> ArtworkTable:
    rng = np.random.default_rng(3)
    n = n_titles * n_artworks
    keys = rng.integers(2**64, size=n, dtype=np.uint64)
    keys[: len(random_keys())] = random_keys()  # some that the example policies know
    vectors = rng.normal(size=(n, len(ARTWORK))).astype(np.float32)
    titles = rng.normal(size=(n_titles, len(TITLE))).astype(np.float32)
    if wild:
        vectors[::5, ::3] = 3e38
        titles[::4, 2] = -100.0
    vectors[1] = vectors[0]
    return ArtworkTable(keys, vectors, np.repeat(titles, n_artworks, axis=0))


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.kind))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_compiled_probabilities_are_those_of_the_policy(shape, rule, wild) -> None:
    policy, table = EXAMPLES[shape](rule), example_table(wild=wild)
    made = compiled(policy, table)
    titles = np.array([4, 0, 29, 11])
    counts = np.array([7, 7, 1, 3])
    rows = np.concatenate([7 * title + np.arange(count) for title, count in zip(titles, counts, strict=True)])
    for seed in range(5):
        batch = random_page(table, rows, counts, seed)
        page = KernelPages.of(batch, rows)
        np.testing.assert_allclose(made.kernel.scores(page), policy.scores(batch), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(made.probabilities(page), policy.pmf(batch), rtol=0, atol=1e-9)
    assert hold_to_policy(made, policy, table) < 1e-10


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
@pytest.mark.parametrize(
    "counts",
    [
        [2_500],
        [2_500, 1, 3, 2_500],
        [1_024, 1_024],
        [512] * 4,
        [1_023, 1, 1_024, 1],
        [1, 2_500],
        [300] * 9,
        [1] * 2_000,
    ],
    ids=lambda counts: f"{len(counts)} of {max(counts)}",
)
def test_more_candidates_than_are_gathered_at_a_time_are_scored_like_few(shape, counts) -> None:
    policy, table = EXAMPLES[shape](RULES[0]), example_table(n_titles=9, n_artworks=2_500)
    firsts = 2_500 * np.arange(len(counts)) % len(table.keys)
    rows = np.concatenate([first + np.arange(count) for first, count in zip(firsts, counts, strict=True)])
    if counts[-1] == 1:
        rows[-1] = -1  # what the catalogue does not know lies at its end
    batch = random_page(table, rows, np.array(counts), 1)
    found = compiled(policy, table).kernel.scores(KernelPages.of(batch, rows))
    np.testing.assert_allclose(found, policy.scores(batch), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_candidates_alike_are_tied_as_they_are_for_the_policy(shape) -> None:
    policy, table = EXAMPLES[shape](Exploration(ExplorationKind.GREEDY)), example_table()
    table.keys[:7] = np.arange(7)  # nobody known: what is alike in features is alike
    table.vectors[:7] = table.vectors[0]
    rows, counts = np.arange(7), np.array([7])
    page = KernelPages.of(random_page(table, rows, counts, 1), rows)
    np.testing.assert_allclose(compiled(policy, table).probabilities(page), 1 / 7, rtol=1e-12)


def _random_pages(table: ArtworkTable, rng: np.random.Generator, sizes: list[int]) -> list[tuple[Batch, Rows]]:
    """Pages of so many titles each, of profiles and contexts of their own, with one to seven candidates a title."""
    found = []
    for n_titles in sizes:
        is_ragged = rng.random() < 0.5
        counts = rng.integers(1, 8, n_titles) if is_ragged else np.full(n_titles, 5)
        titles = rng.choice(30, n_titles, replace=n_titles > 30)
        rows = np.concatenate([7 * title + np.arange(count) for title, count in zip(titles, counts, strict=True)])
        batch = random_page(table, rows, counts, int(rng.integers(2**31)))
        if rng.random() < 0.3:
            batch.shared[:, FAMILIARITY_PART] = 0.0
        batch.profile_keys[:] = rng.integers(2**64, dtype=np.uint64)
        found.append((batch, rows))
    return found


def _together(pages: list[tuple[Batch, Rows]]) -> tuple[Batch, Rows, Rows]:
    batches = [batch for batch, _ in pages]
    counts = np.concatenate([batch.counts for batch in batches])
    together = Batch(
        offsets=np.concatenate(([0], np.cumsum(counts))),
        **{
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in ("profile_keys", "title_keys", "artwork_keys", "shared", "artworks")
        },
    )
    page_of = np.arange(len(batches)).repeat([len(batch) for batch in batches])
    return together, np.concatenate([rows for _, rows in pages]), page_of


def _drawn(pmf: NDArray[np.float64], batch: Batch) -> Rows:
    epochs = np.full(len(batch), 20_000, dtype=np.uint64)
    return draw(pmf, batch.offsets, batch.profile_keys, batch.title_keys, batch.artwork_keys, epochs)


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.kind))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.sampled_from([1, 2, 3, 7, 40, 100, 300]), min_size=1, max_size=12))
def test_a_page_says_the_same_to_the_last_bit_alone_and_with_any_others(shape, rule, wild, seed, sizes) -> None:
    table = example_table(wild=wild)
    made = compiled(EXAMPLES[shape](rule), table)
    pages = _random_pages(table, np.random.default_rng(seed), sizes)
    batch, rows, page_of = _together(pages)
    within = KernelPages.of(batch, rows, page_of)
    pmf = made.probabilities(within)
    chosen = _drawn(pmf, batch)
    scores = np.atleast_2d(made.kernel.scores(within))
    for (own, own_rows), (first, stop) in zip(pages, within.bounds(), strict=True):
        alone = KernelPages.of(own, own_rows)
        if own.offsets[-1] > 1:  # a title that is alone with one artwork has it, whatever it scores
            np.testing.assert_array_equal(np.atleast_2d(made.kernel.scores(alone)), scores[:, first:stop])
        expected = made.probabilities(alone)
        np.testing.assert_array_equal(expected, pmf[first:stop])
        mine = (first <= chosen) & (chosen < stop)
        np.testing.assert_array_equal(_drawn(expected, own), chosen[mine] - first)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.kind))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_titles_cut_into_runs_say_the_same_to_the_last_bit(shape, rule, monkeypatch) -> None:
    made = compiled(EXAMPLES[shape](rule), example_table())
    for seed in range(5):
        batch, rows, page_of = _together(_random_pages(example_table(), np.random.default_rng(seed), [40, 1, 100, 7]))
        pages = KernelPages.of(batch, rows, page_of)
        whole = made.probabilities(pages)
        for most in (1, 5, 64, 333):
            monkeypatch.setattr("models.kernel._MOST_AT_ONCE", most)
            np.testing.assert_array_equal(made.probabilities(pages), whole)
        monkeypatch.undo()


def test_many_candidates_take_no_more_memory_at_once_than_some() -> None:
    rng, table = np.random.default_rng(5), example_table(n_titles=200, n_artworks=150)
    policy = replace(
        random_thompson(RULES[0]),
        weights=rng.normal(size=(64, len(COMPACT))),
        bias=rng.normal(size=(len(random_keys()), 64)).astype(np.float32),
        unknown_bias=rng.normal(size=64),
    )
    rows = np.arange(len(table.keys))
    pages = KernelPages.of(random_page(table, rows, np.full(200, 150), 1), rows)
    made = compiled(policy, table)
    tracemalloc.start()
    made.probabilities(pages)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6, "64 scores for each of 30,000 candidates are 15 MB, and many such arrays are made"


def test_a_compilation_of_another_policy_is_refused() -> None:
    from models.error import ContractError
    from models.linear import LinearPolicy

    table = example_table()
    policy = EXAMPLES[LinearPolicy](Exploration(ExplorationKind.GREEDY))
    other = LinearPolicy.from_arrays({**policy.arrays(), "constant": np.array(0.3 + 1e-6)})
    with pytest.raises(ContractError, match="within"):
        hold_to_policy(compiled(other, table), policy, table)
