"""What `ordering` says of a policy is what it is worth: exactly, of uniform nothing, of the oracle all."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import ordering
from benchmarks.closed_loop import ClosedLoop, Judged, loop_settings
from benchmarks.ordering import BEST_ARTWORK, CONTEXTUAL, UNIFORM, Outcome, Size, figures_of, judge, share_ordered
from models.batch import Batch, Floats
from models.candidate import candidate
from models.policy import UniformPolicy
from simulation.value import Yardstick, best_artwork_pmf, oracle_pmf
from simulation.world import DEMO_SPEC, World

SIZE = Size(n_profiles=60, n_pages_a_day=60, n_days=2, n_judged_days=1)


class Fixed:
    """A policy of one log: the pmf that was made for the batch it is shown."""

    def __init__(self, log: list[Judged], make: object) -> None:
        self._pmfs = {id(part.logged.batch): make(part) for part in log}  # type: ignore[operator]

    def pmf(self, batch: Batch) -> Floats:
        return self._pmfs[id(batch)]


@pytest.fixture(scope="module")
def log() -> list[Judged]:
    loop = ClosedLoop(World(replace(DEMO_SPEC, seed=3, n_profiles=60)), loop_settings(), 150)
    for _ in range(2):
        loop.run_day(UniformPolicy())
    return list(loop.matured())


def test_uniform_earns_no_share_of_the_lift_and_the_oracle_all_of_it(log: list[Judged]) -> None:
    policies = {
        UNIFORM: UniformPolicy(),
        "oracle": Fixed(log, lambda part: oracle_pmf(part.logged.batch.offsets, part.truth)),
        "best": Fixed(
            log, lambda part: best_artwork_pmf(part.logged.batch.offsets, part.logged.batch.artwork_keys, part.truth)
        ),
    }
    found = judge(policies, log)
    assert found.lift_share(UNIFORM) == pytest.approx(0.0, abs=1e-12)
    assert found.lift_share("oracle") == pytest.approx(1.0)
    assert 0.1 < found.lift_share("best") < 0.9
    assert found.value["best"] == pytest.approx(found.yardstick.best_artwork)
    assert found.n_judged == sum(len(part.logged) for part in log)


def test_values_are_exact_and_replay_is_what_was_logged(log: list[Judged]) -> None:
    found = judge({UNIFORM: UniformPolicy()}, log)
    truth = np.concatenate([part.truth for part in log])
    counts = np.concatenate([part.logged.batch.counts for part in log])
    assert found.value[UNIFORM] == pytest.approx(float((truth / np.repeat(counts, counts)).sum() / len(counts)))
    reward = np.concatenate([part.logged.reward for part in log])
    assert found.replay[UNIFORM] == pytest.approx(reward.mean())
    # a reward is a draw of the chance of what was shown, and Bernoulli noise of n draws is below half a root of n
    chances = np.concatenate([part.truth[part.logged.chosen] for part in log])
    assert abs(reward.mean() - chances.mean()) < 4 * 0.5 / np.sqrt(len(reward))


def test_a_seed_gives_the_same_to_the_last_bit_and_another_one_another_world() -> None:
    some = [candidate(name) for name in (UNIFORM, BEST_ARTWORK, CONTEXTUAL)]
    first, again, other = (ordering.outcome_of(seed, SIZE, some) for seed in (0, 0, 1))
    assert first == again
    assert first.value != other.value
    assert set(first.value) == {one.name for one in some}


def test_only_a_strict_order_counts_as_ordered() -> None:
    worth = {UNIFORM: 0.1, BEST_ARTWORK: 0.2, CONTEXTUAL: 0.3}
    tied = worth | {CONTEXTUAL: 0.2}
    assert share_ordered([worth, tied, worth, worth | {UNIFORM: 0.25}], CONTEXTUAL) == 0.5


def test_figures_put_seeds_together_and_the_plot_shows_three_policies_in_order() -> None:
    values = {UNIFORM: 0.20, BEST_ARTWORK: 0.22, CONTEXTUAL: 0.24, "vw-bag": 0.23}
    reverse = {name: -0.9 * value for name, value in values.items()}
    ends = Yardstick(uniform=0.20, best_artwork=0.25, oracle=0.30)
    outcomes = [Outcome(10, ends, values, dict(values)), Outcome(20, ends, values, reverse)]
    figures = figures_of(outcomes, SIZE)
    assert figures["share_ordered"] == 1.0
    assert figures["share_ordered_replay"] == 0.5
    assert figures["rank_correlation"] == pytest.approx(0.0)
    assert figures[f"lift_share_{CONTEXTUAL}"] == pytest.approx(0.4)
    assert figures[f"lift_share_{UNIFORM}"] == pytest.approx(0.0)
    plot = ordering.plot(figures_of(outcomes[:1], SIZE))
    words = [text.text or "" for text in ElementTree.fromstring(plot).iter("{http://www.w3.org/2000/svg}text")]
    places = [words.index(name) for name in ("contextual", "best artwork", "uniform")]
    assert all(first < second for first, second in pairwise(places))
