"""Learners that learn all at once are tried on decisions that they have yet to learn, as VW is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.batch import LoggedBatch
from models.candidate import CANDIDATES, Learner, candidate, fit
from models.error import WorseThanUniformError
from models.rehearsal import between, rehearse
from models.validation import validate
from models.vw_trial import FIRST, LONGEST
from tests.models.world import World

N = 8_000
N_POISONED = 60_000
CONTEXTUAL = ("linucb", "thompson", "supervised")


def healthy() -> Iterator[LoggedBatch]:
    return World(seed=5).log(N)


def poisoned() -> Iterator[LoggedBatch]:
    """Rewards are turned round in the first three quarters, as a wrong join would do.

    Most artworks match no taste, so that the worst choice loses a few hundredths to chance: it takes a longer log to
    tell that from noise.
    """
    n_done = 0
    for logged in World(seed=5).log(N_POISONED):
        early = n_done + np.arange(len(logged)) < 0.75 * N_POISONED
        yield replace(logged, reward=np.where(early, 1.0 - logged.reward, logged.reward))
        n_done += len(logged)


@pytest.mark.parametrize("cut", [(0, 10), (0, 8_000), (1_999, 2_001), (3_000, 5_500), (7_990, 9_000), (8_000, 9_000)])
def test_a_stretch_of_a_log_is_its_decisions_in_order(cut: tuple[int, int]) -> None:
    ids = np.concatenate([logged.decision_ids for logged in healthy()])
    rewards = np.concatenate([logged.reward for logged in healthy()])
    found = list(between(healthy, *cut))
    assert [name for logged in found for name in logged.decision_ids] == ids[slice(*cut)].tolist()
    assert [reward for logged in found for reward in logged.reward] == rewards[slice(*cut)].tolist()


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_a_policy_is_tried_on_what_follows_what_it_learned(name: str, tmp_path: Path) -> None:
    found = rehearse(candidate(name), healthy, N, tmp_path)
    early = fit(candidate(name), lambda: between(healthy, 0, 6_000), tmp_path).policy
    assert found == validate(early, between(healthy, 6_000, N)).diagnostics
    assert found["progressive_n_decisions"] == 2_000
    assert found["progressive_lift"] > 0


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_a_policy_that_is_worse_than_chance_on_what_follows_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(WorseThanUniformError, match="uniform takes"):
        rehearse(candidate(name), poisoned, N_POISONED, tmp_path)


def test_no_more_is_tried_than_a_trial_of_vw_holds(tmp_path: Path) -> None:
    n_decisions = 5 * LONGEST
    found = rehearse(candidate("best-artwork"), lambda: World(seed=5).log(n_decisions), n_decisions, tmp_path)
    assert found["progressive_n_decisions"] == LONGEST


def test_vw_and_uniform_are_not_rehearsed_and_no_log_that_is_too_short(tmp_path: Path) -> None:
    for each in CANDIDATES:
        too_short = each.learner not in {Learner.VW, Learner.UNIFORM}
        assert rehearse(each, healthy, FIRST if too_short else N, tmp_path) == {}
    assert not list(tmp_path.iterdir())
