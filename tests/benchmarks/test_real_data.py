"""The figures about real and golden data are made by the code that evaluates, and hold what the README says of them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import digits, golden, real_logs
from evaluation.evaluation import evaluate
from models.policy import UniformPolicy


@pytest.fixture(autouse=True)
def _data(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARQUEE_SHARED_DATA", str(shared_data))


def test_every_golden_value_is_met(shared_data: Path) -> None:
    apart = list(golden.differences(shared_data / "golden"))
    assert len(apart) == 198
    assert max(apart) < 1e-12


def test_real_logs_are_judged_as_they_deserve() -> None:
    figures = real_logs.run(full=False)
    assert figures["obd_women_verdict"] == "hold"
    assert "effective_sample" in str(figures["obd_women_failed_checks"])
    for name in ("ips", "snips"):
        assert figures[f"obd_men_{name}_error"] == pytest.approx(figures[f"obp_men_{name}_error"])
    assert float(figures["upworthy_flagged_faulty_weeks"]) > 0.9
    # six of 90, of which four are the weeks right before those that the archive's authors name
    assert float(figures["upworthy_flagged_other_weeks"]) < 0.07
    assert float(figures["upworthy_flagged_faulty_weeks_of_1000"]) > 0.4
    assert float(figures["upworthy_flagged_faulty_weeks_of_100"]) < 0.1


def test_the_random_log_gives_uniform_its_click_rate() -> None:
    log, position = real_logs.open_bandit("random", "men")
    found = evaluate({"uniform": UniformPolicy()}, lambda: iter([log]), champion="uniform").policy("uniform")
    assert found.estimates["replay"].value == log.reward.mean()
    assert set(position.tolist()) == {0, 1, 2}


def test_a_draw_of_the_digits_is_a_sound_bandit_log() -> None:
    made = digits.make_digits(3)
    assert made.logging_pmf.sum(axis=1) == pytest.approx(1)
    assert made.target_pmf.sum(axis=1) == pytest.approx(1)
    assert made.logging_pmf.min() == pytest.approx(0.02)
    assert 0.8 < made.truth < 0.92
    errors = digits.relative_errors(3)
    assert errors["dr"] < 0.08
    assert errors == digits.relative_errors(3)
    assert np.isfinite(list(errors.values())).all()
