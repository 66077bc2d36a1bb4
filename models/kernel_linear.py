"""Kernels of the bilinear shapes: one linear policy, and several that vote.

With the features of a decision in three parts, u of the page, t of the title and o of the title on this page,

    score(a) = [constant + u·shared_weights] + w·x + o·(cross_o x + shared_weights_o) + term(a),   w = crossᵀ u

where x is the artwork's vector and the term holds all that title and artwork say together. A table row is
(x, cross_o x + shared_weights_o, term).
"""

from itertools import pairwise
from typing import Final

import numpy as np

from models.batch import Floats
from models.ensemble import EnsemblePolicy
from models.exploration import Exploration
from models.kernel import N_OWN, OWN_COLUMNS, ArtworkTable, KernelPages, runs
from models.layout import ARTWORK, TITLE_PART
from models.linear import LinearPolicy, bounded

_N: Final = len(ARTWORK)
_RUN: Final = 1_024
"""Candidates whose rows are gathered at a time: of more, they drive all else out of the processor's cache."""

_OWN: Final = list(OWN_COLUMNS)


class LinearKernel:
    """A linear policy over a table."""

    def __init__(self, policy: LinearPolicy, table: ArtworkTable) -> None:
        self.exploration: Exploration = policy.exploration
        own, term = _said(policy, table)
        self._rows = np.concatenate([bounded(table.vectors).astype(np.float64), own, term[:, None]], axis=1)
        self._constant = policy.constant
        self._shared_weights = policy.shared_weights.astype(np.float64)
        self._cross = np.ascontiguousarray(policy.cross.T.astype(np.float64))

    def scores(self, pages: KernelPages) -> Floats:
        """Score the pages' m candidates: `(m,)`."""
        weights = np.empty((len(pages.counts), _N + N_OWN + 1))
        weights[:, :_N] = np.einsum("as,ps->pa", self._cross, pages.common).take(pages.page_of, axis=0)
        weights[:, _N:-1] = pages.own
        weights[:, -1] = 1.0
        each = self._constant + np.einsum("ps,s->p", pages.common, self._shared_weights)
        scores = self._products(weights, pages)
        scores += each.take(pages.page_of).take(pages.owner)
        return scores

    def _products(self, weights: Floats, pages: KernelPages) -> Floats:
        """Multiply each candidate's row by its title's weights: `(m,)`, a run of titles at a time."""
        is_even, offsets, width = pages.is_even, pages.offsets, weights.shape[1]
        scores, space = np.empty(len(pages.rows)), np.empty((0, width))
        for first, stop in pairwise(runs(offsets, _RUN)):
            part = slice(int(offsets[first]), int(offsets[stop]))
            n = part.stop - part.start
            if len(space) < n:
                space = np.empty((n, width))
            # A row of -1 is the last one, as it is where rows are checked; checking costs a second copy.
            gathered = self._rows.take(pages.rows[part], axis=0, out=space[:n], mode="wrap")
            if is_even:
                # The same products in the same order; what is spared is a copy of the weights for each candidate.
                even = gathered.reshape(stop - first, -1, width)
                scores[part] = np.einsum("nw,nkw->nk", weights[first:stop], even).reshape(-1)
            else:
                scores[part] = np.einsum("mw,mw->m", weights.take(pages.owner[part], axis=0), gathered)
        return scores


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
