"""The kernel: a published policy laid out over a catalogue, so that a page is scored in a few steps.

What a policy says of an artwork and of its title is the same for everybody: it is worked out once for the whole
catalogue, a row an artwork. What it says of a profile is the same for all titles of a page: it is worked out once a
page. Left for each candidate are one row gathered and a few dozen products.

A kernel says the same as its policy, to the rounding of float64; `apart` tells by how much. Of a page it says the same
to the last bit, whatever other pages are scored with it: a page that was decided before and one that is decided live
must agree. So sums are made by compiled loops, or by `numpy.einsum` over the last axis, and never by BLAS, whose order
depends on the shapes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats, Keys
from models.exploration import Exploration
from models.layout import CONTEXT, CONTEXT_PART, FAMILIARITY_PART, PROFILE_PART, SHARED, TITLE_PART
from models.linear import bounded

_CONTEXT_OWN: Final = tuple(CONTEXT_PART.start + CONTEXT.index(name) for name in ("row", "column", "score"))
OWN_COLUMNS: Final = (*range(FAMILIARITY_PART.start, FAMILIARITY_PART.stop), *_CONTEXT_OWN)
"""The columns of `SHARED` that a title has of its own on a page: familiarity, place, and the recommender's score."""

N_OWN: Final = len(OWN_COLUMNS)


_MOST_AT_ONCE: Final = 8_192
"""Candidates scored at a time, or one title's: each may have a score of every member, which bounds memory."""


def runs(offsets: NDArray[np.int64], most: int) -> list[int]:
    """Cut titles into runs of some `most` candidates, or one title alone: the first title of each, and their end."""
    firsts = offsets.searchsorted(np.arange(0, offsets[-1], most)).tolist()
    return list(dict.fromkeys([*firsts, len(offsets) - 1]))


@dataclass(frozen=True, slots=True, eq=False)
class ArtworkTable:
    """A artworks, each with its title: what a kernel is laid out over.

    Args: keys `(A,)`; vectors `(A, len(ARTWORK))` and title_vectors `(A, len(TITLE))` float32, a row an artwork.
    """

    keys: Keys
    vectors: NDArray[np.float32]
    title_vectors: NDArray[np.float32]


class KernelPages(msgspec.Struct, frozen=True, eq=False, gc=False):
    """P pages of n titles in all with m candidates, each a row of the table that its title has there.

    Args:
        rows: `(m,)` rows of the table.
        offsets: `(n + 1,)` as in `models.batch.Batch`; counts `(n,)` and owner `(m,)` are made of it.
        page_of: `(n,)` rising, the page of each title: a row of `common`.
        common: `(P, len(SHARED))` float64, bounded: what all titles of a page share; zeros in the title's part and
            `OWN_COLUMNS`.
        own: `(n, N_OWN)` float64, bounded: each title's `OWN_COLUMNS`.
        title_rows, title_vectors: `(n,)` rows of `(T, len(TITLE))` float64, bounded: the titles' own vectors.
    """

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    owner: NDArray[np.int64]
    page_of: NDArray[np.int64]
    common: Floats
    own: Floats
    title_rows: NDArray[np.int64]
    title_vectors: Floats

    @property
    def titles(self) -> Floats:
        """The titles' vectors, `(n, len(TITLE))`; gathered anew each time, as not every kernel looks at them."""
        return self.title_vectors.take(self.title_rows, axis=0)

    def part(self, first: int, stop: int) -> "KernelPages":
        """Give the titles `first:stop` alone, and of pages those that they are on."""
        rows = slice(int(self.offsets[first]), int(self.offsets[stop]))
        pages = slice(int(self.page_of[first]), int(self.page_of[stop - 1]) + 1)
        return KernelPages(
            rows=self.rows[rows],
            offsets=self.offsets[first : stop + 1] - rows.start,
            counts=self.counts[first:stop],
            owner=self.owner[rows] - first,
            page_of=self.page_of[first:stop] - pages.start,
            common=self.common[pages],
            own=self.own[first:stop],
            title_rows=self.title_rows[first:stop],
            title_vectors=self.title_vectors,
        )

    def bounds(self) -> Iterator[tuple[int, int]]:
        """List each page's first candidate and the one after its last."""
        firsts = self.offsets[self.page_of.searchsorted(np.arange(len(self.common) + 1))].tolist()
        return pairwise(firsts)

    @classmethod
    def of(cls, batch: Batch, rows: NDArray[np.int64], page_of: NDArray[np.int64] | None = None) -> "KernelPages":
        """Take pages out of a batch: one, or those of `page_of`, whose decisions each share profile and context.

        Args: rows `(m,)`, the candidates as rows of the table.
        """
        shared = bounded(batch.shared).astype(np.float64)
        pages = np.zeros(len(batch), dtype=np.int64) if page_of is None else page_of
        common = shared[np.unique(pages, return_index=True)[1]]
        common[:, TITLE_PART] = 0.0
        common[:, list(OWN_COLUMNS)] = 0.0
        own = shared[:, list(OWN_COLUMNS)]
        return cls(
            rows=rows,
            offsets=batch.offsets,
            counts=batch.counts,
            owner=batch.owner,
            page_of=pages,
            common=common,
            own=own,
            title_rows=np.arange(len(batch)),
            title_vectors=shared[:, TITLE_PART],
        )


class Kernel(Protocol):
    """A policy over a table: scores for pages, and the rule that turns them into probabilities."""

    @property
    def exploration(self) -> Exploration:
        """The policy's own rule."""
        ...

    def scores(self, pages: KernelPages) -> Floats:
        """Score the pages' m candidates as the policy does: `(m,)`, or `(M, m)` for M members."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPolicy:
    """A kernel with what its exploration rule looks at.

    Args: kernel; is_new, `(A,)`, which artworks the launch budget takes for new; None where there is no such budget.
    """

    kernel: Kernel
    is_new: NDArray[np.bool_] | None

    def probabilities(self, pages: KernelPages) -> Floats:
        """Give the `(m,)` probabilities of the pages' candidates, summing to 1 over each title's."""
        if len(pages.rows) <= _MOST_AT_ONCE:
            return self._probabilities(pages)
        parts = pairwise(runs(pages.offsets, _MOST_AT_ONCE))
        return np.concatenate([self._probabilities(pages.part(first, stop)) for first, stop in parts])

    def _probabilities(self, pages: KernelPages) -> Floats:
        new = None if self.is_new is None else self.is_new[pages.rows]
        return self.kernel.exploration.pmf(self.kernel.scores(pages), pages.offsets, is_new=new)


def random_page(table: ArtworkTable, rows: NDArray[np.int64], counts: NDArray[np.int64], seed: int) -> Batch:
    """Make a page of random profile, context and familiarity whose candidates are `rows` of the table.

    All candidates of a title must be of one title in the table.
    """
    rng = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    shared = np.zeros((len(counts), len(SHARED)), dtype=np.float32)
    shared[:, PROFILE_PART] = rng.normal(size=PROFILE_PART.stop)
    shared[:, CONTEXT_PART] = rng.normal(size=CONTEXT_PART.stop - CONTEXT_PART.start)
    shared[:, list(OWN_COLUMNS)] = rng.normal(size=(len(counts), N_OWN))
    shared[:, TITLE_PART] = table.title_vectors[rows[offsets[:-1]]]
    return Batch(
        offsets=offsets,
        profile_keys=np.zeros(len(counts), dtype=np.uint64),
        title_keys=np.arange(len(counts), dtype=np.uint64),
        artwork_keys=table.keys[rows],
        shared=shared,
        artworks=table.vectors[rows],
    )
