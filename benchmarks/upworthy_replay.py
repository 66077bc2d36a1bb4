"""What choosing artwork by its own clicks is worth on real tests, and what Thompson sampling loses while it learns.

Data: the Upworthy Research Archive, whose visitors met one of a test's packages, assigned uniformly; here a test is a
title and its packages are the artworks. Weeks with faulty randomisation (201326–201402) are left out; `…_all_weeks` has
them in. All is repeated for several random splits; figures are means over them.

The split: of each package's n impressions, floor(n/2), drawn without replacement, are to learn from and the others to
score by; so the learning side's clicks are hypergeometric, and no impression is on both sides. The value of a policy is
Σ over packages of its probability × the click rate on the scoring side, averaged over tests by their impressions.

- `best_artwork_lift`: the best artwork as the platform learns it (`models.artwork_lift`) from the learning side, over
  uniform. `best_artwork_lift_mean_test` weighs all tests alike.
- Thompson sampling gets as many impressions as the learning side has, in `N_ROUNDS` rounds, and each package that it
  shows is clicked as its impressions on the learning side were, drawn with replacement. Each package has a Beta whose
  prior has the mean of all learning sides and the strength that the platform learned from them. What it shows is valued
  by the scoring side, from which it never learns: `thompson_learning_lift` is its lift over uniform on the way,
  `thompson_lift` that of the package which it thinks best in the end. `thompson_learning_loss` is the part of
  `best_artwork_lift` that it does not earn on the way; a uniform test earns none of it, and loses 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.real_logs import FAULTY_WEEKS
from benchmarks.seeds import half_width, over_seeds
from benchmarks.shared_data import shared_data
from models.artwork_lift import ArtworkTotals, lifts_of
from models.batch import Floats, Keys
from models.draw import segment_argmax

Ints = NDArray[np.int64]

N_ROUNDS: Final = 50
_N_DRAWS: Final = 32
"""Draws from the posterior that make Thompson sampling's probabilities in a round."""


@dataclass(frozen=True, slots=True)
class Archive:
    """n tests whose m packages lie end to end: week `(n,)`, offsets `(n + 1,)`, impressions and clicks `(m,)`."""

    week: Ints
    offsets: Ints
    impressions: Ints
    clicks: Ints

    @property
    def counts(self) -> Ints:
        """`(n,)`: how many packages each test has."""
        return np.diff(self.offsets)

    def take(self, tests: NDArray[np.bool_]) -> "Archive":
        """Select tests."""
        packages = np.repeat(tests, self.counts)
        offsets = np.concatenate(([0], np.cumsum(self.counts[tests])))
        return Archive(self.week[tests], offsets, self.impressions[packages], self.clicks[packages])


@dataclass(frozen=True, slots=True)
class Half:
    """One side of a split: impressions and clicks `(m,)`."""

    impressions: Ints
    clicks: Ints

    @property
    def rate(self) -> Floats:
        """Clicks per impression, `(m,)`."""
        return np.asarray(self.clicks / self.impressions)


def run(full: bool) -> dict[str, float | int | str]:
    """Take one split, with `full` 10, of the sound weeks, and as many of all weeks."""
    archive, n_splits = read_archive(shared_data("upworthy") / "packages.parquet"), 10 if full else 1
    faulty = (archive.week >= FAULTY_WEEKS[0]) & (archive.week <= FAULTY_WEEKS[1])
    found = over_seeds(partial(split_figures, archive=archive.take(~faulty)), n_splits)
    every = over_seeds(partial(split_figures, archive=archive), n_splits)
    lifts = np.array([each["best_artwork_lift"] for each in found])
    return {
        **_means(found),
        "best_artwork_lift_half_width": half_width(lifts),
        **{f"{name}_all_weeks": value for name, value in _means(every).items()},
        "n_tests": int((~faulty).sum()),
        "n_tests_all_weeks": len(faulty),
        "n_splits": n_splits,
    }


def read_archive(path: Path) -> Archive:
    """Read the tests with at least two packages of two impressions and a click: with less there is nothing to split."""
    columns = ["test_id", "test_week", "impressions", "clicks"]
    table = pq.read_table(path, columns=columns).sort_by("test_id")
    ids, week, impressions, clicks = (np.asarray(table[name]) for name in columns)
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    offsets = np.append(starts, len(ids))
    whole = Archive(np.minimum.reduceat(week, starts), offsets, impressions, clicks)
    sound = (np.minimum.reduceat(impressions, starts) >= 2) & (np.add.reduceat(clicks, starts) > 0)
    return whole.take(sound & (whole.counts > 1))


def split_figures(seed: int, archive: Archive) -> dict[str, float]:
    """Split every test once, learn on one side and score on the other."""
    rng = np.random.default_rng([seed, 4])
    learn, score = split(archive, rng)
    offsets, sizes = archive.offsets, np.repeat(archive.counts, archive.counts)
    weight = np.add.reduceat(score.impressions, offsets[:-1]).astype(np.float64)
    uniform = 1.0 / sizes
    lift, strength = learned_lifts(archive, learn)
    best = _all_on(segment_argmax(lift, offsets), len(sizes))
    way, last = thompson(archive, learn, strength, rng)
    uniform_rates, best_rates, way_rates, last_rates = (
        np.add.reduceat(pmf * score.rate, offsets[:-1]) for pmf in (uniform, best, way, last)
    )
    best_lift, way_lift = (_lift(rates, uniform_rates, weight) for rates in (best_rates, way_rates))
    return {
        "best_artwork_lift": best_lift,
        "best_artwork_lift_mean_test": _lift(best_rates, uniform_rates, np.ones(len(weight))),
        "thompson_learning_lift": way_lift,
        "thompson_learning_loss": 1.0 - way_lift / best_lift,
        "thompson_lift": _lift(last_rates, uniform_rates, weight),
    }


def split(archive: Archive, rng: np.random.Generator) -> tuple[Half, Half]:
    """Split each package's impressions in two halves without replacement, and its clicks with them."""
    drawn = archive.impressions // 2
    clicks = rng.hypergeometric(archive.clicks, archive.impressions - archive.clicks, drawn)
    return Half(drawn, clicks), Half(archive.impressions - drawn, archive.clicks - clicks)


def learned_lifts(archive: Archive, learn: Half) -> tuple[Floats, float]:
    """Learn each package's lift over its test `(m,)` as the platform does, and how strongly it believes in the test."""
    k = np.repeat(archive.counts, archive.counts).astype(np.float64)
    totals = np.stack([learn.impressions * k, learn.impressions * k**2, learn.clicks * k], axis=1)
    tests: Keys = np.repeat(np.arange(len(archive.week)), archive.counts).astype(np.uint64)
    packages: Keys = np.arange(len(k)).astype(np.uint64)
    lifts = lifts_of(ArtworkTotals(tests, packages, totals, int(learn.impressions.sum())))
    return lifts.of(packages), lifts.strength


def thompson(archive: Archive, learn: Half, strength: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Let Thompson sampling run through as many impressions as the learning side has.

    Returns: `(m,)` each, the mean pmf on the way, and that of what it thinks best in the end.
    """
    mean = learn.clicks.sum() / learn.impressions.sum()
    n_shown = np.repeat(np.add.reduceat(learn.impressions, archive.offsets[:-1]), archive.counts) / N_ROUNDS
    shown, clicks, total = (np.zeros(len(n_shown)) for _ in range(3))
    for _ in range(N_ROUNDS):
        pmf = _thompson_pmf(strength * mean + clicks, strength * (1.0 - mean) + shown - clicks, archive.offsets, rng)
        now = rng.poisson(n_shown * pmf)
        shown, clicks, total = shown + now, clicks + rng.binomial(now, learn.rate), total + pmf
    thought = (strength * mean + clicks) / (strength + shown)
    return total / N_ROUNDS, _all_on(segment_argmax(thought, archive.offsets), len(shown))


def _thompson_pmf(a: Floats, b: Floats, offsets: Ints, rng: np.random.Generator) -> Floats:
    """Count how often each package has the greatest of Beta(a, b) draws: `(m,)`."""
    best = np.zeros(len(a))
    for _ in range(_N_DRAWS):
        best[segment_argmax(rng.beta(a, b), offsets)] += 1.0
    return best / _N_DRAWS


def _lift(rate: Floats, uniform: Floats, weight: Floats) -> float:
    return float((weight @ rate) / (weight @ uniform) - 1.0)


def _all_on(rows: Ints, m: int) -> Floats:
    out = np.zeros(m)
    out[rows] = 1.0
    return out


def _means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}
