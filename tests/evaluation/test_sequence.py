"""Confidence sequences return what public packages return, hold the mean at all times, and obey their laws."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from evaluation.sequence import conjugate_mixture, mixture_boundary, predictable_mixture, running
from models.batch import Floats
from models.error import ContractError

EACH_SIDE, PACKAGE_EACH_SIDE = 0.025, 0.0125
few = settings(max_examples=50, deadline=None)
paths_of_scores = st_numpy.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1, width=32))


@dataclass(frozen=True)
class Golden:
    scores: Floats
    v_opt: float
    bounds: dict


@pytest.fixture(params=["beta_10_30", "bernoulli_0.1"])
def golden(request: pytest.FixtureRequest, shared_data: Path) -> Golden:
    folder = shared_data / "golden"
    expected = json.loads((folder / "confidence_sequences.json").read_text())["paths"][request.param]
    with np.load(folder / "confidence_sequences.npz") as arrays:
        scores = arrays[expected["array"]].astype(np.float64)
    return Golden(scores, expected["conjmix_v_opt"], expected["bounds"])


def agrees(golden: Golden, name: str, lower: Floats, upper: Floats, tolerance: float) -> None:
    """Hold both ends, cut off at 0 and 1, against the plain bounds and the running intersection."""
    lower, upper = lower.clip(0), upper.clip(max=1)
    for kind, low, high in (("plain", lower, upper), ("running_intersection", running(lower), -running(-upper))):
        found = golden.bounds[f"{name}_{kind}"]
        assert set(found) == {"10", "100", "1000", "5000"}
        for time, expected in found.items():
            assert low[int(time) - 1] == pytest.approx(expected["lower"], rel=0, abs=tolerance)
            assert high[int(time) - 1] == pytest.approx(expected["upper"], rel=0, abs=tolerance)


def test_the_predictable_mixture_returns_the_golden_bounds(golden: Golden) -> None:
    lower, upper = (predictable_mixture(side, EACH_SIDE) for side in (golden.scores, 1 - golden.scores))
    agrees(golden, "predmix_empbern", lower, 1 - upper, 1e-10)
    one_sided = predictable_mixture(golden.scores, 0.05).clip(0)
    for time, expected in golden.bounds["predmix_empbern_onesided_lower_plain"].items():
        assert one_sided[int(time) - 1] == pytest.approx(expected["lower"], rel=0, abs=1e-10)


@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        ("conjmix_empbern_alpha_over_2_each_side", EACH_SIDE),
        ("conjmix_empbern_package_twosided", PACKAGE_EACH_SIDE),
    ],
)
def test_the_conjugate_mixture_returns_the_golden_bounds(golden: Golden, name: str, alpha: float) -> None:
    lower, upper = (conjugate_mixture(side, alpha, v_opt=golden.v_opt) for side in (golden.scores, 1 - golden.scores))
    agrees(golden, name, lower, 1 - upper, 1e-8)


def test_the_boundary_of_the_conjugate_mixture_returns_the_golden_values(shared_data: Path) -> None:
    text = (shared_data / "golden" / "confidence_sequences.json").read_text()
    for case in json.loads(text)["boundaries"]["gamma_exponential_mixture_bound"]:
        found = mixture_boundary(np.array([case["v"]]), case["alpha"], v_opt=case["v_opt"], scale=case["c"])
        assert case["alpha_opt"] == case["alpha"]
        assert found[0] == pytest.approx(case["bound"], rel=0, abs=1e-8)


def test_bounds_hold_at_all_times_together_where_a_normal_interval_does_not() -> None:
    rng, n_paths, n, alpha = np.random.default_rng(31), 400, 1_000, 0.1
    scores = (rng.random((n_paths, n)) < 0.1).astype(np.float64)
    few_scores = scores[:120, :400]  # a root for each of them is dear
    for lower, most in (
        # at most 0.1 is promised, and four standard errors of 400 paths are 0.06, of 120 paths 0.11
        (predictable_mixture(scores, alpha), 0.16),
        (conjugate_mixture(few_scores, alpha, v_opt=36.0), 0.21),
    ):
        assert (lower > 0.1).any(axis=-1).mean() < most
        assert (lower[:, -1] > 0.03).mean() > 0.9  # and yet it is a bound of use
    times = np.arange(1, n + 1)
    mean = scores.cumsum(axis=-1) / times
    normal = mean - 1.2816 * np.sqrt(mean * (1 - mean) / times)
    assert (normal[:, 100:] > 0.1).any(axis=-1).mean() > 0.3


@few
@given(paths_of_scores, st.floats(0.001, 0.4))
def test_a_bound_at_a_time_knows_nothing_of_later_scores(scores: Floats, alpha: float) -> None:
    half = len(scores) // 2 + 1
    for whole, part in (
        (predictable_mixture(scores, alpha), predictable_mixture(scores[:half], alpha)),
        (conjugate_mixture(scores, alpha, v_opt=5.0), conjugate_mixture(scores[:half], alpha, v_opt=5.0)),
    ):
        assert np.allclose(whole[:half], part, rtol=1e-9, atol=1e-9)


@few
@given(paths_of_scores)
def test_running_bounds_only_ever_close_in(scores: Floats) -> None:
    lower = predictable_mixture(scores, 0.1)
    kept = running(lower)
    assert (np.diff(kept) >= 0).all()
    assert (kept >= lower).all()
    assert kept[0] == lower[0]


@few
@given(paths_of_scores, st.floats(0.001, 0.2))
def test_who_errs_more_rarely_knows_less_and_no_bound_is_above_the_mean(scores: Floats, alpha: float) -> None:
    mean = scores.cumsum() / np.arange(1, len(scores) + 1)
    strict, lax = (conjugate_mixture(scores, level, v_opt=5.0) for level in (alpha, 2 * alpha))
    assert (strict <= lax).all()
    assert (lax < mean).all()


def test_paths_side_by_side_are_bounded_as_if_alone() -> None:
    scores = np.random.default_rng(0).random((3, 2, 40))
    together = conjugate_mixture(scores, 0.05, v_opt=3.0), predictable_mixture(scores, 0.05)
    for place in np.ndindex(3, 2):
        alone = conjugate_mixture(scores[place], 0.05, v_opt=3.0), predictable_mixture(scores[place], 0.05)
        assert np.allclose(together[0][place], alone[0], atol=1e-12)
        assert np.allclose(together[1][place], alone[1], atol=1e-12)


@pytest.mark.parametrize("value", [-0.1, 1.2, np.nan, np.inf])
def test_scores_outside_0_and_1_are_refused_with_their_value(value: float) -> None:
    for bound in (lambda x: predictable_mixture(x, 0.05), lambda x: conjugate_mixture(x, 0.05, v_opt=1.0)):
        with pytest.raises(ContractError, match=rf"scores must be in \[0, 1\], got {value}"):
            bound(np.array([0.5, value]))


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_a_level_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ContractError, match=r"alpha must be in \(0, 1\)"):
        predictable_mixture(np.array([0.5]), alpha)
    with pytest.raises(ContractError, match="alpha"):
        mixture_boundary(np.array([1.0]), alpha, v_opt=1.0)
