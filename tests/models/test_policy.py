"""What every policy must hold, whichever it is: policies are found, not listed."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import models
from models.candidate import CANDIDATES, Learner, candidate, fit
from models.exploration import Exploration, ExplorationKind
from models.launch import LaunchBudget
from models.policy import Policy, UniformPolicy
from models.shape import SHAPES, PublishedPolicy, from_arrays, to_arrays
from tests.models.conftest import N_LEARNED, Fitted
from tests.models.example import EXAMPLES
from tests.models.world import World, batch_of

MakePolicy = Callable[[Fitted], Policy]

LAUNCH = LaunchBudget(share=0.1, cap=0.25, max_age_hours=48.0, min_impressions=3.0)
RULES = [
    Exploration(kind, parameter, floor)
    for kind in ExplorationKind
    for parameter, floor in ((0.0, 0.0), (0.7, 0.0), (0.7, 0.2), (1.0, 1.0))
] + [Exploration(kind, 0.7, 0.1, LAUNCH, budget) for kind in ExplorationKind for budget in (1.0, 0.35)]


def _makers() -> Iterator[tuple[str, MakePolicy]]:
    for each in CANDIDATES:
        yield each.name, lambda fitted, name=each.name: fitted(name).policy
    for shape in SHAPES:
        for rule in RULES:
            name = f"{shape.KIND}-{rule.kind}-{rule.parameter}-{rule.floor}-{rule.launch is not None}-{rule.budget}"
            yield name, lambda _, shape=shape, rule=rule: EXAMPLES[shape](rule)
    yield "uniform-policy", lambda _: UniformPolicy()


MAKERS = dict(_makers())


@pytest.fixture(params=MAKERS)
def policy(request: pytest.FixtureRequest, fitted: Fitted) -> Policy:
    return MAKERS[request.param](fitted)


def test_every_class_with_a_pmf_is_checked_here() -> None:
    found = {
        cls
        for module in pkgutil.iter_modules(models.__path__)
        for _, cls in inspect.getmembers(import_module(f"models.{module.name}"), inspect.isclass)
        if cls.__module__.startswith("models.") and hasattr(cls, "pmf")
    }
    assert found - {Policy, PublishedPolicy, Exploration, UniformPolicy} == set(SHAPES) == set(EXAMPLES)
    assert len({shape.KIND for shape in SHAPES}) == len(SHAPES)


RAGGED = np.array([1, 5, 2, 30, 1, 7, 3], dtype=np.int64)


def test_probabilities_sum_to_one_and_respect_the_floor(policy: Policy) -> None:
    batch = batch_of(RAGGED, np.random.default_rng(1))
    pmf = policy.pmf(batch)
    assert pmf.dtype == np.float64
    assert pmf.shape == batch.artwork_keys.shape
    np.testing.assert_allclose(np.add.reduceat(pmf, batch.offsets[:-1]), 1.0, rtol=0, atol=1e-12)
    floor = 1.0 if isinstance(policy, UniformPolicy) else policy.exploration.floor
    assert (pmf >= np.repeat(floor / batch.counts, batch.counts) - 1e-15).all()


def test_the_order_of_candidates_does_not_matter(policy: Policy) -> None:
    rng = np.random.default_rng(2)
    batch = batch_of(np.full(40, 6, dtype=np.int64), rng)
    twins = batch.artworks.reshape(40, 6, -1)
    twins[:, 1] = twins[:, 0]  # features alike: ties where no bias tells them apart
    order = (np.argsort(rng.random((40, 6)), axis=1) + np.arange(0, 240, 6)[:, None]).ravel()
    shuffled = type(batch)(
        batch.offsets,
        batch.profile_keys,
        batch.title_keys,
        batch.artwork_keys[order],
        batch.shared,
        batch.artworks[order],
    )
    np.testing.assert_allclose(policy.pmf(shuffled), policy.pmf(batch)[order], rtol=0, atol=1e-15)


def test_a_decision_gets_the_same_probabilities_whatever_is_decided_beside_it(policy: Policy) -> None:
    batch = batch_of(RAGGED, np.random.default_rng(3))
    rows = np.array([3, 0, 6])
    expected = policy.pmf(batch)[batch.candidate_rows(rows)]
    np.testing.assert_allclose(policy.pmf(batch.take(rows)), expected, rtol=0, atol=1e-9)


def test_unknown_profiles_and_brand_new_artworks_are_served(policy: Policy) -> None:
    batch = batch_of(RAGGED, np.random.default_rng(4))
    batch.shared[:] = 0.0
    batch.artworks[:] = 0.0
    pmf = policy.pmf(batch)
    np.testing.assert_allclose(pmf, np.repeat(1.0 / batch.counts, batch.counts), rtol=0, atol=1e-12)


def test_no_decision_at_all_is_no_error(policy: Policy) -> None:
    batch = batch_of(RAGGED, np.random.default_rng(5)).take(np.zeros(0, dtype=np.int64))
    assert policy.pmf(batch).shape == (0,)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 3e38])
def test_wild_features_leave_a_proper_distribution(policy: Policy, wild: float) -> None:
    batch = batch_of(RAGGED, np.random.default_rng(6))
    batch.shared[::2, ::3] = wild
    batch.artworks[::3, ::5] = wild
    pmf = policy.pmf(batch)
    assert np.isfinite(pmf).all()
    np.testing.assert_allclose(np.add.reduceat(pmf, batch.offsets[:-1]), 1.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "uniform-policy"])
def test_saving_and_loading_is_exact(fitted: Fitted, name: str) -> None:
    policy = MAKERS[name](fitted)
    file = BytesIO()
    np.savez(file, allow_pickle=False, **to_arrays(policy))
    with np.load(BytesIO(file.getvalue()), allow_pickle=False) as loaded:
        again = from_arrays(dict(loaded))
    assert type(again) is type(policy)
    assert again.exploration == policy.exploration
    for name, array in policy.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
        assert again.arrays()[name].dtype == array.dtype
    batch = batch_of(RAGGED, np.random.default_rng(7))
    np.testing.assert_array_equal(again.pmf(batch), policy.pmf(batch))


def test_the_same_log_teaches_the_same(fitted: Fitted, candidate_name: str, tmp_path: Path) -> None:
    again = fit(candidate(candidate_name), lambda: World(seed=1).log(N_LEARNED), tmp_path).policy
    for name, array in fitted(candidate_name).policy.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_every_candidate_gives_every_artwork_a_chance(fitted: Fitted, candidate_name: str) -> None:
    batch, _ = World(seed=1).decisions(500, part=9)
    assert fitted(candidate_name).policy.pmf(batch).min() > 0.001


def test_compiled_scores_are_those_of_the_learner(fitted: Fitted, candidate_name: str) -> None:
    """VW is asked itself, by text; every other learner by its own plain arithmetic."""
    found = fitted(candidate_name)
    if found.parity is None:
        assert candidate(candidate_name).learner is Learner.UNIFORM
        return
    known, _ = World(seed=1).decisions(100, part=9)
    strange = batch_of(RAGGED, np.random.default_rng(8))
    strange.shared[0], strange.artworks[0] = 40.0, -1e9
    strange.artwork_keys[3] = known.artwork_keys[0]
    for batch in (known, strange):
        assert found.parity(batch) <= 1e-5
