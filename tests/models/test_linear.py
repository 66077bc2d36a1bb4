"""The linear policy's own arithmetic and contract."""

import numpy as np
import pytest

from models.error import ContractError
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, SHARED
from models.linear import LinearPolicy
from tests.models.example import random_linear
from tests.models.world import batch_of

RULE = Exploration(ExplorationKind.GREEDY)


def test_a_score_is_the_formula_candidate_by_candidate() -> None:
    rng = np.random.default_rng(1)
    batch = batch_of(np.array([1, 4, 2, 9]), rng)
    policy = random_linear(RULE, keys=batch.artwork_keys[::2])
    biases = dict(zip(policy.bias_keys.tolist(), policy.bias.tolist(), strict=True))
    scores = policy.scores(batch)
    for row, owner in enumerate(batch.owner):
        s, a = batch.shared[owner].astype(float), batch.artworks[row].astype(float)
        expected = 0.3 + s @ policy.shared_weights + s @ policy.cross.astype(float) @ a + policy.artwork_weights @ a
        expected += biases.get(int(batch.artwork_keys[row]), -0.7)
        assert scores[row] == pytest.approx(expected, abs=1e-12)


def test_scoring_leaves_the_batch_as_it_was() -> None:
    batch = batch_of(np.array([3, 2]), np.random.default_rng(2))
    batch.shared[0, 0] = np.nan
    before = batch.shared.copy(), batch.artworks.copy()
    random_linear(RULE, keys=batch.artwork_keys).pmf(batch)
    np.testing.assert_array_equal(batch.shared, before[0])
    np.testing.assert_array_equal(batch.artworks, before[1])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shared_weights", np.zeros(3, dtype=np.float32), "shape"),
        ("cross", np.zeros((len(ARTWORK), len(SHARED)), dtype=np.float32), "shape"),
        ("artwork_weights", np.zeros(len(ARTWORK)), "float32"),
        ("artwork_weights", np.full(len(ARTWORK), np.nan, dtype=np.float32), "finite"),
        ("constant", float("inf"), "finite"),
        ("unknown_bias", float("nan"), "finite"),
        ("bias_keys", np.array([2, 1], dtype=np.uint64), "rising"),
        ("bias_keys", np.array([1, 1], dtype=np.uint64), "rising"),
        ("bias_keys", np.array([1, 2], dtype=np.int64), "uint64"),
        ("bias", np.zeros(3, dtype=np.float32), "shape"),
    ],
)
def test_arrays_that_break_the_contract_are_named(name: str, value: object, said: str) -> None:
    pair = {"bias_keys": np.array([1, 2], dtype=np.uint64), "bias": np.zeros(2, dtype=np.float32)}
    with pytest.raises(ContractError, match=rf"{'bias' if name == 'bias' else name}.*{said}"):
        LinearPolicy.flat(RULE, **{**pair, name: value})


@pytest.mark.parametrize("change", ["missing", "extra", "vector_constant", "torn_rule"])
def test_saved_arrays_of_another_make_are_refused(change: str) -> None:
    arrays = LinearPolicy.flat(RULE).arrays()
    if change == "missing":
        del arrays["cross"]
    elif change == "extra":
        arrays["more"] = np.zeros(1)
    elif change == "vector_constant":
        arrays["constant"] = np.zeros(2)
    else:
        arrays["exploration"] = arrays["exploration"][:-3]
    with pytest.raises(ContractError):
        LinearPolicy.from_arrays(arrays)
