"""A few of the archive's tests go the whole way: each impression is a decision, and each has its reward."""

from math import isfinite
from pathlib import Path

import pytest

from benchmarks.upworthy_full import measure


@pytest.mark.slow
def test_every_impression_of_the_first_tests_is_rewarded_and_evaluated(tmp_path: Path, shared_data: Path) -> None:
    figures = measure(tmp_path, 4_000)
    assert 4_000 <= int(figures["n_impressions"]) < 40_000
    assert figures["n_rewards"] == figures["n_impressions"]
    assert isfinite(float(figures["lift_best_artwork"]))
    assert float(figures["peak_gib"]) < 4
