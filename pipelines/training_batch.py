"""A training part's rows as the arrays that policies learn from and are judged by."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.batch import Batch, LoggedBatch
from models.context import context_matrix
from models.error import ContractError
from models.layout import FAMILIARITY, SHARED
from pipelines.column import numbers, places, times, unsigned_keys


def logged_batch(rows: pa.Table, vectors: dict[str, NDArray[np.float32]]) -> LoggedBatch:
    """Build the batch of some of a part's rows.

    Args: rows, `ROWS`; vectors, by view `(v + 1, width)` with zeros last, where a place of −1 points.
    """
    actions = rows["actions"].combine_chunks()
    counts = np.asarray(actions.value_lengths(), dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    flat = actions.flatten()
    familiarity = np.asarray(rows["familiarity"].combine_chunks().flatten(), np.float32).reshape(-1, len(FAMILIARITY))
    shared = np.concatenate(
        [
            vectors["profile_taste"][np.asarray(rows["profile_place"])],
            vectors["title_profile"][np.asarray(rows["title_place"])],
            familiarity,
            _context(rows),
        ],
        axis=1,
    )
    if shared.shape[1] != len(SHARED):
        raise AssertionError(f"shared must have {len(SHARED)} columns, got {shared.shape[1]}")
    artwork_places = np.asarray(rows["artwork_places"].combine_chunks().flatten())
    return LoggedBatch(
        batch=Batch(
            offsets=offsets,
            profile_keys=unsigned_keys(rows["profile_id"]),
            title_keys=unsigned_keys(rows["title_id"]),
            artwork_keys=unsigned_keys(flat),
            shared=shared,
            artworks=vectors["artwork_profile"][artwork_places],
        ),
        chosen=_chosen(rows, flat, offsets),
        propensity=numbers(rows["propensity"]),
        reward=numbers(rows["reward"]),
        decision_ids=_objects(rows["decision_id"]),
        decided_at=times(rows["decided_at"]),
        device=_objects(rows["device"]),
        country=_objects(rows["country"]),
        cell=_objects(rows["cell"]),
        epoch=np.asarray(rows["epoch"], dtype=np.int64),
        title_ids=_objects(rows["title_id"]),
        artwork_ids=_shared_objects(flat),
    )


def _context(rows: pa.Table) -> NDArray[np.float32]:
    return context_matrix(
        device=rows["device"].to_pylist(),
        country=rows["country"].to_pylist(),
        language=rows["language"].to_pylist(),
        local_hour=numbers(rows["local_hour"]),
        day_of_week=numbers(rows["day_of_week"]),
        row=numbers(rows["row"]),
        column=numbers(rows["column"]),
        score=numbers(rows["score"]),
    )


def _chosen(rows: pa.Table, flat: pa.Array, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the chosen artwork among each decision's candidates, as a row of the candidates."""
    distinct = flat.unique()
    is_chosen = places(flat, distinct) == np.repeat(places(rows["artwork_id"], distinct), np.diff(offsets))
    hits = np.flatnonzero(is_chosen)
    owner = np.searchsorted(offsets, hits, side="right") - 1
    if not np.array_equal(owner, np.arange(len(rows))):
        raise ContractError("every decision must have its artwork_id once among its actions")
    return hits


def _shared_objects(values: pa.Array) -> NDArray[np.object_]:
    """Give `(m,)` objects, equal ones once: artworks come in the lists of many decisions."""
    coded = values.dictionary_encode()
    distinct: Any = coded.dictionary.to_numpy(zero_copy_only=False)
    return np.asarray(np.asarray(distinct, dtype=object)[np.asarray(coded.indices)], dtype=object)


def _objects(column: pa.ChunkedArray) -> NDArray[np.object_]:
    values: Any = column.to_numpy()
    return np.asarray(values, dtype=object)
