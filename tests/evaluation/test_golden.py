"""Every estimator returns what public packages return on the same arrays."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from evaluation.clipped import clipped_doubly_robust, clipped_inverse_propensity, clipped_self_normalized
from evaluation.direct import direct, expected_value
from evaluation.doubly_robust import doubly_robust, self_normalized_doubly_robust
from evaluation.importance import importance_weights
from evaluation.inverse_propensity import inverse_propensity
from evaluation.replay import replay
from evaluation.score import Ratio, pool
from evaluation.self_normalized import self_normalized
from evaluation.shrinkage import shrunk_doubly_robust
from evaluation.support import SupportTally
from evaluation.switch import switch_doubly_robust
from models.batch import Floats

CASES = [
    ("synthetic_small", "target_pmf"),
    ("synthetic_small", "target_pmf_greedy"),
    ("synthetic_small", "target_pmf_deterministic"),
    ("synthetic_skewed", "target_pmf"),
    ("digits", "target_pmf"),
    ("open_bandit_men_random_to_bts", "target_pmf"),
]


@dataclass(frozen=True)
class Case:
    reward: Floats
    propensity: Floats
    weight: Floats
    residual: Floats
    value: Floats
    greedy: Floats
    estimates: dict
    diagnostics: dict


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, shared_data: Path) -> Case:
    name, target = request.param
    folder = shared_data / "golden"
    expected = json.loads((folder / f"{name}.json").read_text())["targets"][target]
    with np.load(folder / f"{name}.npz") as arrays:
        action, reward, propensity = arrays["action"], arrays["reward"].astype(float), arrays["propensity"]
        if "position" in arrays:
            pmf = arrays[f"{target}_by_position"].T[arrays["position"]]
            predicted = arrays["q_hat_by_position"].T[arrays["position"]]
        else:
            pmf, predicted = arrays[target], arrays["q_hat"]
    rows, n_actions = np.arange(len(action)), pmf.shape[1]
    return Case(
        reward=reward,
        propensity=propensity,
        weight=importance_weights(pmf[rows, action], propensity),
        residual=reward - predicted[rows, action],
        value=expected_value(pmf.ravel(), predicted.ravel(), np.arange(0, pmf.size + 1, n_actions)),
        greedy=(pmf.argmax(axis=1) == action).astype(float),
        estimates=expected["estimates"],
        diagnostics=expected["diagnostics"],
    )


def close(found: float, expected: float) -> bool:
    return found == pytest.approx(expected, rel=1e-10, abs=0)


PLAIN: dict[str, Callable[[Case], tuple[Ratio, ...]]] = {
    "ips": lambda case: inverse_propensity(case.reward, case.weight),
    "snips": lambda case: self_normalized(case.reward, case.weight),
    "dm": lambda case: direct(case.value),
    "dr": lambda case: doubly_robust(case.value, case.residual, case.weight),
    "sndr": lambda case: self_normalized_doubly_robust(case.value, case.residual, case.weight),
    "switch_dr_at_max_weight": lambda case: switch_doubly_robust(
        case.value, case.residual, case.weight, case.diagnostics["max_weight"]
    ),
}

TUNED: dict[str, Callable[[Case, float], tuple[Ratio, ...]]] = {
    "clipped_ips": lambda case, limit: clipped_inverse_propensity(case.reward, case.weight, limit),
    "clipped_snips": lambda case, limit: clipped_self_normalized(case.reward, case.weight, limit),
    "clipped_dr": lambda case, limit: clipped_doubly_robust(case.value, case.residual, case.weight, limit),
    "switch_dr": lambda case, limit: switch_doubly_robust(case.value, case.residual, case.weight, limit),
    "dros": lambda case, strength: shrunk_doubly_robust(case.value, case.residual, case.weight, strength),
}


@pytest.mark.parametrize("name", PLAIN)
def test_an_estimator_returns_the_golden_value(case: Case, name: str) -> None:
    assert close(pool(PLAIN[name](case)).value, case.estimates[name])


@pytest.mark.parametrize("name", TUNED)
def test_an_estimator_returns_the_golden_value_at_every_setting(case: Case, name: str) -> None:
    for setting, expected in case.estimates[name].items():
        # null marks 0/0 in the reference, whose limit is the direct method
        golden = case.estimates["dm"] if expected is None else expected
        assert close(pool(TUNED[name](case, float(setting))).value, golden), setting


def test_replay_of_the_most_likely_artwork_returns_the_golden_value_where_logging_is_uniform(case: Case) -> None:
    unweighted = pool(replay(case.greedy, np.ones_like(case.propensity), case.reward)).value
    assert close(unweighted, case.estimates["replay_argmax"])
    assert case.greedy.sum() == case.diagnostics["n_replay_matched"]
    if np.ptp(case.propensity) == 0:
        assert close(pool(replay(case.greedy, case.propensity, case.reward)).value, case.estimates["replay_argmax"])


def test_diagnostics_return_the_golden_values(case: Case) -> None:
    tally = SupportTally()
    for part in np.array_split(np.arange(len(case.weight)), 7):
        tally.add(case.weight[part], np.zeros(len(part)))
    support = tally.support(float(case.propensity.min()), 0.0)
    for name, expected in case.diagnostics.items():
        if name != "n_replay_matched":
            assert close(getattr(support, name), expected), name
    assert sum(support.weight_counts) == len(case.weight)
    assert support.weight_counts[0] == support.n_zero_weight


def test_an_influence_is_what_counting_a_row_a_little_more_often_does(case: Case) -> None:
    for name, estimator in PLAIN.items():
        ratios = estimator(case)
        score = pool(ratios)
        n = len(score.influence)
        assert abs(score.influence.sum()) < 1e-9 * n, name
        row, step = int(np.argmax(np.abs(score.influence))), 1e-3
        times = np.ones(n)
        times[row] += step
        more = pool([
            Ratio(times * part.numerator, times if part.denominator is None else times * part.denominator)
            for part in ratios
        ])
        assert (more.value - score.value) / step * n == pytest.approx(score.influence[row], rel=1e-2), name
