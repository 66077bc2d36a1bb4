"""Kernels of the bilinear shapes: one linear policy, and several that vote.

With the features of a decision in three parts, u of the page, t of the title and o of the title on this page,

    score(a) = [constant + u·shared_weights] + w·x + o·(cross_o x + shared_weights_o) + term(a),   w = crossᵀ u

where x is the artwork's vector and the term holds all that title and artwork say together. A table row is
(cross_o x + shared_weights_o, term), beside x, bounded, in the float32 that it came in: half the bytes to be
fetched for it, and the same products.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.ensemble import EnsemblePolicy
from models.exploration import Exploration
from models.jit import FLOATS, INTEGERS, MATRIX, SINGLE_MATRIX, jitted
from models.kernel import OWN_COLUMNS, ArtworkTable, KernelPages
from models.layout import ARTWORK, TITLE_PART
from models.linear import LinearPolicy, bounded

_N: Final = len(ARTWORK)
_OWN: Final = list(OWN_COLUMNS)


class LinearKernel:
    """A linear policy over a table."""

    def __init__(self, policy: LinearPolicy, table: ArtworkTable) -> None:
        self.exploration: Exploration = policy.exploration
        own, term = _said(policy, table)
        self._vectors = np.ascontiguousarray(bounded(table.vectors), dtype=np.float32)
        self._said = np.concatenate([own, term[:, None]], axis=1)
        self._constant = policy.constant
        self._shared_weights = policy.shared_weights.astype(np.float64)
        self._cross = np.ascontiguousarray(policy.cross.T.astype(np.float64))

    def scores(self, pages: KernelPages) -> Floats:
        """Score the pages' m candidates: `(m,)`."""
        weights = np.ascontiguousarray(np.einsum("as,ps->pa", self._cross, pages.common))
        each = self._constant + np.einsum("ps,s->p", pages.common, self._shared_weights)
        own = np.ascontiguousarray(pages.own)
        return _scores(self._vectors, self._said, pages.rows, pages.offsets, pages.page_of, weights, own, each)


class EnsembleKernel:
    """M linear policies over a table, which vote."""

    def __init__(self, policy: EnsemblePolicy, table: ArtworkTable) -> None:
        self.exploration: Exploration = policy.exploration
        said = [_said(member, table) for member in policy.members]
        self._vectors = bounded(table.vectors).astype(np.float64)
        self._own = np.stack([own for own, _ in said], axis=1)
        self._term = np.stack([term for _, term in said], axis=1)
        self._constant = np.array([member.constant for member in policy.members])
        self._shared_weights = np.stack([member.shared_weights.astype(np.float64) for member in policy.members])
        self._cross = np.concatenate([member.cross.T.astype(np.float64) for member in policy.members])

    def scores(self, pages: KernelPages) -> Floats:
        """Score the pages' m candidates by each member: `(M, m)`."""
        n_members, n_pages = len(self._constant), len(pages.common)
        weights = np.einsum("cs,ps->pc", self._cross, pages.common).reshape(n_pages, n_members, _N)
        each = self._constant + np.einsum("ks,ps->pk", self._shared_weights, pages.common)
        vectors, own = self._vectors.take(pages.rows, axis=0), pages.own.take(pages.owner, axis=0)
        said = self._own.take(pages.rows, axis=0)
        scores = np.empty((n_members, len(pages.rows)))
        for page, (first, stop) in enumerate(pages.bounds()):  # a page's weights stay where they are for all its rows
            part = slice(first, stop)
            scores[:, part] = np.einsum("ka,ma->km", weights[page], vectors[part])
            scores[:, part] += np.einsum("mko,mo->km", said[part], own[part])
            scores[:, part] += each[page][:, None]
        scores += self._term.take(pages.rows, axis=0).T
        return scores


def _said(policy: LinearPolicy, table: ArtworkTable) -> tuple[Floats, Floats]:
    """Give what a policy says of each artwork by the columns of `OWN_COLUMNS`, `(A, N_OWN)`, and its terms, `(A,)`."""
    vectors = bounded(table.vectors).astype(np.float64)
    titles = bounded(table.title_vectors).astype(np.float64)
    cross, shared_weights = policy.cross.astype(np.float64), policy.shared_weights.astype(np.float64)
    term = titles @ shared_weights[TITLE_PART] + vectors @ policy.artwork_weights.astype(np.float64)
    term += np.einsum("ma,ma->m", titles @ cross[TITLE_PART], vectors)
    return vectors @ cross[_OWN].T + shared_weights[_OWN], term + policy.bias_of(table.keys)


@jitted(SINGLE_MATRIX, MATRIX, INTEGERS, INTEGERS, INTEGERS, MATRIX, MATRIX, FLOATS)
def _scores(
    vectors: NDArray[np.float32],
    said: Floats,
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    page_of: NDArray[np.int64],
    weights: Floats,
    own: Floats,
    each: Floats,
) -> Floats:
    """Add up vectors times the weights of their page, and what is said times their title's own columns: `(m,)`."""
    scores, n_artwork, n_own = np.empty(rows.size), weights.shape[1], own.shape[1]
    for title in range(page_of.size):
        page = page_of[title]
        for candidate in range(offsets[title], offsets[title + 1]):
            row, score = rows[candidate], 0.0  # a row of -1 is the last one
            for place in range(n_artwork):
                score += np.float64(vectors[row, place]) * weights[page, place]
            for place in range(n_own):
                score += said[row, place] * own[title, place]
            scores[candidate] = score + said[row, n_own] + each[page]
    return scores
