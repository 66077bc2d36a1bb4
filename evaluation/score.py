"""What every estimator here is: a sum of ratios of sums, and the influence of each row on it.

    estimate = Σ_k θ_k,   θ_k = Σ_i N_ki / Σ_i D_ki
    influence_i = Σ_k (N_ki − θ_k D_ki) / mean_i D_ki

Numerators and denominators add up over decisions, so a log that is split into batches, or summed by profile, pools to
the same estimate; and the influences of a profile's decisions add up to the profile's own.

Source: linearisation of a ratio, Cochran 1977, section 6; Tsiatis 2006, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.batch import Floats
from models.error import ContractError, NoOverlapError


@dataclass(frozen=True, slots=True)
class Ratio:
    """What each of n rows adds to one ratio of sums. A row is a decision, or all decisions of a profile.

    Args:
        numerator: `(n,)`.
        denominator: `(n,)`; None is 1 for each row, so that the ratio is a plain mean.
        weight: `(n,)` importance weights that the ratio rests on, if any; it means nothing when all are zero.

    Raises:
        ContractError: naming the row and the value, if an entry is not finite.
    """

    numerator: Floats
    denominator: Floats | None = None
    weight: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("numerator", "denominator", "weight"):
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != self.numerator.shape or values.ndim != 1:
                raise ContractError(f"{name} must have shape {self.numerator.shape}, got {values.shape}")
            bad = ~np.isfinite(values)
            if bad.any():
                row = int(np.argmax(bad))
                raise ContractError(f"{name} must be finite, got {values[row]} (row={row})")


@dataclass(frozen=True, slots=True)
class Score:
    """An estimate and the `(n,)` influence of each row on it; `estimate − truth ≈ mean(influence)`."""

    value: float
    influence: Floats


def pool(ratios: Sequence[Ratio]) -> Score:
    """Bring an estimator's ratios to one number.

    Raises:
        ContractError: if there is no row.
        NoOverlapError: if every importance weight is zero.
    """
    n = len(ratios[0].numerator)
    if n == 0:
        raise ContractError("an estimate needs at least one decision, got 0")
    value, influence = 0.0, np.zeros(n)
    for ratio in ratios:
        denominator = np.ones(n) if ratio.denominator is None else ratio.denominator
        total = float(denominator.sum())
        if total == 0.0 or (ratio.weight is not None and not ratio.weight.any()):
            raise NoOverlapError(f"the target policy never does what the log did: all {n} weights are 0")
        part = float(ratio.numerator.sum()) / total
        value += part
        influence += (ratio.numerator - part * denominator) * (n / total)
    return Score(value, influence)
