"""Learning on from an earlier model, and progressive validation while a log goes by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.batch import LoggedBatch
from models.candidate import candidate
from models.error import ContractError, WorseThanUniformError
from models.exploration import Exploration, ExplorationKind
from models.fitted import FittedPolicy
from models.policy import UniformPolicy
from models.validation import Validation, validate
from models.vw import fit_vw
from models.vw_state import Written
from models.vw_trial import FIRST, LONGEST, Trials
from tests.models.world import World

RULE = Exploration(ExplorationKind.EPSILON, 0.05)


def log_of(n: int, seed: int = 5) -> LoggedBatch:
    return next(World(seed=seed).log(n, n_batches=1))


def rows(logged: LoggedBatch, first: int, stop: int) -> LoggedBatch:
    return logged.take(np.arange(first, stop))


@pytest.mark.parametrize("name", ["vw-epsilon", "vw-squarecb"])
def test_to_learn_a_part_and_on_from_there_is_to_learn_the_whole(name: str, tmp_path: Path) -> None:
    logged, made = log_of(3_000), candidate(name)

    def learned(part: LoggedBatch, place: str, earlier: Path | None = None) -> FittedPolicy:
        return fit_vw([part], made.arguments, made.exploration, tmp_path / place, earlier=earlier)

    whole = learned(logged, "whole").policy.arrays()
    learned(rows(logged, 0, 1_300), "first")
    onward = learned(rows(logged, 1_300, 3_000), "second", tmp_path / "first")
    for key, array in onward.policy.arrays().items():
        np.testing.assert_array_equal(array, whole[key], err_msg=key)
    assert onward.diagnostics["n_decisions"] == 3_000
    assert (tmp_path / "second" / "learned.npz").read_bytes() == (tmp_path / "whole" / "learned.npz").read_bytes()


def test_to_learn_on_under_other_arguments_is_refused(tmp_path: Path) -> None:
    logged = log_of(400)
    fit_vw([logged], ("--epsilon", "0.03"), RULE, tmp_path / "first")
    with pytest.raises(ContractError, match="--softmax"):
        fit_vw([logged], ("--softmax",), RULE, tmp_path / "second", earlier=tmp_path / "first")
    (tmp_path / "first" / "learned.npz").write_bytes(b"torn")
    with pytest.raises(ContractError, match="nothing to learn on from"):
        fit_vw([logged], ("--epsilon", "0.03"), RULE, tmp_path / "second", earlier=tmp_path / "first")


def test_the_model_on_its_way_is_tried_on_what_it_has_yet_to_learn(tmp_path: Path) -> None:
    logged = log_of(5_000)
    found = fit_vw([logged], (), RULE, tmp_path / "log").diagnostics
    early = fit_vw([rows(logged, 0, 4_000)], (), RULE, tmp_path / "early")
    expected = validate(early.policy, [rows(logged, 4_000, 5_000)])
    assert found["progressive_n_decisions"] == 1_000
    assert found["progressive_lift"] == pytest.approx(expected.lift)
    assert found["progressive_uniform"] == pytest.approx(expected.uniform)
    assert found["progressive_lift"] > 0
    assert 0 < found["progressive_standard_error"] < 0.05


def test_trials_do_not_change_what_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = log_of(3_000)
    tried = fit_vw([logged], (), RULE, tmp_path / "tried")
    monkeypatch.setattr("models.vw_trial.FIRST", 10_000)
    untried = fit_vw([logged], (), RULE, tmp_path / "untried")
    assert "progressive_lift" in tried.diagnostics
    assert "progressive_lift" not in untried.diagnostics
    assert (tmp_path / "tried" / "model.vw").read_bytes() == (tmp_path / "untried" / "model.vw").read_bytes()


def test_a_model_that_is_worse_than_chance_on_what_follows_is_refused(tmp_path: Path) -> None:
    """A poisoned log: rewards are turned round in its first part, as a wrong join would do."""
    logged = log_of(8_000)
    poisoned = replace(logged, reward=np.where(np.arange(8_000) < 4_000, 1.0 - logged.reward, logged.reward))
    with pytest.raises(WorseThanUniformError, match="uniform takes"):
        fit_vw([poisoned], (), RULE, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_decisions", [FIRST, FIRST + 249, FIRST + 250, 7_000, 2 * LONGEST, 50_000])
def test_trials_double_hold_two_at_most_and_are_long_enough(n_decisions: int) -> None:
    logged, trials, n_done = log_of(500), Trials(), 0
    while n_done < n_decisions:
        n = min(trials.room, len(logged), n_decisions - n_done)
        assert n > 0
        trials.see(rows(logged, 0, n))
        n_done += n
        if trials.is_due:
            trials.begin(Written.nothing())
    assert sum(trial.n_decisions for trial in trials._kept) <= 2 * LONGEST
    latest = trials.latest()
    assert (latest is None) == (n_decisions < 1.25 * FIRST)
    if latest:
        assert latest.n_before >= n_decisions / 4
        assert latest.n_decisions >= min(LONGEST, latest.n_before / 4)
        assert latest.n_before + latest.n_decisions <= n_decisions


def test_validation_finds_the_true_lift_within_its_own_error() -> None:
    """Of a policy that always shows the artwork that matches best, in a world whose chances are known."""

    class Matching:
        def pmf(self, batch):
            return RULE.pmf(self.truth, batch.offsets)

    policy, apart = Matching(), []
    for seed in range(30):
        world = World(seed=seed)
        (logged,) = world.log(1_500, n_batches=1)
        batch, policy.truth = world.decisions(1_500, part=0)
        np.testing.assert_array_equal(batch.artwork_keys, logged.batch.artwork_keys)
        gain = policy.pmf(batch) - UniformPolicy().pmf(batch)
        found = validate(policy, [logged])
        apart.append((found.lift - gain @ policy.truth / 1_500) / found.standard_error)
    assert abs(np.mean(apart)) < 4 / np.sqrt(30)
    assert 0.6 < np.std(apart) < 1.5


def test_only_a_loss_beyond_noise_is_refused() -> None:
    Validation(1_000, uniform=0.2, lift=-0.02, standard_error=0.01).refuse_worse()
    with pytest.raises(WorseThanUniformError, match=r"-0\.0400 more"):
        Validation(1_000, uniform=0.2, lift=-0.04, standard_error=0.01).refuse_worse()
