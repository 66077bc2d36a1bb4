"""Freshness is measured from what a device sends to what a scorer reads, through both processes' own loops."""

import pytest

from benchmarks.faults_torment import free_port
from benchmarks.freshness import from_post_to_row, measure
from pipelines.settings import Settings


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_rows_know_within_seconds_what_was_sent_to_the_scorer(tmp_path) -> None:
    settings = Settings(home=tmp_path, port=free_port())
    steps = measure(settings, n_profiles=2_000, n_rounds=1)
    assert float(steps["step_ms_1"]) > 0
    found = from_post_to_row(settings, n_measured=2)
    for name in ("event_to_row", "page_to_row"):
        assert 0.0 < float(found[f"{name}_p50_seconds"]) <= float(found[f"{name}_max_seconds"]) < 5.0
