"""All vectors of a view, out of a store that keeps packed rows: most are as they were at the last reading.

A scorer reads a hundred thousand rows every half minute, beside its pages. To compare a row with the last one costs a
fraction of taking it apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import structlog

from models.error import ContractError
from serving.features import KnownVectors, Vectors
from serving.pace import rest
from serving.packed_row import NEVER, stamps, unpack_arrays

_CHUNK: Final = 1_000
"""Rows read in one call, and compared."""

_log = structlog.get_logger(__name__)

_Rows = list[bytes | None]


class Refusals:
    """Counts rows that count as missing because they break their contract, and tells of them in one line."""

    def __init__(self) -> None:
        self.n = 0
        self._first = ""

    def add(self, error: ContractError) -> None:
        """Count a row; args: error, which names it."""
        self._first = self._first or str(error)
        self.n += 1

    def tell(self) -> None:
        """Log how many there are, and what is wrong with the first."""
        if self.n:
            _log.warning("rows refused, served as zeros", n_rows=self.n, first=self._first)


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """Rows as they were read; their vectors, `(n, width)`, and when the newest was known, microseconds since 1970.

    `n_refused` of them count as missing.
    """

    rows: _Rows
    vectors: Vectors
    known_us: int
    n_refused: int


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What was read last: the ids, their keys in the store, and chunks by the place of their first id."""

    ids: list[str] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    chunks: dict[int, _Chunk] = field(default_factory=dict)


class BulkVectors:
    """Reads one view.

    Args: width, of a vector; spell, gives the store's key of an id; read, gives the rows of keys, in their order, and
    may raise whatever the store's client does.
    """

    def __init__(self, width: int, spell: Callable[[str], bytes], read: Callable[[list[bytes]], _Rows]) -> None:
        self._width = width
        self._spell = spell
        self._read = read
        self._last = _Reading()

    def read(self, ids: Sequence[str]) -> KnownVectors:
        """Read `(n, width)` vectors; zeros where there is no row, or none with a vector.

        A row that is not in the layout, or whose vector has another width, counts as missing: it is one of many, and
        the others are not to blame. It is logged when it is first read.
        """
        last, asked = self._last, list(ids)
        now = _Reading(asked, self._keys(last, asked))
        out = np.zeros((len(asked), self._width), dtype=np.float32)
        for first in range(0, len(asked), _CHUNK):
            part = slice(first, first + _CHUNK)
            rows = self._read(now.keys[part])
            chunk = last.chunks.get(first)
            if chunk is None or chunk.rows != rows:
                chunk = self._taken_apart(rows, asked[part])
            now.chunks[first] = chunk
            out[part] = chunk.vectors
            rest()
        self._last = now
        known_us = max((chunk.known_us for chunk in now.chunks.values()), default=NEVER)
        n_refused = sum(chunk.n_refused for chunk in now.chunks.values())
        return KnownVectors(out, None if known_us == NEVER else known_us, n_refused)

    def _keys(self, last: _Reading, ids: list[str]) -> list[bytes]:
        if ids == last.ids:
            return last.keys
        known, keys = dict(zip(last.ids, last.keys, strict=True)), []
        for name in ids:
            keys.append(known.get(name) or self._spell(name))
            rest()
        return keys

    def _taken_apart(self, rows: _Rows, ids: list[str]) -> _Chunk:
        vectors, known_us = np.zeros((len(rows), self._width), dtype=np.float32), NEVER
        refused = Refusals()
        for place, row in enumerate(rows):
            try:
                vector = None if row is None else unpack_arrays(row, ids[place]).get("vector")
                if row is None or vector is None:
                    continue
                vectors[place] = checked(vector, self._width, ids[place])
            except ContractError as error:
                refused.add(error)
                continue
            known_us = max(known_us, stamps(row)[0])
            rest()
        refused.tell()
        return _Chunk(rows, vectors, known_us, refused.n)


def checked(vector: Vectors, width: int, whose: str) -> Vectors:
    """Give the vector back.

    Raises:
        ContractError: naming whose it is, if it has another width.
    """
    if vector.shape != (width,):
        raise ContractError(f"the vector of {whose!r} must have {width} values, got {vector.size}")
    return vector
