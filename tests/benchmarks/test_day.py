"""A small day goes through every stage, and each tells its seconds and its memory."""

from pathlib import Path

import pytest

from benchmarks.day import measure

STAGES = ["ingest", "attribution", "features", "materialize", "training_set", "training", "replay", "gate"]


@pytest.mark.slow
def test_a_copied_day_holds_its_decisions_as_often_as_it_was_copied(tmp_path: Path) -> None:
    found = measure(tmp_path, n_decisions=8_000, copied=4_000)
    assert found.n_decisions == 8_000
    assert list(found.stages.seconds) == list(found.stages.peak_mib) == STAGES
    assert min(found.stages.seconds.values()) > 0
    assert 100 < min(found.stages.peak_mib.values()) < 4_096
