"""Sample ratio by counts: whether visitors were shared out among the arms of a test as it declared.

The check of `log_check` for logs of which only counts are left: visitors of each arm, each visitor counted once.

    χ² = Σ_a (n_a − n q_a)² / (n q_a), with as many degrees of freedom as there are arms, less one

Source: Pearson 1900; sample-ratio mismatch, Fabijan et al. 2019.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, chdtrc

from models.batch import Floats
from models.error import ContractError

LEVEL = 0.01
"""At which one test counts as faulty, unless told otherwise."""


def allocation_p_values(counts: NDArray[np.int64], offsets: NDArray[np.int64], shares: Floats | None = None) -> Floats:
    """Test many allocations at once.

    Args: counts `(m,)`, visitors of each arm, the arms of a test end to end; offsets `(n + 1,)` as in
    `models.batch.Batch`; shares `(m,)`, declared and positive, equal within each test if not given.

    Returns: `(n,)` p-values; NaN for a test of one arm or without visitors, which says nothing.

    Raises:
        ContractError: naming the row and the value, if a count is negative, a share is not positive, or the shapes do
            not fit.
    """
    sizes = np.diff(offsets)
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(counts) or (sizes < 1).any():
        raise ContractError(f"offsets must rise from 0 to {len(counts)} by at least 1 each")
    declared = np.ones(len(counts)) if shares is None else shares
    for name, values, bad in (("count", counts, counts < 0), ("share", declared, ~(declared > 0))):
        if bad.any():
            row = int(np.argmax(bad))
            least = "at least" if name == "count" else "above"
            raise ContractError(f"{name} must be {least} 0, got {values[row]} (row={row})")
    if not len(sizes):
        return np.zeros(0)
    starts = offsets[:-1]
    total = np.add.reduceat(counts, starts)
    expected = declared / np.repeat(np.add.reduceat(declared, starts), sizes) * np.repeat(total, sizes)
    apart = np.divide((counts - expected) ** 2, expected, out=np.zeros(len(counts)), where=expected > 0)
    p_values = chdtrc(np.maximum(sizes - 1, 1), np.add.reduceat(apart, starts))
    return np.where((sizes > 1) & (total > 0), p_values, np.nan)


def more_than_chance(n_failed: int, n_tests: int, level: float = LEVEL) -> float:
    """Give the chance that so many or more of sound tests fail at `level`: the upper binomial tail."""
    return 1.0 if n_failed <= 0 else float(bdtrc(n_failed - 1, n_tests, level))
