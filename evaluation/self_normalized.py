"""Self-normalised inverse propensity scoring."""

from evaluation.score import Ratio
from models.batch import Floats


def self_normalized(reward: Floats, weight: Floats) -> tuple[Ratio, ...]:
    """Estimate policy value as the weighted mean reward, `Σ_i w_i r_i / Σ_i w_i`: it moves with the rewards.

    Args: reward `(n,)`; weight `(n,)`, target probability ÷ propensity.

    Source: Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".

    Example:
        >>> import numpy as np
        >>> from evaluation.score import pool
        >>> pool(self_normalized(np.array([1.0, 0.0]), np.array([3.0, 1.0]))).value
        0.75
    """
    return (Ratio(weight * reward, weight, weight),)
