"""The one test that trains the whole written list from real features: every other one names a few."""

from pathlib import Path

import numpy as np
import pytest

from models.bundle import read_bundle
from models.candidate import CANDIDATES
from models.error import LearnerError
from models.fitted import FittedPolicy
from pipelines import training
from pipelines.replay import evaluate_candidates, read_round
from pipelines.settings import Settings
from pipelines.training import candidate_names, candidates_url, train_candidate
from pipelines.training_set import Side, TrainingSet, build_training_set, iter_training_batches
from tests.pipelines.feature_world import day


@pytest.fixture(scope="module")
def settings(feast_world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("whole-list")
    update = {"registry_url": f"sqlite:///{root / 'registry.db'}", "policy_url": (root / "policies").as_uri()}
    return feast_world.model_copy(update=update | {"candidates": ()})


@pytest.fixture(scope="module")
def found(settings: Settings) -> TrainingSet:
    return build_training_set(settings, day(2).end_at)


def test_every_candidate_becomes_a_bundle_that_is_judged(settings: Settings, found: TrainingSet) -> None:
    names = candidate_names(settings)
    assert names == tuple(each.name for each in CANDIDATES)
    versions = {name: train_candidate(settings, found.uri, name) for name in names}
    judged = list(iter_training_batches(found.uri, Side.JUDGE))
    for version in versions.values():
        bundle = read_bundle(candidates_url(found), version)
        for logged in judged:
            pmf = bundle.policy.pmf(logged.batch)
            np.testing.assert_allclose(np.add.reduceat(pmf, logged.batch.offsets[:-1]), 1.0, atol=1e-12)
            assert pmf.min() > 0.0
    judged_by_name = read_round(evaluate_candidates(settings, found.uri, list(versions.values())))
    assert set(names) <= {result.name for result in judged_by_name.evaluation.policies}


def test_a_policy_that_is_not_what_was_learned_never_becomes_a_bundle(
    settings: Settings, found: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that loses the artworks' own effects."""

    def careless(*arguments: object) -> FittedPolicy:
        fitted = fit(*arguments)
        fitted.policy.bias[:] += np.float32(0.01)
        return fitted

    fit = training.fit
    monkeypatch.setattr(training, "fit", careless)
    bundles = Path(candidates_url(found).removeprefix("file://")) / "bundles"
    before = sorted(bundles.glob("*"))
    with pytest.raises(LearnerError, match="learner's own"):
        train_candidate(settings, found.uri, "best-artwork")
    assert sorted(bundles.glob("*")) == before
