"""Inverse propensity scoring."""

from evaluation.score import Ratio
from models.batch import Floats


def inverse_propensity(reward: Floats, weight: Floats) -> tuple[Ratio, ...]:
    """Estimate policy value as the mean weighted reward, `1/n Σ_i w_i r_i`: unbiased, and as noisy as its weights.

    Args: reward `(n,)`; weight `(n,)`, target probability ÷ propensity.

    Source: Horvitz and Thompson 1952; Strehl, Langford, Li, Kakade 2010.

    Example:
        >>> import numpy as np
        >>> from evaluation.score import pool
        >>> pool(inverse_propensity(np.array([1.0, 0.0]), np.array([1.5, 0.5]))).value
        0.75
    """
    return (Ratio(weight * reward, None, weight),)
