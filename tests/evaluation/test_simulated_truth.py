"""On logs of the simulated service, whose truth is known for every decision, intervals hold it at their rate."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.record import Evaluation
from models.batch import Batch, Floats, LoggedBatch
from models.draw import mix
from models.layout import ARTWORK, SHARED
from models.policy import UniformPolicy
from simulation.value import best_artwork_pmf, expected_value, oracle_pmf
from simulation.world import DEMO_SPEC, World
from tests.evaluation.world import Fixed, log_of
from tests.simulation.decisions import show

N_RUNS, N_PAGES = 60, 60
NOISE = 0.2


@dataclass(frozen=True)
class Run:
    """A day's seen decisions, the truth of their candidates, and the pmf of two policies."""

    logged: LoggedBatch
    truth: Floats
    policies: dict[str, Floats]


def simulated(seed: int) -> Run:
    world = World(replace(DEMO_SPEC, seed=seed, n_profiles=150, n_titles=60))
    (shown,) = show(world, N_PAGES)
    counts = np.diff(shown.offsets)
    n, m = len(counts), len(shown.truth)
    batch = Batch(
        offsets=shown.offsets,
        profile_keys=mix(np.repeat(shown.visits.profile, n // len(shown.visits)).astype(np.uint64) + np.uint64(1)),
        title_keys=mix(shown.visits.title.ravel().astype(np.uint64) + np.uint64(10**6)),
        artwork_keys=mix(shown.artwork.astype(np.uint64) + np.uint64(10**7)),
        shared=np.zeros((n, len(SHARED)), dtype=np.float32),
        artworks=np.zeros((m, len(ARTWORK)), dtype=np.float32),
    )
    seen = np.flatnonzero(shown.response.seen)
    rows = batch.candidate_rows(seen)
    logged = log_of(batch, shown.chosen, 1 / counts, shown.response.quality.astype(float)).take(seen)
    blind = best_artwork_pmf(shown.offsets, shown.artwork, shown.truth)[rows]
    best = oracle_pmf(shown.offsets, shown.truth)[rows]
    uniform = UniformPolicy().pmf(logged.batch)
    policies = {"blind": blind, "oracle": best}
    return Run(logged, shown.truth[rows], {name: NOISE * uniform + (1 - NOISE) * pmf for name, pmf in policies.items()})


@pytest.fixture(scope="module")
def judged() -> list[tuple[Run, Evaluation]]:
    found = []
    for run in map(simulated, range(N_RUNS)):
        policies = {"uniform": UniformPolicy(), **{name: Fixed(pmf) for name, pmf in run.policies.items()}}
        found.append((run, evaluate(policies, lambda run=run: iter([run.logged]), champion="uniform")))  # type: ignore[misc]
    return found


def test_the_simulators_truth_lies_inside_the_intervals_at_their_rate(judged: list[tuple[Run, Evaluation]]) -> None:
    held = {(policy, name): 0 for policy in ("blind", "oracle") for name in ("replay", "ips", "snips", "dr", "sndr")}
    paired, errors = 0, []
    for run, found in judged:
        offsets = run.logged.batch.offsets
        truths = {name: expected_value(pmf, offsets, run.truth) for name, pmf in run.policies.items()}
        base = expected_value(UniformPolicy().pmf(run.logged.batch), offsets, run.truth)
        for policy, name in held:
            estimate = found.policy(policy).estimates[name]
            held[policy, name] += estimate.low <= truths[policy] <= estimate.high
        difference = found.comparison("oracle").difference
        assert difference is not None
        paired += difference.low <= truths["oracle"] - base <= difference.high
        errors.append((difference.value - truths["oracle"] + base) / difference.standard_error)
    for key, count in held.items():
        # 60 runs at 0.95: three standard errors are 0.085
        assert count / N_RUNS >= 0.865, key
    assert paired / N_RUNS >= 0.865
    assert abs(np.mean(errors)) < 4 / np.sqrt(N_RUNS)


def test_the_order_of_the_netflix_picture_is_the_true_one(judged: list[tuple[Run, Evaluation]]) -> None:
    """Uniform < best artwork < whoever knows the profile: by replay, over all runs."""
    uniform, blind, oracle = (
        np.mean([found.policy(name).estimates["replay"].value for _, found in judged])
        for name in ("uniform", "blind", "oracle")
    )
    assert uniform < blind < oracle
