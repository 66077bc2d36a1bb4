"""How far a distribution has moved: the population stability index of binned counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PRIOR = 0.5
"""Counts added to every bin: an empty one says that a share is small, not that it is nothing."""


@dataclass(frozen=True, slots=True)
class Stability:
    """The index, and what it would hardly exceed by chance if nothing had moved."""

    index: float
    by_chance: float


def population_stability(reference: ArrayLike, newest: ArrayLike, n_bins: int = 10) -> Stability:
    """Hold counts against a reference's: PSI = Σ (p − q) · ln(p / q) over bins, p the newest shares, q the reference's.

    Fine bins are merged, in order, until each holds about 1 / n_bins of the reference: no bin is empty by construction.
    If both are draws from one distribution, PSI is about (1/n + 1/m) · χ² with bins − 1 degrees of freedom; `by_chance`
    is its mean and three standard deviations.

    Args: reference and newest `(b,)`, counts in the same fine bins; at least one in each.

    Returns: customary readings are below 0.1 stable, above 0.25 another population.

    Raises:
        ValueError: if either is empty.

    Source: Siddiqi 2006, Credit Risk Scorecards; its distribution, Yurdakul & Naranjo 2020, Statistical properties of
    the population stability index.

    Example:
        >>> round(population_stability([500, 500], [500, 500]).index, 6)
        0.0
        >>> round(population_stability([5000, 5000], [9000, 1000]).index, 3)
        0.878
    """
    was, now = np.asarray(reference, dtype=np.float64), np.asarray(newest, dtype=np.float64)
    m, n = was.sum(), now.sum()
    if m <= 0 or n <= 0:
        raise ValueError(f"both sides must have counts, got {m:g} and {n:g}")
    bins = _merged(was, n_bins)
    k = int(bins[-1]) + 1
    q, p = (np.bincount(bins, weights=side, minlength=k) + _PRIOR for side in (was, now))
    q, p = q / q.sum(), p / p.sum()
    freedom = k - 1
    by_chance = (1.0 / n + 1.0 / m) * (freedom + 3.0 * np.sqrt(2.0 * freedom))
    return Stability(float(((p - q) * np.log(p / q)).sum()), float(by_chance))


def _merged(counts: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
    """Give each fine bin the number of its coarse one: `(b,)`, from 0 without a gap."""
    # Whole numbers throughout: a middle that lies on an edge must not fall to either side by rounding.
    twice_middle = 2 * np.cumsum(counts) - counts
    coarse = np.minimum(twice_middle * n_bins // (2 * counts.sum()), n_bins - 1)
    return np.unique(coarse, return_inverse=True)[1]
