"""What a policy is truly worth: exact expectations, no sampling."""

from dataclasses import dataclass

import numpy as np

from models.batch import Batch, Floats, Keys
from models.draw import segment_argmax
from models.error import ContractError
from models.policy import Policy
from simulation.population import Ints


def true_value(policy: Policy, batch: Batch, truth: Floats) -> float:
    """Give the policy's exact take fraction over these decisions: the mean of Σ_a pmf(a) · truth(a).

    Args: batch of n decisions; truth `(m,)`, the chance of a quality play of each candidate.

    Raises:
        ContractError: if the truth does not fit the batch, or there are no decisions.
    """
    return expected_value(policy.pmf(batch), batch.offsets, truth)


def expected_value(pmf: Floats, offsets: Ints, truth: Floats) -> float:
    """Give the exact take fraction of probabilities `(m,)` over decisions whose candidates lie at `offsets`."""
    n = len(offsets) - 1
    if pmf.shape != truth.shape or len(truth) != offsets[-1] or n < 1:
        raise ContractError(f"{n} decisions of {offsets[-1]} candidates need as many chances, got {truth.shape}")
    return float(pmf @ truth / n)


def uniform_pmf(offsets: Ints) -> Floats:
    """Give every candidate of a decision the same probability: `(m,)`."""
    counts = np.diff(offsets)
    return np.repeat(1.0 / counts, counts)


def best_artwork_pmf(offsets: Ints, artworks: Ints | Keys, truth: Floats) -> Floats:
    """Put all on the artwork with the greatest mean chance over all decisions that could show it: `(m,)`.

    This is the best that can be done without looking at the profile. Args: artworks `(m,)`, keys or places.
    """
    _, group = np.unique(artworks, return_inverse=True)
    means = np.bincount(group, weights=truth) / np.bincount(group)
    return _one_hot(segment_argmax(means[group], offsets), len(truth))


def oracle_pmf(offsets: Ints, truth: Floats) -> Floats:
    """Put all on each decision's truly best candidate: `(m,)`."""
    return _one_hot(segment_argmax(truth, offsets), len(truth))


@dataclass(frozen=True, slots=True)
class Yardstick:
    """True take fractions over the same decisions: what there is to be won."""

    uniform: float
    best_artwork: float
    oracle: float

    @property
    def best_artwork_lift(self) -> float:
        """What the single best artwork of each title adds to uniform, as a share of it."""
        return self.best_artwork / self.uniform - 1.0

    @property
    def oracle_lift(self) -> float:
        """What the best artwork for each profile adds to uniform, as a share of it."""
        return self.oracle / self.uniform - 1.0


def yardstick(offsets: Ints, artworks: Ints | Keys, truth: Floats) -> Yardstick:
    """Measure uniform, best artwork and oracle over n decisions."""
    return Yardstick(
        uniform=expected_value(uniform_pmf(offsets), offsets, truth),
        best_artwork=expected_value(best_artwork_pmf(offsets, artworks, truth), offsets, truth),
        oracle=expected_value(oracle_pmf(offsets, truth), offsets, truth),
    )


def _one_hot(rows: Ints, m: int) -> Floats:
    out = np.zeros(m)
    out[rows] = 1.0
    return out
