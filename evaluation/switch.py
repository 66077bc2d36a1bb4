"""SWITCH: correct the reward model only where weights are small."""

import numpy as np

from evaluation.score import Ratio
from models.batch import Floats


def switch_doubly_robust(value: Floats, residual: Floats, weight: Floats, threshold: float) -> tuple[Ratio, ...]:
    """Estimate policy value as `1/n Σ_i v_i + w_i 1[w_i ≤ threshold] (r_i − q̂_i)`; arguments as in `doubly_robust`.

    Source: Wang, Agarwal, Dudík 2017, "Optimal and adaptive off-policy evaluation in contextual bandits".
    """
    kept = np.where(weight <= threshold, weight, 0.0)
    return (Ratio(value + kept * residual, None, weight),)
