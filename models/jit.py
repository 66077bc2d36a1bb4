"""Loops over candidates, compiled: one pass where array operations would make a dozen.

A page has a few hundred candidates. Of that few, calling NumPy costs more than its arithmetic does, and each array made
on the way drives others out of the processor's cache.

A loop is compiled when its module is imported, and kept beside it for the next process (or in `NUMBA_CACHE_DIR`). It
adds in the order in which it is written, on every machine: nothing hangs on what else is scored with a page.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from numba import njit, types
from numba.extending import register_jitable

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def _array(kind: Any, n_dimensions: int) -> Any:
    # Of an array that may not be written to, and of any other: loops write only to what they make.
    return types.Array(kind, n_dimensions, "C", readonly=True)


FLOATS: Final = _array(types.float64, 1)
MATRIX: Final = _array(types.float64, 2)
SINGLE_MATRIX: Final = _array(types.float32, 2)
INTEGERS: Final = _array(types.int64, 1)
KEYS: Final = _array(types.uint64, 1)
NUMBER: Final = types.float64


def jitted(*takes: Any) -> Callable[[_Loop], _Loop]:
    """Compile a loop for arguments of these types: contiguous arrays, or it raises TypeError."""

    def compile_it(loop: _Loop) -> _Loop:
        made: _Loop
        try:
            made = njit(takes, cache=True, error_model="numpy", boundscheck=True)(loop)
        except Exception:
            # The boundary to the folder of kept loops: there may be none, a full disk, or a file that a power cut
            # emptied. Each process compiles anew then; what is wrong with the loop itself is raised again.
            made = njit(takes, error_model="numpy", boundscheck=True)(loop)
        return made

    return compile_it


def inlined(function: _Loop) -> _Loop:
    """Let compiled loops call a function of numbers; everybody else calls it as it is, with arrays too."""
    made: _Loop = register_jitable(function)
    return made
