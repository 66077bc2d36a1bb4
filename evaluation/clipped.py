"""Clipped weights: a bound on what one decision can do, paid for with bias."""

import numpy as np

from evaluation.doubly_robust import doubly_robust
from evaluation.inverse_propensity import inverse_propensity
from evaluation.score import Ratio
from evaluation.self_normalized import self_normalized
from models.batch import Floats


def clip(weight: Floats, limit: float) -> Floats:
    """Cut weights, `(n,)`, at `limit`: `min(w, limit)`."""
    return np.minimum(weight, limit)


def clipped_inverse_propensity(reward: Floats, weight: Floats, limit: float) -> tuple[Ratio, ...]:
    """Estimate policy value as `1/n Σ_i min(w_i, limit) r_i`. Args: reward and weight `(n,)`.

    Source: Strehl, Langford, Li, Kakade 2010, "Learning from logged implicit exploration data".
    """
    return inverse_propensity(reward, clip(weight, limit))


def clipped_self_normalized(reward: Floats, weight: Floats, limit: float) -> tuple[Ratio, ...]:
    """Estimate policy value as the mean reward weighted by `min(w_i, limit)`. Args: reward and weight `(n,)`."""
    return self_normalized(reward, clip(weight, limit))


def clipped_doubly_robust(value: Floats, residual: Floats, weight: Floats, limit: float) -> tuple[Ratio, ...]:
    """Correct the reward model with weights `min(w_i, limit)`; arguments as in `doubly_robust`.

    Source: Su, Dimakopoulou, Krishnamurthy, Dudík 2020 (pessimistic shrinkage).
    """
    return doubly_robust(value, residual, clip(weight, limit))
