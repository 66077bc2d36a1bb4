"""Doubly robust estimation with optimistic shrinkage (DRos)."""

import numpy as np

from evaluation.score import Ratio
from models.batch import Floats


def shrink(weight: Floats, strength: float) -> Floats:
    """Shrink weights, `(n,)`, to `λ w / (w² + λ)`: 0 at λ = 0, w as λ grows."""
    bottom = weight * weight + strength
    return np.divide(strength * weight, bottom, out=np.zeros_like(weight), where=bottom > 0)


def shrunk_doubly_robust(value: Floats, residual: Floats, weight: Floats, strength: float) -> tuple[Ratio, ...]:
    """Correct the reward model with shrunk weights; arguments as in `doubly_robust`, `strength` is λ.

    Source: Su, Dimakopoulou, Krishnamurthy, Dudík 2020, "Doubly robust off-policy evaluation with shrinkage".
    """
    return (Ratio(value + shrink(weight, strength) * residual, None, weight),)
