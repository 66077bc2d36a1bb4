"""How often confidence sequences hold the mean at all times at once, and how wide they are beside a normal interval.

Three kinds of scores, each shifted to mean 0: takes of probability 0.1, Beta(10, 30), and the paired doubly robust
scores of sticky draws that the gate sees. `coverage` and `width_ratio` are those of the gate's own sequence, two-sided
at 95 % and tuned for `N_SCORES`, of the worst kind; the peers are the two constructions of `evaluation.sequence`, and a
normal interval looked at all the time.
"""

from collections.abc import Callable, Iterator
from math import log

import numpy as np

from evaluation.sequence import intrinsic_time, mixture_boundary, predictable_mixture
from evaluation.sequence_betting import growth, log_capital_path, log_prior, lower_bound
from models.batch import Floats

N_SCORES = 20_000
N_PATHS = 2_000
ALPHA = 0.05
NORMAL_QUANTILE = 1.959964
_FIRST_NORMAL_LOOK = 100
_PATHS_AT_ONCE = 50
_WIDTH_PATHS = 100


def run(full: bool) -> dict[str, float | int | str]:
    """Follow 2,000 paths of 20,000 scores, with `full` 2,000 of each kind."""
    rng = np.random.default_rng(20_261)
    n_each = N_PATHS if full else -(-N_PATHS // len(KINDS))
    coverages = [_coverages(make, n_each, rng) for make in KINDS]
    widths = [_widths(make, rng) for make in KINDS]
    pooled = np.average(coverages, axis=0)
    return {
        "coverage": float(pooled[0]),
        "coverage_worst_kind": min(float(found[0]) for found in coverages),
        "width_ratio": max(found["gate"] for found in widths),
        "conjugate_mixture_width_ratio": max(found["conjugate"] for found in widths),
        "predictable_mixture_width_ratio": max(found["predictable"] for found in widths),
        "normal_interval_coverage": float(pooled[1]),
        "n_paths": n_each * len(KINDS),
        "n_scores": N_SCORES,
    }


def takes(rng: np.random.Generator, n_paths: int) -> Floats:
    """Draw `(n_paths, N_SCORES)` takes of probability 0.1."""
    return np.where(rng.random((n_paths, N_SCORES)) < 0.1, 0.9, -0.1)


def betas(rng: np.random.Generator, n_paths: int) -> Floats:
    """Draw from Beta(10, 30)."""
    return rng.beta(10, 30, (n_paths, N_SCORES)) - 0.25


def sticky_differences(rng: np.random.Generator, n_paths: int) -> Floats:
    """Draw profiles of two titles, each with one uniform draw of five artworks that is seen ten times."""
    shape = (n_paths, N_SCORES, 2)
    weight = np.where(rng.random(shape) < 0.2, 1.0, -0.25)  # in units of the largest
    return np.asarray((weight * (rng.binomial(10, 0.1, shape) / 10 - 0.1)).mean(axis=-1), dtype=np.float64)


KINDS: tuple[Callable[[np.random.Generator, int], Floats], ...] = (takes, betas, sticky_differences)


def _parts(make: Callable[[np.random.Generator, int], Floats], n: int, rng: np.random.Generator) -> Iterator[Floats]:
    for start in range(0, n, _PATHS_AT_ONCE):
        yield make(rng, min(_PATHS_AT_ONCE, n - start))


def _coverages(
    make: Callable[[np.random.Generator, int], Floats], n_paths: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Give the shares of paths on which the gate's sequence, and the normal interval, hold 0 at all times."""
    prior, held = log_prior(N_SCORES, ALPHA / 2), np.zeros(2)
    times = np.arange(1, N_SCORES + 1)
    for scores in _parts(make, n_paths, rng):
        most = np.maximum(log_capital_path(scores, prior).max(axis=-1), log_capital_path(-scores, prior).max(axis=-1))
        mean = scores.cumsum(axis=-1) / times
        deviation = np.sqrt(np.maximum((scores**2).cumsum(axis=-1) / times - mean**2, 0.0))
        outside = np.abs(mean) > NORMAL_QUANTILE * deviation / np.sqrt(times)
        held += ((most < -log(ALPHA / 2)).sum(), (~outside[:, _FIRST_NORMAL_LOOK:].any(axis=-1)).sum())
    return float(held[0] / n_paths), float(held[1] / n_paths)


def _widths(make: Callable[[np.random.Generator, int], Floats], rng: np.random.Generator) -> dict[str, float]:
    """Give the mean widths after all scores, in widths of the normal 95 % interval; peers want scores in [0, 1]."""
    total: dict[str, float] = {"gate": 0.0, "conjugate": 0.0, "predictable": 0.0}
    prior = log_prior(N_SCORES, ALPHA / 2)
    for scores in _parts(make, _WIDTH_PATHS, rng):
        normal = 2 * NORMAL_QUANTILE * scores.std(axis=-1) / np.sqrt(N_SCORES)
        sides = [lower_bound(growth(side), N_SCORES, prior, ALPHA / 2) for side in (scores, -scores)]
        total["gate"] += float((-(sides[0] + sides[1]) / normal).sum())
        low = float(scores.min())
        span = float(scores.max()) - low
        for side in ((scores - low) / span, 1 - (scores - low) / span):
            intrinsic, mean = intrinsic_time(side)[:, -1], side.mean(axis=-1)
            boundary = mixture_boundary(intrinsic, ALPHA / 2, v_opt=float(intrinsic.mean()))
            total["conjugate"] += float((boundary / N_SCORES * span / normal).sum())
            lower = predictable_mixture(side, ALPHA / 2)[:, -1]
            total["predictable"] += float(((mean - lower) * span / normal).sum())
    return {name: value / _WIDTH_PATHS for name, value in total.items()}
