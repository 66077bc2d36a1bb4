"""The golden cases: arrays and the estimates that public packages make of them, beside our own."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.clipped import clipped_doubly_robust, clipped_inverse_propensity, clipped_self_normalized
from evaluation.direct import direct, expected_value
from evaluation.doubly_robust import doubly_robust, self_normalized_doubly_robust
from evaluation.importance import importance_weights
from evaluation.inverse_propensity import inverse_propensity
from evaluation.replay import replay
from evaluation.score import Ratio, pool
from evaluation.self_normalized import self_normalized
from evaluation.shrinkage import shrunk_doubly_robust
from evaluation.switch import switch_doubly_robust
from models.batch import Floats

CASES = (
    ("synthetic_small", "target_pmf"),
    ("synthetic_small", "target_pmf_greedy"),
    ("synthetic_small", "target_pmf_deterministic"),
    ("synthetic_skewed", "target_pmf"),
    ("digits", "target_pmf"),
    ("open_bandit_men_random_to_bts", "target_pmf"),
)
Ratios = tuple[Ratio, ...]


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One target policy on one log, `(n,)` each: `agrees` where its likeliest action is the logged one."""

    reward: Floats
    weight: Floats
    residual: Floats
    value: Floats
    agrees: Floats
    expected: dict[str, float | dict[str, float | None] | None]
    max_weight: float


def read_case(folder: Path, name: str, target: str) -> GoldenCase:
    """Read a case of the folder `golden`."""
    told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["targets"][target]
    with np.load(folder / f"{name}.npz") as arrays:
        action, reward, propensity = arrays["action"], arrays["reward"].astype(np.float64), arrays["propensity"]
        if "position" in arrays:
            pmf = arrays[f"{target}_by_position"].T[arrays["position"]]
            predicted = arrays["q_hat_by_position"].T[arrays["position"]]
        else:
            pmf, predicted = arrays[target], arrays["q_hat"]
    rows = np.arange(len(action))
    return GoldenCase(
        reward=reward,
        weight=importance_weights(pmf[rows, action], propensity),
        residual=reward - predicted[rows, action],
        value=expected_value(pmf.ravel(), predicted.ravel(), np.arange(0, pmf.size + 1, pmf.shape[1])),
        agrees=(pmf.argmax(axis=1) == action).astype(np.float64),
        expected=told["estimates"],
        max_weight=told["diagnostics"]["max_weight"],
    )


_PLAIN: dict[str, Callable[[GoldenCase], Ratios]] = {
    "ips": lambda case: inverse_propensity(case.reward, case.weight),
    "snips": lambda case: self_normalized(case.reward, case.weight),
    "dm": lambda case: direct(case.value),
    "dr": lambda case: doubly_robust(case.value, case.residual, case.weight),
    "sndr": lambda case: self_normalized_doubly_robust(case.value, case.residual, case.weight),
    "switch_dr_at_max_weight": lambda case: switch_doubly_robust(
        case.value, case.residual, case.weight, case.max_weight
    ),
    "replay_argmax": lambda case: replay(case.agrees, np.ones(len(case.reward)), case.reward),
}
_TUNED: dict[str, Callable[[GoldenCase, float], Ratios]] = {
    "clipped_ips": lambda case, limit: clipped_inverse_propensity(case.reward, case.weight, limit),
    "clipped_snips": lambda case, limit: clipped_self_normalized(case.reward, case.weight, limit),
    "clipped_dr": lambda case, limit: clipped_doubly_robust(case.value, case.residual, case.weight, limit),
    "switch_dr": lambda case, limit: switch_doubly_robust(case.value, case.residual, case.weight, limit),
    "dros": lambda case, strength: shrunk_doubly_robust(case.value, case.residual, case.weight, strength),
}


def differences(folder: Path) -> Iterator[float]:
    """Yield |ours − expected| ÷ |expected| for every golden value of an estimator that is ours too.

    Where the reference has 0 ÷ 0 (null), its limit is expected: the direct method.
    """
    for name, target in CASES:
        case = read_case(folder, name, target)
        for key, estimator in _PLAIN.items():
            yield _apart(pool(estimator(case)).value, case.expected[key])
        for key, tuned in _TUNED.items():
            settings = case.expected[key]
            assert isinstance(settings, dict)  # noqa: S101 - told to mypy
            for setting, expected in settings.items():
                value = pool(tuned(case, float(setting))).value
                yield _apart(value, case.expected["dm"] if expected is None else expected)


def _apart(found: float, expected: object) -> float:
    assert isinstance(expected, float)  # noqa: S101 - told to mypy
    return abs(found - expected) / abs(expected) if expected else abs(found)
