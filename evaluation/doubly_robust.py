"""Doubly robust estimation: the reward model, corrected where the log shows it wrong."""

from evaluation.score import Ratio
from models.batch import Floats


def doubly_robust(value: Floats, residual: Floats, weight: Floats) -> tuple[Ratio, ...]:
    """Estimate policy value as `1/n Σ_i v_i + w_i (r_i − q̂_i)`.

    Unbiased with true propensities whatever the model, as long as no decision's own reward went into its prediction.

    Args:
        value: `(n,)`, v: predictions averaged under the target (`direct.expected_value`).
        residual: `(n,)`, reward less the prediction for the logged artwork.
        weight: `(n,)`, target probability ÷ propensity.

    Source: Dudík, Erhan, Langford, Li 2014, "Doubly robust policy evaluation and optimization".
    """
    return (Ratio(value + weight * residual, None, weight),)


def self_normalized_doubly_robust(value: Floats, residual: Floats, weight: Floats) -> tuple[Ratio, ...]:
    """Estimate policy value as `1/n Σ_i v_i + Σ_i w_i (r_i − q̂_i) / Σ_i w_i`; arguments as in `doubly_robust`.

    Source: Kallus and Uehara 2019, "Intrinsically efficient, stable, and bounded off-policy evaluation".
    """
    return (Ratio(value), Ratio(weight * residual, weight, weight))
