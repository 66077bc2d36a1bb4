"""A policy laid out over a catalogue says what it says itself, whatever its shape and rule."""

import numpy as np
import pytest

from models.exploration import Exploration, ExplorationKind
from models.kernel import ArtworkTable, KernelPage, random_page
from models.kernel_shape import compiled, hold_to_policy
from models.launch import LaunchBudget
from models.layout import ARTWORK, TITLE
from models.shape import SHAPES
from tests.models.example import EXAMPLES, random_keys

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
        page = KernelPage.of(batch, rows)
        np.testing.assert_allclose(made.kernel.scores(page), policy.scores(batch), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(made.probabilities(page), policy.pmf(batch), rtol=0, atol=1e-9)
    assert hold_to_policy(made, policy, table) < 1e-10


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.KIND)
def test_candidates_alike_are_tied_as_they_are_for_the_policy(shape) -> None:
    policy, table = EXAMPLES[shape](Exploration(ExplorationKind.GREEDY)), example_table()
    table.keys[:7] = np.arange(7)  # nobody known: what is alike in features is alike
    table.vectors[:7] = table.vectors[0]
    rows, counts = np.arange(7), np.array([7])
    page = KernelPage.of(random_page(table, rows, counts, 1), rows)
    np.testing.assert_allclose(compiled(policy, table).probabilities(page), 1 / 7, rtol=1e-12)


def test_a_compilation_of_another_policy_is_refused() -> None:
    from models.error import ContractError
    from models.linear import LinearPolicy

    table = example_table()
    policy = EXAMPLES[LinearPolicy](Exploration(ExplorationKind.GREEDY))
    other = LinearPolicy.from_arrays({**policy.arrays(), "constant": np.array(0.3 + 1e-6)})
    with pytest.raises(ContractError, match="within"):
        hold_to_policy(compiled(other, table), policy, table)
