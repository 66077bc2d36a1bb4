"""Regret is what the oracle would have earned more, exactly; recovery counts days from the change."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import regret
from benchmarks.regret import Course, Size, course_of, days_to_recover, figures_of
from models.candidate import candidate

SIZE = Size(n_profiles=40, n_pages_a_day=40, n_days=8, change_day=6)


def course(value: list[float]) -> Course:
    n = len(value)
    return Course(np.array(value), np.full(n, 0.2), np.full(n, 0.3))


def test_the_oracle_has_no_regret_and_uniform_all_there_is() -> None:
    figures = figures_of({"oracle": [course([0.3] * 8)], "uniform": [course([0.2] * 8)]}, SIZE)
    assert figures["regret_oracle"] == 0.0
    assert figures["regret_uniform"] == pytest.approx(100.0)  # 0.1 of each of 1,000 decisions
    assert figures["regret_uniform_day_4"] == pytest.approx(50.0)
    assert figures["lift_share_oracle"] == pytest.approx(1.0)
    assert figures["lift_share_uniform"] == pytest.approx(0.0)


def test_recovery_counts_full_days_after_the_change() -> None:
    before = [0.5] * 5
    assert days_to_recover(np.array([*before, 0.46, 0.1]), 5) == 0
    assert days_to_recover(np.array([*before, 0.1, 0.2, 0.45, 0.6]), 5) == 2
    assert days_to_recover(np.array([*before, 0.1, 0.2]), 5) == 2


def test_a_loop_is_exact_begins_uniform_and_is_the_same_again() -> None:
    first, again = (course_of(candidate("best-artwork"), 2, SIZE) for _ in range(2))
    assert np.array_equal(first.value, again.value)
    assert first.value[0] == pytest.approx(first.uniform[0])
    assert (first.value <= first.oracle).all()
    assert (first.value[3:] > first.uniform[3:]).mean() > 0.5


def test_uniform_has_the_value_of_uniform_on_every_day_and_taste_changes_on_the_day_it_should() -> None:
    changed = course_of(candidate("uniform"), 2, SIZE)
    assert changed.value == pytest.approx(changed.uniform)
    steady = course_of(candidate("uniform"), 2, replace(SIZE, change_day=7))
    assert np.array_equal(changed.oracle[:6], steady.oracle[:6])
    assert changed.oracle[6] != steady.oracle[6]


def test_the_plot_has_a_line_for_each_policy() -> None:
    figures = figures_of({"uniform": [course([0.2] * 8)], "vw-squarecb": [course([0.25] * 8)]}, SIZE)
    drawn = ElementTree.fromstring(regret.plot(figures))
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
