"""The request context as a vector: the one part that is built from the request, not read from Feast."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.identity import hash64
from models.layout import CONTEXT, DEVICES, N_PLACES

_HOUR_SIN = CONTEXT.index("hour_sin")
_COUNTRY = CONTEXT.index("country:0")
_LANGUAGE = CONTEXT.index("language:0")


def context_matrix(
    *,
    device: Sequence[str],
    country: Sequence[str],
    language: Sequence[str],
    local_hour: ArrayLike,
    day_of_week: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    score: ArrayLike,
) -> NDArray[np.float32]:
    """Encode n request contexts.

    Args: every argument `(n,)`; hours 0–23, days 0–6 from Monday, rows and columns from 0. Empty strings say nothing.

    Returns: `(n, len(CONTEXT))`. Rows and columns enter as log1p, so that far positions stay comparable.
    """
    n = len(device)
    out = np.zeros((n, len(CONTEXT)), dtype=np.float32)
    lines = np.arange(n)
    devices = {name: device_place(name) for name in set(device)}
    out[lines, [devices[name] for name in device]] = 1.0
    hour = np.asarray(local_hour, dtype=np.float64) * (2 * np.pi / 24)
    day = np.asarray(day_of_week, dtype=np.float64) * (2 * np.pi / 7)
    positions = (np.log1p(np.asarray(row, dtype=np.float64)), np.log1p(np.asarray(column, dtype=np.float64)))
    measured = (np.sin(hour), np.cos(hour), np.sin(day), np.cos(day), *positions, np.asarray(score, dtype=np.float64))
    for place, values in enumerate(measured, start=_HOUR_SIN):
        out[:, place] = values
    for names, first in ((country, _COUNTRY), (language, _LANGUAGE)):
        known = np.fromiter((bool(name) for name in names), dtype=bool, count=n)
        places = {name: first + hash64(name.lower()) % N_PLACES for name in set(names)}
        out[lines[known], [places[name] for name in names if name]] = 1.0
    return out


def device_place(name: str) -> int:
    """Find a device's place in `DEVICES`; any unknown one is `other`."""
    folded = name.lower()
    return DEVICES.index(folded) if folded in DEVICES else len(DEVICES) - 1
