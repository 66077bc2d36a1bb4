"""The same work for many seeds, in two processes: always seeds 0, 1, 2 …, each once, results in their order."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import numpy as np

from evaluation.interval import quantile
from models.batch import Floats

T = TypeVar("T")

N_PROCESSES = 2
_Z = quantile(0.975)


def over_seeds(work: Callable[[int], T], n_seeds: int) -> list[T]:
    """Do the work for seeds 0 to `n_seeds` − 1. Args: work, a function of a module, or a partial of one."""
    with ProcessPoolExecutor(N_PROCESSES, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, range(n_seeds)))


def half_width(values: Floats) -> float:
    """Give half of the 95 % interval of the mean of `(n,)` seeds' values; 0 for one seed."""
    return _Z * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
