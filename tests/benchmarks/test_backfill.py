"""A messy log's tables do not depend on the order in which its intervals are built, nor on who else builds them."""

from pathlib import Path

import pytest

from benchmarks.backfill import measure


@pytest.mark.slow
def test_days_built_in_random_order_and_by_two_processes_at_once_are_the_same(tmp_path: Path) -> None:
    found = measure(tmp_path, n_days=3)
    assert found["tables_that_differ"] == 0
    # Lake, views, their histograms, states and the note.
    assert found["n_tables"] == 3 * (5 + 4 + 4 + 4 + 1)
