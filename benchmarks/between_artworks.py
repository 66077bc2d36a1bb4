"""How much artworks of one title differ, out of counts: the same estimators for real tests and for simulated ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.error import ContractError

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spread:
    """What sets the artworks of a title apart.

    Args:
        cv: the standard deviation of the k true fractions of a title around their mean, as a share of it.
        best_lift: what the artwork that is best in one half of the impressions takes more than the title's mean in the
            other half, as a share of it.
    """

    cv: float
    best_lift: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Impressions and takes of m artworks, those of each of the t titles next to one another.

    Args: start `(t,)`, each title's first row; impressions, takes `(m,)`.
    """

    start: Ints
    impressions: Ints
    takes: Ints

    @classmethod
    def of(cls, titles: NDArray[np.generic], impressions: Ints, takes: Ints) -> "Counts":
        """Group artworks `(m,)` by title; titles of one artwork and titles that nobody took are left out.

        Raises:
            ContractError: if no title is left.
        """
        enough = impressions > 1
        titles, impressions, takes = titles[enough], impressions[enough], takes[enough]
        _, group, count = np.unique(titles, return_inverse=True, return_counts=True)
        kept = (count > 1) & (np.bincount(group, weights=takes) > 0)
        rows = np.flatnonzero(kept[group])
        if not len(rows):
            raise ContractError("there must be a title of two artworks or more that somebody took")
        rows = rows[np.argsort(group[rows], kind="stable")]
        sizes = count[kept]
        return cls(np.cumsum(sizes) - sizes, impressions[rows], takes[rows])

    @property
    def sizes(self) -> Ints:
        """`(t,)`: how many artworks each title has."""
        return np.diff(np.append(self.start, len(self.takes)))


def spread(counts: Counts, rng: np.random.Generator, n_splits: int = 20) -> Spread:
    """Estimate both, over all titles together; the noise of counts inflates neither.

    The variance of k observed fractions around their mean is expected to be (k − 1)/k of the mean noise p(1 − p)/n too
    much, which is taken off. Each split draws half of every artwork's impressions, without replacement.
    """
    lifts = [_best_lift(counts, rng) for _ in range(n_splits)]
    return Spread(cv=_cv(counts), best_lift=float(np.mean(lifts)))


def _cv(counts: Counts) -> float:
    k = counts.sizes
    fraction = counts.takes / counts.impressions
    mean = np.add.reduceat(fraction, counts.start) / k
    variance = np.add.reduceat((fraction - np.repeat(mean, k)) ** 2, counts.start) / k
    # n - 1 makes p(1 - p)/n of observed fractions unbiased.
    noise = np.add.reduceat(fraction * (1.0 - fraction) / (counts.impressions - 1), counts.start) / k
    true_variance = variance - noise * (k - 1) / k
    return float(np.sqrt(max(true_variance.sum(), 0.0) / (mean**2).sum()))


def _best_lift(counts: Counts, rng: np.random.Generator) -> float:
    half = counts.impressions // 2
    chosen_on = rng.hypergeometric(counts.takes, counts.impressions - counts.takes, half)
    scored: Floats = (counts.takes - chosen_on) / (counts.impressions - half)
    first = chosen_on / half
    best = np.repeat(np.maximum.reduceat(first, counts.start), counts.sizes)
    rows = np.flatnonzero(first == best)
    picked = rows[np.searchsorted(rows, counts.start)]
    means = np.add.reduceat(scored, counts.start) / counts.sizes
    return float(scored[picked].sum() / means.sum() - 1.0)
