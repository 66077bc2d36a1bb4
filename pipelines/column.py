"""Arrow columns as NumPy arrays and back: the few moves that the steps need."""

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.batch import Keys
from models.identity import keys_of
from models.interval import Interval

TIME = pa.timestamp("us", tz="UTC")

Column: TypeAlias = "pa.ChunkedArray | pa.Array"


def places(values: Column, among: Column) -> NDArray[np.int64]:
    """Find each value's place among unique values, −1 where it is not there: `(n,)`."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found, dtype=np.int64)


def signed_keys(ids: Column) -> pa.Array:
    """Hash ids to 64-bit keys, as the signed numbers that Feast can hold; each distinct id is hashed once."""
    distinct = ids.unique()
    keys = keys_of(distinct.to_pylist()).view(np.int64)
    return pa.array(keys[places(ids, distinct)] if len(ids) else keys)


def unsigned_keys(ids: Column) -> Keys:
    """Hash ids to 64-bit keys, each distinct id once: `(n,)`."""
    return np.asarray(signed_keys(ids).to_numpy()).view(np.uint64)


def sorted_unique(ids: Column) -> pa.Array:
    """List the distinct values, sorted."""
    unique = ids.unique()
    return unique.take(pc.array_sort_indices(unique))


def matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.generic]:
    """View a column of lists of `width` numbers as `(n, width)`."""
    return np.asarray(column.combine_chunks().flatten()).reshape(-1, width)


def lists(values: NDArray[np.generic], item: pa.DataType) -> pa.Array:
    """Make a column of fixed-size lists from the rows of `(n, width)`."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), item), values.shape[1])


def numbers(column: Column) -> NDArray[np.float64]:
    """View a column as `(n,)` float64."""
    return np.asarray(column, dtype=np.float64)


def times(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """View a column of UTC microseconds as `(n,)` datetime64[us]."""
    return np.asarray(column.cast(pa.int64()), dtype=np.int64).view("datetime64[us]")


def intervals_of(moments: NDArray[np.datetime64], hours: float) -> list[Interval]:
    """List, in order, the intervals of `hours` that hold any of the moments, datetime64[us] UTC."""
    length = round(hours * 3_600_000_000)
    starts = np.unique(moments.astype("datetime64[us]").astype(np.int64) // length) * length
    return [Interval.containing(start, hours) for start in pa.array(starts).cast(TIME).to_pylist()]
