"""The same logs given to other libraries (mabwiser, contextualbandits, plain VW): true value and training time.

Value is the true take fraction on the decisions of profiles that nobody learned from, after the first half of the days;
`value_vs_best_peer` is that of Marquee's `OURS` divided by the best peer's, the mean over the seeds, and
`value_vs_best_peer_vw` that of its VW. Marquee pays for what its policies leave to chance, the peers show what they
think best. Speed counts decisions learned a second, from the same arrays in memory to a policy that can be asked:
`speed_vs_best_python_peer` is that of `OURS` divided by the fastest peer's.
Peers come with the dependency group `peers`; without it plain VW is the only one.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.peer_learner import Peer, peers
from models.batch import Floats, LoggedBatch
from models.candidate import candidate, fit
from models.interval import Interval
from models.policy import Policy, UniformPolicy
from pipelines.attribution import attribute
from pipelines.feature_tables import build_features
from pipelines.ingest import ingest
from pipelines.materialize import materialize
from pipelines.settings import Settings
from pipelines.simulated_service import SimulatedService
from pipelines.training_set import Side, build_training_set, iter_training_batches
from pipelines.truth import read_truth
from serving.feast_features import open_features
from serving.feature_store import apply_feature_repo
from simulation.value import expected_value
from simulation.world import DEMO_SPEC, World

OURS = "linucb"
"""Marquee's learner that is held against the peers: its compact features are made of what the peers see as well."""
OUR_VW = "vw-epsilon"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated, and on how many decisions policies are judged."""

    seeds: tuple[int, ...]
    n_days: int
    n_decisions_a_day: int
    n_judged: int


QUICK = Size((2017,), 2, 20_000, 1_000)
FULL = Size((1, 2, 3, 4, 5), 4, 60_000, 4_000)


def run(full: bool) -> dict[str, float | int | str]:
    """Compare on one world of two days; with `full` on five worlds of four days, three times as busy."""
    return measure(FULL if full else QUICK)


def measure(size: Size) -> dict[str, float | int | str]:
    """Compare on worlds of a size."""
    values: dict[str, list[float]] = {}
    speeds: dict[str, list[float]] = {}
    for seed in size.seeds:
        with tempfile.TemporaryDirectory(prefix="marquee-peers-") as home:
            uri, judged, truth = _simulate(_settings(Path(home)), size, seed)
            for name, policy, speed in _learned(uri, Path(home) / "work"):
                values.setdefault(name, []).append(_value(policy, judged, truth))
                speeds.setdefault(name, []).append(speed)
            values.setdefault("uniform", []).append(_value(UniformPolicy(), judged, truth))
    names = sorted(set(speeds) - {OURS, OUR_VW})
    best = [max(values[name][place] for name in names) for place in range(len(size.seeds))]
    fastest = [max(speeds[name][place] for name in names) for place in range(len(size.seeds))]
    return {
        "n_worlds": len(size.seeds),
        "peers": " ".join(names),
        "value_vs_best_peer": float(np.mean(np.array(values[OURS]) / best)),
        "value_vs_best_peer_vw": float(np.mean(np.array(values[OUR_VW]) / best)),
        "lift_vs_best_peer": float(
            np.mean((np.array(values[OURS]) - values["uniform"]) / (np.array(best) - values["uniform"]))
        ),
        "speed_vs_best_python_peer": float(np.mean(np.array(speeds[OURS]) / fastest)),
        "speed_vs_best_python_peer_vw": float(np.mean(np.array(speeds[OUR_VW]) / fastest)),
        **{f"value_{name}": float(np.mean(found)) for name, found in values.items()},
        **{f"decisions_per_second_{name}": float(np.mean(found)) for name, found in speeds.items()},
    }


def _settings(home: Path) -> Settings:
    return Settings(home=home, interval_hours=24.0, attribution_window_hours=6.0, attribution_grace_hours=1.0)


def _simulate(settings: Settings, size: Size, seed: int) -> tuple[str, list[LoggedBatch], list[Floats]]:
    """Simulate days under uniform artwork; give the training set, and the decisions that judge with their truth."""
    spec = replace(DEMO_SPEC, seed=seed)
    apply_feature_repo(settings)
    service = SimulatedService(settings, World(spec), open_features(settings))
    whole = Interval(spec.first_day_at, spec.first_day_at + timedelta(days=size.n_days))
    for interval in whole.split(hours=24.0):
        service.run(interval, size.n_decisions_a_day // spec.page_titles)
        for step in (ingest, attribute, build_features, materialize):
            step(settings, interval)
    found = build_training_set(settings, whole.end_at)
    middle = np.datetime64((spec.first_day_at + timedelta(days=size.n_days / 2)).replace(tzinfo=None))
    judged = [part.take(np.flatnonzero(part.decided_at >= middle)) for part in _all(found.uri, Side.JUDGE)]
    n = sum(len(part) for part in judged)
    step_rows = max(n // size.n_judged, 1)
    judged = [part.take(np.arange(0, len(part), step_rows)) for part in judged if len(part)]
    return found.uri, judged, [read_truth(settings, list(part.decision_ids))[1] for part in judged]


def _learned(uri: str, workdir: Path) -> Iterator[tuple[str, Policy, float]]:
    """Train everyone; give each policy and the decisions that it learned a second."""
    logged = _all(uri, Side.TRAIN)
    n = sum(len(part) for part in logged)
    for name in (OURS, OUR_VW):
        began = perf_counter()
        policy = fit(candidate(name), lambda: iter(logged), workdir).policy
        yield name, policy, n / (perf_counter() - began)
    for name, make in peers().items():
        peer: Peer = make()
        began = perf_counter()
        peer.fit(logged)
        yield name, peer, n / (perf_counter() - began)


def _all(uri: str, side: Side) -> list[LoggedBatch]:
    return list(iter_training_batches(uri, side))


def _value(policy: Policy, judged: list[LoggedBatch], truth: list[Floats]) -> float:
    parts = zip(judged, truth, strict=True)
    total = sum(expected_value(policy.pmf(part.batch), part.batch.offsets, true) * len(part) for part, true in parts)
    return total / sum(len(part) for part in judged)
