"""What the benchmarks of gate and sequence measure, at a small size: the world is what it says, and so is the gate."""

import numpy as np
import pytest

from benchmarks import gate, sequence
from benchmarks.gate_world import IMPRESSIONS_A_DAY, N_CANDIDATES, N_DAYS, WorldSpec, days
from evaluation.gate import bounds_of
from evaluation.gate_budget import next_look
from evaluation.profile_score import profile_scores


def test_every_day_has_as_many_impressions_and_profiles_return() -> None:
    seen = [float(log.n_decisions.sum()) for log in days(WorldSpec(), np.random.default_rng(1))]
    assert np.diff([0.0, *seen]) == pytest.approx(np.full(N_DAYS, IMPRESSIONS_A_DAY))
    last = list(days(WorldSpec(), np.random.default_rng(1)))[-1]
    assert last.difference.shape == (N_CANDIDATES, len(last.n_decisions))
    assert set(last.n_decisions) == {25, 50}
    assert (last.n_decisions == 50).mean() > 0.8


@pytest.mark.parametrize("champion", ["uniform", "fixed"])
def test_the_candidate_that_is_better_is_so_by_what_was_asked_and_the_others_are_not(champion: str) -> None:
    totals = np.zeros((2, N_CANDIDATES))
    spec = WorldSpec(lift=0.4, liking=0.0, champion=champion)
    for seed in range(6):
        log = list(days(spec, np.random.default_rng(seed)))[-1]
        totals[0] += log.difference.sum(axis=1)
        totals[1] += log.plain_sum
    found = totals / (6 * N_DAYS * IMPRESSIONS_A_DAY)
    worth = 0.04 if champion == "uniform" else 0.05  # the fixed champion shows one of the lesser artworks
    # the standard error of a candidate's mean over 900,000 impressions is below 0.0015
    assert found[:, 0] == pytest.approx(worth, abs=0.006)
    assert found[:, 1:].mean() == pytest.approx(worth - 0.04, abs=0.004)


def test_the_vectorised_gate_decides_as_the_gate_itself_does() -> None:
    n_promoted = 0
    for log in days(WorldSpec(lift=0.3), np.random.default_rng(2)):
        promoted = gate.gate_promotes(log)
        for place in (0, 1):
            scores = profile_scores(log.difference[place], log.n_decisions)
            assert promoted[place] == (bounds_of(scores, next_look(log.day, N_CANDIDATES), gate.ALPHA).lower > 0)
        n_promoted += bool(promoted[0])
    assert n_promoted > 10


@pytest.mark.parametrize("spec", [WorldSpec(), WorldSpec(explained=0.0), WorldSpec(champion="fixed")], ids=str)
def test_without_a_better_candidate_daily_looks_promote_within_the_budget_where_naive_gates_always_do(
    spec: WorldSpec,
) -> None:
    months = [gate._month(spec, (9, place)) for place in range(12)]
    any_promoted = {name: sum(bool(np.isfinite(month[name]).any()) for month in months) for name in months[0]}
    # at most 0.05 is promised: of 12 months 0.6, and four standard errors are 3
    assert any_promoted["gate"] <= 3
    for name in ("naive_daily", "naive_once", "naive_bonferroni", "naive_mixture"):
        assert any_promoted[name] >= 6, name


def test_a_lift_is_seen_within_the_month() -> None:
    found = [gate._month(WorldSpec(lift=0.2), (5, place), naive=False)["gate"] for place in range(4)]
    assert all(month[0] <= 12 for month in found)
    assert all(np.isinf(month[1:]).all() for month in found)


def test_the_sequence_benchmark_tells_coverage_and_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "N_PATHS", 150)
    monkeypatch.setattr(sequence, "N_SCORES", 2_000)
    monkeypatch.setattr(sequence, "_WIDTH_PATHS", 10)
    figures = sequence.run(False)
    assert figures["n_paths"] == 150
    # four standard errors of 150 paths are 0.07
    assert float(figures["coverage"]) >= 0.88
    assert float(figures["normal_interval_coverage"]) < 0.75
    # a tenth of the scores: the range of scores that vary little makes bounds wider than at full size
    assert 1.0 < float(figures["width_ratio"]) < 2.5
    assert float(figures["conjugate_mixture_width_ratio"]) > 1.0
    assert float(figures["predictable_mixture_width_ratio"]) > 1.0
