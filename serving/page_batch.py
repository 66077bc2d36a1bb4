"""Requests as arrays: a decision for each title of their pages, and every vector as it is logged.

Pages that wait at the same moment are laid end to end, so that one operation on an array serves them all; what a page
says is the same as if it were alone, to the last bit. What must be Python's own, ids and numbers that go into the log
as they came, stays with each page.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import accumulate, chain

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from models.batch import Batch, Keys
from models.context import context_matrix
from models.decision import RequestContext
from models.identity import hash64, keys_of
from models.jit import INTEGERS, jitted
from models.kernel import N_OWN, KernelPages
from models.layout import CONTEXT, CONTEXT_PART, FAMILIARITY, FAMILIARITY_PART, PROFILE_PART, SHARED, TITLE_PART
from models.linear import bounded
from serving.candidate import UNKNOWN_ROW, Candidates
from serving.catalogue_index import CatalogueIndex, microseconds
from serving.features import ProfileFeatures, Vectors, familiarity_of_pages
from serving.request import AskedTitle, PageRequest

_PLACES = [CONTEXT_PART.start + CONTEXT.index(name) for name in ("row", "column", "score")]
_N_FAMILIARITY = len(FAMILIARITY)


class AskedPage(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One page of a batch.

    Args:
        request, context, profile, index: what the page is made of.
        title_ids, rows, columns, scores: of its titles, as asked for.
        title_rows: its titles' rows in the index.
        special: by place, the candidates of those titles that have others than all of their artworks.
    """

    request: PageRequest
    context: RequestContext
    profile: ProfileFeatures | None
    index: CatalogueIndex
    title_ids: tuple[str, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    scores: tuple[float, ...]
    title_rows: list[int]
    special: dict[int, Candidates]

    @property
    def found(self) -> list[Candidates]:
        """Its titles' candidates."""
        titles, special = self.index.titles, self.special
        return [
            special[place] if place in special else titles[title_id].whole
            for place, title_id in enumerate(self.title_ids)
        ]

    @property
    def lines(self) -> list[msgspec.Raw]:
        """The ids of its titles' candidates, as the JSON that goes to the log."""
        known, special = self.index.lines, self.special
        if not special:
            return [known[row] for row in self.title_rows]
        return [special[place].line if place in special else known[row] for place, row in enumerate(self.title_rows)]

    @property
    def is_own(self) -> bool:
        """Whether a kernel can score it: every candidate is one of its title's own artworks."""
        return all(each.is_own for each in self.special.values())


class PageBatch(msgspec.Struct, frozen=True, eq=False, gc=False):
    """P pages of n titles in all with m candidates, which share a moment and a catalogue.

    Args:
        pages: the P pages.
        bounds: P + 1 numbers, rising: titles `bounds[p]:bounds[p + 1]` are those of page p.
        index: the catalogue.
        counts, offsets, owner, rows: `(n,)`, `(n + 1,)`, `(m,)` and `(m,)`: the candidates as `models.batch` and as
            rows of the index.
        page_of: `(n,)`, the page of each title.
        title_rows: `(n,)` rows of the titles in the index.
        profile_keys, title_keys, artwork_keys: `(n,)`, `(n,)` and `(m,)`.
        own: `(n, N_OWN)` float32, the columns `models.kernel.OWN_COLUMNS`.
    """

    pages: list[AskedPage]
    bounds: list[int]
    index: CatalogueIndex
    counts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    owner: NDArray[np.int64]
    rows: NDArray[np.int64]
    page_of: NDArray[np.int64]
    title_rows: NDArray[np.int64]
    profile_keys: Keys
    title_keys: Keys
    artwork_keys: Keys
    own: Vectors

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def found(self) -> list[Candidates]:
        """The n titles' candidates."""
        return [each for page in self.pages for each in page.found]

    @property
    def batch(self) -> Batch:
        """The pages as any policy sees them; made anew each time."""
        shared = self._common().take(self.page_of, axis=0)
        shared[:, TITLE_PART] = self.index.title_vectors[self.title_rows]
        shared[:, FAMILIARITY_PART] = self.own[:, :_N_FAMILIARITY]
        shared[:, _PLACES] = self.own[:, _N_FAMILIARITY:]
        return Batch(
            offsets=self.offsets,
            profile_keys=self.profile_keys,
            title_keys=self.title_keys,
            artwork_keys=self.artwork_keys,
            shared=shared,
            artworks=self.index.artwork_vectors[self.rows],
        )

    @property
    def kernel_pages(self) -> KernelPages | None:
        """The pages as a kernel sees them; None where one of them is not for a kernel."""
        if not all([page.is_own for page in self.pages]):  # noqa: C419 - a list is quicker than a generator
            return None
        return KernelPages(
            rows=self.rows,
            offsets=self.offsets,
            counts=self.counts,
            owner=self.owner,
            page_of=self.page_of,
            common=bounded(self._common()).astype(np.float64),
            own=bounded(self.own).astype(np.float64),
            title_rows=self.title_rows,
            title_vectors=self.index.titles_bounded,
        )

    def features_of(self, chosen: NDArray[np.int64]) -> Vectors:
        """Give the vectors as logged, of title, familiarity and chosen artwork, for `(n,)` rows of candidates."""
        titles = self.index.title_vectors.take(self.title_rows, axis=0)
        artworks = self.index.artwork_vectors.take(self.rows[chosen], axis=0)
        return np.concatenate((titles, self.own[:, :_N_FAMILIARITY], artworks), axis=1).astype("<f4", copy=False)

    def _common(self) -> Vectors:
        """Give what all titles of a page share, `(P, len(SHARED))`; zeros in every other part."""
        common = np.zeros((len(self.pages), len(SHARED)), dtype=np.float32)
        for row, page in zip(common, self.pages, strict=True):
            if page.profile is not None:
                row[PROFILE_PART] = page.profile.vector
            row[CONTEXT_PART] = _context_vector(page.context)
        return common


def build_page_batch(
    asked: Sequence[tuple[PageRequest, ProfileFeatures | None]], index: CatalogueIndex, at: datetime
) -> PageBatch:
    """Gather the candidates and vectors of pages from the index; zeros for whatever is not known.

    Args: asked, at least one page, each with its profile's row; at, aware UTC, the moment that all are decided at.
    """
    at_us = microseconds(at)
    pages = [_asked(request, profile, index, at) for request, profile in asked]
    sizes = [len(page.title_ids) for page in pages]
    bounds, page_of = [0, *accumulate(sizes)], np.arange(len(pages)).repeat(sizes)
    title_rows = np.fromiter(chain.from_iterable([page.title_rows for page in pages]), np.int64, bounds[-1])
    special = _special(pages, bounds, index.open_from_us.take(title_rows) > at_us, index, at_us)
    counts, firsts = index.sizes.take(title_rows), index.firsts.take(title_rows)
    for title, each in special.items():
        counts[title] = len(each.actions)
    offsets, owner, rows = _laid_out(firsts, counts)
    for title, each in special.items():
        rows[offsets[title] : offsets[title + 1]] = each.rows
    title_keys, artwork_keys = index.title_keys.take(title_rows), index.artwork_keys.take(rows)
    for title, each in special.items():
        if title_rows[title] == UNKNOWN_ROW:
            page = int(page_of[title])
            title_keys[title] = hash64(pages[page].title_ids[title - bounds[page]])
        unknown = np.flatnonzero(each.rows == UNKNOWN_ROW)
        artwork_keys[offsets[title] + unknown] = keys_of(each.actions[place] for place in unknown.tolist())
    return PageBatch(
        pages=pages,
        bounds=bounds,
        index=index,
        counts=counts,
        offsets=offsets,
        owner=owner,
        rows=rows,
        page_of=page_of,
        title_rows=title_rows,
        profile_keys=keys_of(request.profile_id for request, _ in asked).take(page_of),
        title_keys=title_keys,
        artwork_keys=artwork_keys,
        own=_own(pages, bounds, title_keys),
    )


def _asked(request: PageRequest, profile: ProfileFeatures | None, index: CatalogueIndex, at: datetime) -> AskedPage:
    # No loop where there need be none: these lines are the most that Python itself does for a page.
    try:
        asked = list(map(astuple, request.titles))  # type: ignore[arg-type] # the error is what is asked for
    except TypeError:  # some are ids alone
        asked = [astuple(AskedTitle(title_id=title) if isinstance(title, str) else title) for title in request.titles]
    title_ids, named, scores, rows, columns = zip(*asked, strict=True)
    if None in scores:
        scores = tuple(0.0 if score is None else score for score in scores)
    if None in rows:
        rows = tuple(row or 0 for row in rows)
    if None in columns:
        columns = tuple(place if column is None else column for place, column in enumerate(columns))
    row_of = index.title_row.get
    title_rows = [row_of(title_id, UNKNOWN_ROW) for title_id in title_ids]
    special = {}
    if any(named):
        viewer = request.context.country, request.context.maturity_limit
        special = {
            place: index.named(title_ids[place], names, *viewer)
            for place, names in enumerate(named)
            if names is not None
        }
    return AskedPage(
        request, request.context.at(at), profile, index, title_ids, rows, columns, scores, title_rows, special
    )


def _special(
    pages: Sequence[AskedPage],
    bounds: Sequence[int],
    is_closed: NDArray[np.bool_],
    index: CatalogueIndex,
    at_us: int,
) -> dict[int, Candidates]:
    """Find the candidates of titles that are asked for by artwork, or not open to everybody: by title of the batch."""
    for title in is_closed.nonzero()[0].tolist():
        page = bisect_right(bounds, title) - 1
        within, place = pages[page], title - bounds[page]
        if place not in within.special:
            country, limit = within.context.country.upper(), within.request.context.maturity_limit
            within.special[place] = index.candidates(within.title_ids[place], at_us, country, limit)
    return {
        first + place: each for page, first in zip(pages, bounds, strict=False) for place, each in page.special.items()
    }


def _own(pages: Sequence[AskedPage], bounds: Sequence[int], title_keys: Keys) -> Vectors:
    own = np.empty((len(title_keys), N_OWN), dtype=np.float32)
    own[:, :_N_FAMILIARITY] = familiarity_of_pages([page.profile for page in pages], bounds, title_keys)
    for column, numbers in enumerate(([page.rows for page in pages], [page.columns for page in pages])):
        places = np.fromiter(chain.from_iterable(numbers), dtype=np.float64, count=len(title_keys))
        own[:, _N_FAMILIARITY + column] = np.log1p(places)
    scores = chain.from_iterable([page.scores for page in pages])
    own[:, _N_FAMILIARITY + 2] = np.fromiter(scores, dtype=np.float64, count=len(title_keys))
    return own


@lru_cache(maxsize=4096)
def _context_vector(context: RequestContext) -> Vectors:
    """Encode what all titles of a page share; the same vector serves every request with the same words."""
    vector: Vectors = context_matrix(
        device=(context.device,),
        country=(context.country,),
        language=(context.language,),
        local_hour=(context.local_hour or 0,),
        day_of_week=(context.day_of_week or 0,),
        row=(0,),
        column=(0,),
        score=(0.0,),
    )[0]
    return vector


@jitted(INTEGERS, INTEGERS)
def _laid_out(
    firsts: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Lay titles' candidates end to end, each title's rows rising from its first: offsets, owner and rows."""
    offsets = np.zeros(counts.size + 1, dtype=np.int64)
    for title in range(counts.size):
        offsets[title + 1] = offsets[title] + counts[title]
    owner, rows = np.empty(offsets[-1], dtype=np.int64), np.empty(offsets[-1], dtype=np.int64)
    for title in range(counts.size):
        for place in range(counts[title]):
            owner[offsets[title] + place], rows[offsets[title] + place] = title, firsts[title] + place
    return offsets, owner, rows
