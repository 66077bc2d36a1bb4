"""Intervals that count profiles, not impressions.

A draw is shared by repeated impressions of a (profile, title), and a person is one person all day: decisions of a
profile are not independent. Influences are therefore summed by profile before their spread is taken.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import ndtri

from evaluation.score import Ratio, Score, pool
from models.batch import Keys
from models.error import ContractError


class Estimate(msgspec.Struct, frozen=True):
    """A value with its standard error and the two ends of its interval."""

    value: float
    standard_error: float
    low: float
    high: float


def clustered(score: Score, profiles: Keys, confidence: float = 0.95) -> Estimate:
    """Give the normal interval of a score whose rows are decisions of `profiles`, `(n,)`.

    Raises:
        ContractError: if there are fewer than two profiles.

    Source: Liang and Zeger 1986 (cluster-robust variance).
    """
    _, owner = np.unique(profiles, return_inverse=True)
    by_profile = np.asarray(np.bincount(owner, weights=score.influence), dtype=np.float64)
    return normal(Score(score.value, by_profile * (len(by_profile) / len(profiles))), confidence)


def normal(score: Score, confidence: float = 0.95) -> Estimate:
    """Give the normal interval of a score whose `(n,)` rows are independent: one each profile.

        standard error = √(Σ_j influence_j² / (n (n − 1)))

    Raises:
        ContractError: if there are fewer than two rows.
    """
    n = len(score.influence)
    if n < 2:
        raise ContractError(f"an interval clustered by profile needs at least 2 profiles, got {n}")
    standard_error = float(np.sqrt((score.influence @ score.influence) / n / (n - 1)))
    half = quantile((1 + confidence) / 2) * standard_error
    return Estimate(score.value, standard_error, score.value - half, score.value + half)


def quantile(probability: float) -> float:
    """Find the standard normal's quantile.

    Raises:
        ContractError: if the probability is not in (0, 1).
    """
    if not 0 < probability < 1:
        raise ContractError(f"a level must be in (0, 1), got {probability}")
    return float(ndtri(probability))


def one_sided(estimate: Estimate, alpha: float) -> tuple[float, float]:
    """Give the lower and the upper bound, each of which alone fails with probability `alpha`."""
    half = quantile(1 - alpha) * estimate.standard_error
    return estimate.value - half, estimate.value + half


def bootstrap(
    ratios: Sequence[Ratio], generator: np.random.Generator, *, n_resamples: int = 200, confidence: float = 0.95
) -> Estimate:
    """Give the percentile interval over profiles drawn anew: a diagnostic beside `normal`, free of its shape.

    Each profile (row) counts a Poisson(1) number of times in each resample, so that nothing larger than one weight
    a profile is held. A resample in which a denominator vanishes is left out.

    Raises:
        ContractError: if there are fewer than two profiles or no resample is left.

    Source: Efron 1979; Poisson weights, Oza and Russell 2001.
    """
    score = pool(ratios)
    n = len(score.influence)
    if n < 2:
        raise ContractError(f"an interval clustered by profile needs at least 2 profiles, got {n}")
    values: list[float] = []
    for _ in range(n_resamples):
        times = generator.poisson(1.0, n).astype(np.float64)
        bottoms = [float(times.sum() if part.denominator is None else times @ part.denominator) for part in ratios]
        if all(bottoms):
            values.append(
                sum(float(times @ part.numerator) / bottom for part, bottom in zip(ratios, bottoms, strict=True))
            )
    if not values:
        raise ContractError(f"none of {n_resamples} bootstrap resamples overlaps with the target")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(score.value, float(np.std(values)), float(low), float(high))
