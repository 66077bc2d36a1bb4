"""The distribution of every column of a feature view's rows, in bounded histograms: as small for a billion rows."""

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.layout import ARTWORK, PROFILE, TITLE
from models.vector import LIMIT, log_scaled
from pipelines.column import matrix, numbers

N_FINE = 120
"""Bins over [−3, 3], where every vector lies, after one for exactly 0: what is not known is not a small number."""

_LAYOUTS = {"profile_taste": PROFILE, "title_profile": TITLE, "artwork_profile": ARTWORK}


class Histograms(msgspec.Struct, frozen=True):
    """One interval of one view: rows, and by column `(1 + N_FINE,)` counts of values."""

    n_rows: int
    counts: dict[str, list[int]]


def histograms(view: str, rows: pa.Table) -> Histograms:
    """Count a view's rows into the histograms of its columns.

    Vectors count by the names of their layout. Minutes and numbers enter as log1p(x) / 3 and fractions three times as
    large, so that each uses its bins.
    """
    counts = {name: counted(values) for name, values in _columns(view, rows)}
    return Histograms(len(rows), {name: found.tolist() for name, found in counts.items()})


def counted(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count values, `(n,)`, into 0 and the fine bins; what lies outside counts in the outermost."""
    place = np.floor((np.clip(values, -LIMIT, LIMIT) + LIMIT) * (N_FINE / (2 * LIMIT))).astype(np.int64)
    bins = np.where(values == 0.0, 0, 1 + np.minimum(place, N_FINE - 1))
    return np.bincount(bins, minlength=1 + N_FINE)


def in_order(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bring the bin of exactly 0 to its place between the negative and the positive ones."""
    middle = 1 + N_FINE // 2
    return np.concatenate((counts[1:middle], counts[:1], counts[middle:]))


def _columns(view: str, rows: pa.Table) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for name in rows.schema.names[1:]:
        kind = rows.schema.field(name).type
        if name == "vector":
            layout = _LAYOUTS[view]
            values = matrix(rows[name], len(layout)).astype(np.float64)
            yield from ((column, values[:, place]) for place, column in enumerate(layout))
        elif name == "take_fraction":
            yield name, numbers(rows[name]) * LIMIT
        elif pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
            yield name, log_scaled(numbers(rows[name].combine_chunks().flatten()))
        elif pa.types.is_integer(kind):
            yield name, log_scaled(numbers(rows[name]))


def merged(found: list[Histograms]) -> Mapping[str, NDArray[np.int64]]:
    """Add up several intervals' histograms, by column."""
    total: dict[str, NDArray[np.int64]] = {}
    for one in found:
        for name, counts in one.counts.items():
            total[name] = total.get(name, np.zeros(1 + N_FINE, np.int64)) + np.asarray(counts, np.int64)
    return total
