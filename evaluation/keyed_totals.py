"""Sums by key over a stream of batches, in memory that the length of the stream does not touch."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.batch import Floats, Keys
from models.draw import mix


@dataclass(frozen=True, slots=True)
class Grouping:
    """The rows of one batch in order of their keys: `keys` `(g,)` sorted and distinct, `starts` where each begins."""

    keys: Keys
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, keys: Keys) -> Self:
        """Group `(n,)` keys; equal keys need not lie together."""
        order = np.argsort(keys, kind="stable")
        in_order = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
        return cls(in_order[starts], order, starts)

    def sums(self, values: Floats) -> Floats:
        """Sum `(n, c)` rows by key: `(g, c)`."""
        # As a product with a matrix of ones: with many small groups five times faster than reduceat.
        n, ends = len(self.order), np.append(self.starts, len(self.order))
        members = csr_array((np.ones(n), self.order, ends), shape=(len(self.starts), n))
        return np.asarray(members @ values, dtype=np.float64)


class KeyedTotals:
    """Column sums of every key seen.

    With `max_keys`, once there are more distinct keys than that, keys are merged at random (by the leading bits of
    their hash) until they fit. Whole keys stay together, so merged groups of profiles are still independent of each
    other: intervals stay valid, only their variance is estimated from fewer, larger groups. Which keys are merged
    depends on the set of keys alone, not on the order or the batches in which they came.
    """

    def __init__(self, n_columns: int, max_keys: int | None = None) -> None:
        self._max_keys = max_keys
        self._shift = 0
        self._keys: Keys = np.zeros(0, dtype=np.uint64)  # sorted
        self._places: NDArray[np.int64] = np.zeros(0, dtype=np.int64)  # of each key in _sums, by first sight
        self._sums: Floats = np.zeros((0, n_columns))  # with room to grow

    @property
    def keys(self) -> Keys:
        """The `(k,)` keys, sorted."""
        return self._keys

    @property
    def sums(self) -> Floats:
        """The `(k, c)` sums, a row for each of `keys`."""
        return self._sums[self._places]

    def key(self, ids: Keys) -> Keys:
        """Turn ids into the keys under which they are summed now."""
        return (mix(ids) if self._max_keys is not None else ids) >> np.uint64(self._shift)

    @property
    def is_merged(self) -> bool:
        """Tell whether a key may stand for more than one id."""
        return self._shift > 0

    def add(self, grouping: Grouping, sums: Floats) -> None:
        """Add the `(g, c)` sums of one batch, grouped by `key` of its ids."""
        self._admit(grouping.keys)
        self._sums[self._places[np.searchsorted(self._keys, grouping.keys)]] += sums
        while self._max_keys is not None and len(self._keys) > self._max_keys:
            self._shift += 1
            merged = Grouping.of(self._keys >> np.uint64(1))
            self._keys, self._sums = merged.keys, merged.sums(self.sums)
            self._places = np.arange(len(self._keys))

    def _admit(self, keys: Keys) -> None:
        """Give sorted, distinct keys that are new a row of zeros each."""
        new = np.setdiff1d(keys, self._keys, assume_unique=True)
        n, n_after = len(self._keys), len(self._keys) + len(new)
        if n_after > len(self._sums):
            grown = np.zeros((max(n_after, 2 * len(self._sums)), self._sums.shape[1]))
            grown[:n] = self._sums[:n]
            self._sums = grown
        where = np.searchsorted(self._keys, new)
        self._keys = np.insert(self._keys, where, new)
        self._places = np.insert(self._places, where, np.arange(n, n_after))


class DistinctCount:
    """How many distinct ids came by: exact up to `N_KEPT`, then by the smallest hashes, to about 1.6 %.

    Source: k minimum values, Bar-Yossef et al. 2002; unbiased form, Beyer et al. 2007.
    """

    N_KEPT = 4096

    def __init__(self) -> None:
        self._smallest: Keys = np.zeros(0, dtype=np.uint64)

    def add(self, ids: Keys) -> None:
        """Count `(n,)` ids, in any order and as often as they like."""
        hashes = mix(ids)
        if len(self._smallest) == self.N_KEPT:
            hashes = hashes[hashes < self._smallest[-1]]
        self._smallest = np.union1d(self._smallest, hashes)[: self.N_KEPT]

    @property
    def value(self) -> int:
        """The count."""
        if len(self._smallest) < self.N_KEPT:
            return len(self._smallest)
        return round((self.N_KEPT - 1) / (float(self._smallest[-1]) / 2.0**64))
