"""Every estimator of an evaluation, by name, and how its sums lie side by side."""

import numpy as np

from evaluation.clipped import clipped_inverse_propensity
from evaluation.direct import direct
from evaluation.doubly_robust import doubly_robust, self_normalized_doubly_robust
from evaluation.importance import importance_weights
from evaluation.inverse_propensity import inverse_propensity
from evaluation.replay import replay
from evaluation.score import Ratio
from evaluation.self_normalized import self_normalized
from evaluation.shrinkage import shrunk_doubly_robust
from evaluation.switch import switch_doubly_robust
from models.batch import Floats

CLIP_LIMIT = 10.0
SWITCH_THRESHOLD = 10.0
SHRINKAGE_STRENGTH = 100.0

ESTIMATOR_WORDS = {
    "replay": "Replay",
    "dr": "Doubly robust",
    "ips": "IPS",
    "snips": "SNIPS",
    "dm": "Direct method",
    "clipped_ips": "Clipped IPS",
    "sndr": "Self-normalised DR",
    "switch_dr": "SWITCH-DR",
    "dros": "DR, shrunk weights",
}
"""The estimators' names for people, in the order in which they are shown."""


def estimators(
    target: Floats, propensity: Floats, reward: Floats, predicted: Floats, value: Floats
) -> dict[str, tuple[Ratio, ...]]:
    """Give what `(n,)` decisions add to each estimator, by name.

    Args, all `(n,)`: target, the policy's probability of the logged artwork; propensity; reward; predicted, the reward
    model's opinion of the logged artwork; value, of what the policy would show.
    """
    weight, residual = importance_weights(target, propensity), reward - predicted
    return {
        "replay": replay(target, propensity, reward),
        "ips": inverse_propensity(reward, weight),
        "snips": self_normalized(reward, weight),
        "dm": direct(value),
        "dr": doubly_robust(value, residual, weight),
        "clipped_ips": clipped_inverse_propensity(reward, weight, CLIP_LIMIT),
        "sndr": self_normalized_doubly_robust(value, residual, weight),
        "switch_dr": switch_doubly_robust(value, residual, weight, SWITCH_THRESHOLD),
        "dros": shrunk_doubly_robust(value, residual, weight, SHRINKAGE_STRENGTH),
    }


def columns(ratios: dict[str, tuple[Ratio, ...]]) -> Floats:
    """Lay ratios side by side: `(n, N_COLUMNS)`. Denominators that count decisions are left out."""
    parts = [part for form in ratios.values() for part in form]
    arrays = [array for part in parts for array in (part.numerator, part.denominator) if array is not None]
    return np.column_stack(arrays)


def from_columns(sums: Floats, n_decisions: Floats) -> dict[str, tuple[Ratio, ...]]:
    """Undo `columns` for `(k, N_COLUMNS)` sums by profile, each of `(k,)` decisions."""
    rest = iter(sums.T)
    return {
        name: tuple(Ratio(next(rest), next(rest) if has_denominator else n_decisions) for has_denominator in form)
        for name, form in _FORM.items()
    }


def first_column(name: str) -> int:
    """Find where the columns of an estimator begin: the numerator of its first ratio, then its denominator, if any."""
    columns_before = 0
    for other, form in _FORM.items():
        if other == name:
            return columns_before
        columns_before += sum(1 + has_denominator for has_denominator in form)
    raise KeyError(name)


_NONE = np.zeros(0)
_FORM = {
    name: tuple(part.denominator is not None for part in ratios)
    for name, ratios in estimators(_NONE, _NONE, _NONE, _NONE, _NONE).items()
}
"""For each estimator, which of its ratios have a denominator of their own."""
N_COLUMNS = sum(1 + has_denominator for form in _FORM.values() for has_denominator in form)
