"""How much of a log speaks for a policy, whatever is only seen again."""

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import judge
from evaluation.gate_check import GateRules
from evaluation.record import Evaluation
from models.batch import Batch, Floats
from models.draw import mix
from models.policy import UniformPolicy
from tests.evaluation.world import log_of, plain_batch

N_PROFILES, N_SEEN, N_ARTWORKS = 1_000, 100, 5


class First:
    """Shows the first artwork."""

    def pmf(self, batch: Batch) -> Floats:
        pmf = np.zeros(len(batch.artwork_keys))
        pmf[batch.offsets[:-1]] = 1.0
        return pmf


def evaluation_of(n_draws: int) -> Evaluation:
    """Every profile has as many uniform draws, and each is seen until there are a hundred impressions."""
    rng, n = np.random.default_rng(1), N_PROFILES * N_SEEN
    place = np.repeat(rng.integers(0, N_ARTWORKS, N_PROFILES * n_draws), N_SEEN // n_draws)
    profiles = np.repeat(mix(np.arange(1, N_PROFILES + 1, dtype=np.uint64)), N_SEEN)
    batch = plain_batch(np.arange(n + 1) * N_ARTWORKS, profiles, np.tile(np.arange(N_ARTWORKS), n))
    reward = (rng.random(n) < 0.3).astype(np.float64)
    logged = log_of(batch, batch.offsets[:-1] + place, np.full(n, 1 / N_ARTWORKS), reward)
    return evaluate({"uniform": UniformPolicy(), "first": First()}, lambda: iter([logged]), champion="uniform")


@pytest.mark.parametrize("n_draws", [1, 4, 100])
def test_a_draw_that_is_seen_again_is_no_other_draw(n_draws: int) -> None:
    support = evaluation_of(n_draws).policy("first").support
    assert support.effective_sample_size == pytest.approx(N_PROFILES * N_SEEN / N_ARTWORKS, rel=0.15)
    # a fifth of the draws match; the design effect of 1,000 profiles is known to about 5 %
    assert support.independent_sample_size == pytest.approx(N_PROFILES * n_draws / N_ARTWORKS, rel=0.25)


def test_a_policy_that_rests_on_few_draws_is_held_however_often_they_were_seen() -> None:
    evaluation = evaluation_of(1)
    (thin,) = (each for each in judge(evaluation, "first", GateRules()).checks if each.name == "effective_sample")
    assert not thin.passed
    assert "first rests on 198.8 independent decisions of 500 needed" in thin.detail
    (ample,) = (
        each for each in judge(evaluation_of(4), "first", GateRules()).checks if each.name == "effective_sample"
    )
    assert ample.passed


def test_weights_that_are_all_the_same_are_thinned_by_nothing() -> None:
    support = evaluation_of(1).policy("uniform").support
    assert support.independent_sample_size == support.effective_sample_size == N_PROFILES * N_SEEN
