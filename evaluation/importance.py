"""Importance weights: how much more often the target policy does what the log did."""

import numpy as np

from models.batch import Floats, LoggedBatch
from models.error import ContractError
from models.policy import Policy

PMF_TOLERANCE = 1e-6
"""How far the sum of a decision's probabilities may be from 1 (rounding, not a mistake)."""


def importance_weights(target: Floats, propensity: Floats) -> Floats:
    """Divide, `(n,)`, the target's probability of the logged artwork by the propensity of the log.

    Args: target `(n,)` in [0, 1]; propensity `(n,)` in (0, 1].

    Raises:
        ContractError: naming the row and the value, if one of them cannot be.
    """
    for name, values, bad in (
        ("target probability", target, ~((target >= 0) & (target <= 1 + PMF_TOLERANCE))),
        ("propensity", propensity, ~((propensity > 0) & (propensity <= 1))),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise ContractError(f"{name} must be a probability, got {values[row]} (row={row})")
    return target / propensity


def checked_pmf(name: str, policy: Policy, logged: LoggedBatch) -> Floats:
    """Ask a policy for its `(m,)` probabilities and hold it to its contract.

    Raises:
        ContractError: naming the policy, decision_id and value, if a probability is negative or not finite, or if
            those of a decision do not sum to 1.
    """
    batch = logged.batch
    pmf = np.asarray(policy.pmf(batch), dtype=np.float64)
    if pmf.shape != batch.artwork_keys.shape:
        raise ContractError(f"the pmf of {name!r} must have shape {batch.artwork_keys.shape}, got {pmf.shape}")
    if len(logged) == 0:
        return pmf
    bad = ~(np.isfinite(pmf) & (pmf >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        decision_id = logged.decision_ids[batch.owner[row]]
        raise ContractError(f"the pmf of {name!r} must be at least 0, got {pmf[row]} (decision_id={decision_id})")
    totals = np.add.reduceat(pmf, batch.offsets[:-1])
    off = np.abs(totals - 1) > PMF_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        decision_id = logged.decision_ids[row]
        raise ContractError(f"the pmf of {name!r} must sum to 1, got {totals[row]} (decision_id={decision_id})")
    return pmf
