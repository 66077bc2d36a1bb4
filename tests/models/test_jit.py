"""Compiled loops: what they take, what they refuse, and where they are kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.draw import segment_argmax
from models.jit import FLOATS, INTEGERS, jitted

_LOOP = (
    "def total(values, rows):\n    found = 0.0\n    for row in rows:\n        found += values[row]\n    return found\n"
)


def made() -> Any:
    """A loop whose source lies in no file, so that no folder is there to keep it in."""
    names: dict[str, Any] = {}
    exec(compile(_LOOP, "<nowhere>", "exec"), names)
    return jitted(FLOATS, INTEGERS)(names["total"])


def test_a_loop_that_can_be_kept_nowhere_is_compiled_all_the_same() -> None:
    assert made()(np.array([1.0, 2.0, 4.0]), np.array([0, 2])) == 5.0


def test_arrays_that_may_not_be_written_to_are_read() -> None:
    values = np.frombuffer(np.array([1.0, 2.0]).tobytes())
    assert not values.flags.writeable
    assert made()(values, np.array([1])) == 2.0


@pytest.mark.parametrize("row", [3, 2**40, -4])
def test_a_row_that_is_not_there_is_an_error_and_no_foreign_memory(row: int) -> None:
    with pytest.raises(IndexError):
        made()(np.zeros(3), np.array([row]))


def test_what_is_not_contiguous_is_refused_and_public_functions_bring_it_in_order() -> None:
    values = np.arange(12.0).reshape(6, 2)[:, 0]
    with pytest.raises(TypeError):
        made()(values, np.array([0]))
    assert segment_argmax(values, np.array([0, 2, 6])).tolist() == [1, 5]


def test_a_kept_loop_that_a_power_cut_emptied_stops_nobody(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    told = [sys.executable, "-c", "from models.draw import segment_argmax"]
    subprocess.run(told, env=environment, check=True)
    for kept in tmp_path.rglob("*.nb[ic]"):
        kept.write_bytes(b"")
    subprocess.run(told, env=environment, check=True)


def test_the_next_process_finds_loops_compiled(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    told = "from models.draw import _noise; print(sum(_noise.stats.cache_hits.values()))"
    hits = [
        subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert hits == ["0\n", "1\n"]
