"""What the benchmark of training measures: one log as rows and as text, learned to the same model."""

from pathlib import Path

import numpy as np
from vowpal_wabbit_next import Workspace

from benchmarks import training
from benchmarks.training_log import LogSpec, write_training_log
from pipelines.training_set import Side, iter_training_batches

FIGURES = {
    "n_decisions", "decisions_per_second", "driver_per_second", "driver_full_text_per_second", "driver_share",
    "full_text_share", "text_bytes_per_decision",
}  # fmt: skip


def test_the_log_is_a_training_set_that_taste_explains(tmp_path: Path) -> None:
    uri = write_training_log(tmp_path, LogSpec(3_000, 10))
    (logged,) = iter_training_batches(uri, Side.ALL)
    assert len(logged) == 3_000
    assert (logged.batch.counts == 10).all()
    assert (logged.propensity == 0.1).all()
    matched = np.einsum("na,na->n", logged.batch.shared[:, :24], logged.batch.artworks[logged.chosen, :24])
    assert np.corrcoef(matched, logged.reward)[0, 1] > 0.05
    assert (logged.batch.shared != 0).sum(axis=1).mean() > 30


def test_all_that_is_timed_learns_the_same_weights(tmp_path: Path) -> None:
    figures = training.shares(tmp_path, LogSpec(2_000, 5))
    assert set(figures) == FIGURES
    assert all(value > 0 for value in figures.values())
    models = [tmp_path / "work" / "model.vw", tmp_path / "bare.vw"]
    ours, full = (Workspace(["-t"], model_data=path.read_bytes()).weights()[:, 0, 0].copy() for path in models)
    np.testing.assert_array_equal(ours, full)
    training.drive(tmp_path / "alone.txt", tmp_path)
    alone = Workspace(["-t"], model_data=(tmp_path / "bare.vw").read_bytes()).weights()[:, 0, 0]
    np.testing.assert_array_equal(ours, alone)
    assert (tmp_path / "alone.txt").stat().st_size < (tmp_path / "full.txt").stat().st_size / 1.5


def test_growth_is_told_with_memory(tmp_path: Path) -> None:
    found = training._grown(tmp_path, 2_000)
    assert set(found) == {"seconds", "peak_mib"}
    assert found["seconds"] > 0
    # Mebibytes: a Python with VW in it, and a child's maximum begins with its parent's, here the whole suite's.
    assert 100 < found["peak_mib"] < 4_000
