"""One request as arrays: a decision for each title, its candidates end to end, and every vector as it is logged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Keys
from models.context import context_matrix
from models.decision import RequestContext
from models.identity import hash64
from models.kernel import N_OWN, KernelPages
from models.layout import CONTEXT, CONTEXT_PART, FAMILIARITY, FAMILIARITY_PART, PROFILE_PART, SHARED, TITLE_PART
from models.linear import bounded
from serving.candidate import UNKNOWN_ROW, Candidates
from serving.catalogue_index import CatalogueIndex, microseconds
from serving.features import ProfileFeatures, Vectors, familiarity_matrix
from serving.request import PageRequest

_PLACES = [CONTEXT_PART.start + CONTEXT.index(name) for name in ("row", "column", "score")]
_N_FAMILIARITY = len(FAMILIARITY)


@dataclass(frozen=True, slots=True, eq=False)
class PageBatch:
    """n titles with m candidates.

    Args:
        request, context, profile, index: what the page is made of.
        title_ids, page_rows, page_columns, scores: of the n titles, as asked for.
        found: the n titles' candidates.
        counts, offsets, owner, rows: `(n,)`, `(n + 1,)`, `(m,)` and `(m,)`: the candidates as `models.batch` and as
            rows of the index.
        title_rows: `(n,)` rows of the titles in the index.
        profile_key: 64-bit key of the profile.
        title_keys, artwork_keys: `(n,)` and `(m,)`.
        own: `(n, N_OWN)` float32, the columns `models.kernel.OWN_COLUMNS`.
    """

    request: PageRequest
    context: RequestContext
    profile: ProfileFeatures | None
    index: CatalogueIndex
    title_ids: tuple[str, ...]
    page_rows: tuple[int, ...]
    page_columns: tuple[int, ...]
    scores: tuple[float, ...]
    found: list[Candidates]
    counts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    owner: NDArray[np.int64]
    rows: NDArray[np.int64]
    title_rows: NDArray[np.int64]
    profile_key: int
    title_keys: Keys
    artwork_keys: Keys
    own: Vectors

    def __len__(self) -> int:
        return len(self.found)

    @property
    def profile_keys(self) -> Keys:
        """`(n,)`: the profile's key for each title."""
        return np.full(len(self.found), self.profile_key, dtype=np.uint64)

    @property
    def batch(self) -> Batch:
        """The page as any policy sees it; made anew each time."""
        shared = np.zeros((len(self), len(SHARED)), dtype=np.float32)
        if self.profile is not None:
            shared[:, PROFILE_PART] = self.profile.vector
        shared[:, TITLE_PART] = self.index.title_vectors[self.title_rows]
        shared[:, CONTEXT_PART] = _context_vector(self.context)
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
    def kernel_page(self) -> KernelPages | None:
        """The page as a kernel sees it; None where a candidate is not one of its title's own artworks."""
        if not all([each.is_own for each in self.found]):  # noqa: C419 - a list is quicker than a generator
            return None
        common = np.zeros(len(SHARED), dtype=np.float32)
        if self.profile is not None:
            common[PROFILE_PART] = self.profile.vector
        common[CONTEXT_PART] = _context_vector(self.context)
        return KernelPages(
            rows=self.rows,
            offsets=self.offsets,
            counts=self.counts,
            owner=self.owner,
            common=bounded(common).astype(np.float64),
            own=bounded(self.own).astype(np.float64),
            titles=self.index.titles_bounded.take(self.title_rows, axis=0),
        )

    def features_of(self, chosen: NDArray[np.int64]) -> Vectors:
        """Give the vectors as logged, of title, familiarity and chosen artwork, for `(n,)` rows of candidates."""
        titles = self.index.title_vectors.take(self.title_rows, axis=0)
        artworks = self.index.artwork_vectors.take(self.rows[chosen], axis=0)
        return np.concatenate((titles, self.own[:, :_N_FAMILIARITY], artworks), axis=1).astype("<f4", copy=False)


def build_page_batch(
    request: PageRequest,
    context: RequestContext,
    profile: ProfileFeatures | None,
    index: CatalogueIndex,
    at: datetime,
) -> PageBatch:
    """Gather a page's candidates and vectors from the index; zeros for whatever is not known."""
    at_us, country, limit = microseconds(at), context.country.upper(), request.context.maturity_limit
    # Comprehensions and no loop: these lines are the most that Python itself does for a page.
    asked = [
        (title, None, 0, place, 0.0)
        if isinstance(title, str)
        else (title.title_id, title.artworks, title.row, place if title.column is None else title.column, title.score)
        for place, title in enumerate(request.titles)
    ]
    title_ids, named, page_rows, page_columns, scores = zip(*asked, strict=True)
    found = [
        entry.whole  # as `candidates` would say, for nearly every title
        if names is None and entry is not None and at_us >= entry.all_launched_us and not entry.is_restricted
        else _named(title_id, names, index)
        if names is not None
        else index.candidates(title_id, at_us, country, limit)
        for title_id, names, entry in zip(title_ids, named, map(index.titles.get, title_ids), strict=True)
    ]
    title_rows = np.array([each.title_row for each in found], dtype=np.int64)
    counts = np.array([len(each.actions) for each in found], dtype=np.int64)
    rows = np.concatenate([each.rows for each in found])
    title_keys = index.title_keys.take(title_rows)
    if (title_rows == UNKNOWN_ROW).any():
        title_keys = _known_or_hashed(title_keys, title_rows, title_ids)
    artwork_keys = index.artwork_keys.take(rows)
    if (rows == UNKNOWN_ROW).any():
        artwork_keys = _known_or_hashed(artwork_keys, rows, [name for each in found for name in each.actions])
    offsets = np.zeros(len(found) + 1, dtype=np.int64)
    counts.cumsum(out=offsets[1:])
    return PageBatch(
        request=request,
        context=context,
        profile=profile,
        index=index,
        title_ids=title_ids,
        page_rows=page_rows,
        page_columns=page_columns,
        scores=scores,
        found=found,
        counts=counts,
        offsets=offsets,
        owner=np.arange(len(found)).repeat(counts),
        rows=rows,
        title_rows=title_rows,
        profile_key=hash64(request.profile_id),
        title_keys=title_keys,
        artwork_keys=artwork_keys,
        own=_own(profile, title_keys, page_rows, page_columns, scores),
    )


def _named(title_id: str, artworks: tuple[str, ...], index: CatalogueIndex) -> Candidates:
    """Take the artworks that the request names, whatever the catalogue says."""
    entry = index.titles.get(title_id)
    title_row = UNKNOWN_ROW if entry is None else entry.row
    rows = np.array([index.artwork_row.get(name, UNKNOWN_ROW) for name in artworks], dtype=np.int64)
    is_own = len(rows) == 1 or bool((rows != UNKNOWN_ROW).all() and (index.title_of[rows] == title_row).all())
    return Candidates.of(title_row, rows, artworks, "" if entry is None else entry.default_id, is_own=is_own)


def _known_or_hashed(keys: Keys, rows: NDArray[np.int64], ids: Sequence[str]) -> Keys:
    unknown = np.flatnonzero(rows == UNKNOWN_ROW).tolist()
    keys[unknown] = [hash64(ids[place]) for place in unknown]
    return keys


def _own(
    profile: ProfileFeatures | None,
    title_keys: Keys,
    rows: Sequence[int],
    columns: Sequence[int],
    scores: Sequence[float],
) -> Vectors:
    own = np.empty((len(rows), N_OWN), dtype=np.float32)
    own[:, :_N_FAMILIARITY] = familiarity_matrix(profile, title_keys)
    own[:, _N_FAMILIARITY] = np.log1p(np.array(rows, dtype=np.float64))
    own[:, _N_FAMILIARITY + 1] = np.log1p(np.array(columns, dtype=np.float64))
    own[:, _N_FAMILIARITY + 2] = scores
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
