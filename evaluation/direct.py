"""The direct method: believe the reward model."""

import numpy as np
from numpy.typing import NDArray

from evaluation.score import Ratio
from models.batch import Floats


def expected_value(pmf: Floats, predicted: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Average predicted rewards under a policy, `v_i = Σ_a π(a) q̂(a)`.

    Args: pmf and predicted `(m,)`, candidates end to end; offsets `(n + 1,)`.

    Returns: `(n,)`.
    """
    if len(offsets) == 1:
        return np.zeros(0)
    return np.asarray(np.add.reduceat(pmf * predicted, offsets[:-1]), dtype=np.float64)


def direct(value: Floats) -> tuple[Ratio, ...]:
    """Estimate policy value as the mean prediction, `1/n Σ_i v_i`: steady, and wrong by what the model is wrong.

    Args: value `(n,)`, from `expected_value`. Its interval knows nothing of the model's own error.

    Source: Dudík, Erhan, Langford, Li 2014, "Doubly robust policy evaluation and optimization".
    """
    return (Ratio(value),)
