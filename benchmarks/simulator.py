"""How fast the simulated service makes decisions under a policy, and what its artwork is truly worth."""

from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.memory import own_peak_mib
from benchmarks.simulated_log import Chunk, SimulatedLog
from models.exploration import Exploration, ExplorationKind
from models.layout import ARTWORK, SHARED, TASTES
from models.linear import LinearPolicy
from simulation.report import reports_of
from simulation.spec import WorldSpec
from simulation.value import expected_value, yardstick
from simulation.world import DEMO_SPEC, World

_N_DAYS = 10


def run(full: bool) -> dict[str, float | int | str]:
    """Log ten days of 30,000 decisions each, with `full` of a million each from twenty times as many profiles.

    Timed is all from a world to logged decisions with rewards and with the reports of devices, in one process, under a
    policy of the shape of every published one, with each of its weights in use. Memory is told after the first fifth of
    the decisions and at the end.
    """
    spec = replace(DEMO_SPEC, n_profiles=40_000 if full else 2_000)
    world, n_pages = World(spec), 50_000 if full else 1_500
    log = SimulatedLog(world)
    n_decisions, n_reports, early_mib = 0, 0, 0.0
    began = perf_counter()
    for chunk in log.days(_policy(), _N_DAYS, n_pages):
        n_decisions += len(chunk.logged)
        n_reports += len(reports_of(chunk.visits, chunk.response))
        if 5 * n_decisions <= _N_DAYS * n_pages * spec.page_titles:
            early_mib = own_peak_mib()
    seconds = perf_counter() - began
    return {
        "n_decisions": n_decisions,
        "n_reports": n_reports,
        "seconds": seconds,
        "decisions_per_minute": n_decisions / seconds * 60,
        "peak_mib_first_fifth": early_mib,
        "peak_mib": own_peak_mib(),
        **_worth(spec),
    }


def _policy() -> LinearPolicy:
    """Match a profile's taste with an artwork's style, and let everything else weigh a little."""
    cross = np.full((len(SHARED), len(ARTWORK)), 1e-4, dtype=np.float32)
    cross[: len(TASTES), : len(TASTES)] += np.eye(len(TASTES), dtype=np.float32)
    return LinearPolicy.flat(Exploration(ExplorationKind.SOFTMAX, parameter=5.0, floor=0.05), cross=cross)


def _worth(spec: WorldSpec) -> dict[str, float]:
    """Tell the true take fractions of the first 100,000 decisions or so."""
    chunks = list(SimulatedLog(World(spec)).days(_policy(), 1, 5_000))
    offsets = np.concatenate(([0], np.cumsum(np.concatenate([chunk.logged.batch.counts for chunk in chunks]))))
    truth = np.concatenate([chunk.truth for chunk in chunks])
    found = yardstick(offsets, np.concatenate([chunk.artwork for chunk in chunks]), truth)
    matched = expected_value(np.concatenate([_pmf(chunk) for chunk in chunks]), offsets, truth)
    return {
        "uniform_take_fraction": found.uniform,
        "best_artwork_lift": found.best_artwork_lift,
        "matched_taste_lift": matched / found.uniform - 1.0,
        "oracle_lift": found.oracle_lift,
    }


def _pmf(chunk: Chunk) -> np.ndarray:
    return _policy().pmf(chunk.logged.batch)
