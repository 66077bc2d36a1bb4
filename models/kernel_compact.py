"""Kernels of the shapes over the compact features: Thompson sampling and upper bounds.

Of the compact features, those of title and artwork alone are the same for everybody; what profile and page add are
products of three numbers an artwork has (its lift, its match with the taste, its fit with the title) with numbers that
its title has on its page.
"""

from typing import Final

import numpy as np

from models.array import places_of
from models.batch import Floats
from models.compact import COMPACT
from models.exploration import Exploration
from models.kernel import ArtworkTable, KernelPages
from models.layout import ARTWORK, FAMILIARITY, PROFILE, TASTES, TITLE
from models.linear import bounded
from models.thompson import ThompsonPolicy
from models.upper_bound import UpperBoundPolicy

_N_TASTES: Final = len(TASTES)
_PLACE: Final = {name: place for place, name in enumerate(COMPACT)}
_STATIC: Final = ("take_lift", "log_impressions", "log_age_days", "is_default", "fit")
_N_EACH: Final = _PLACE["take_lift"]
"""The compact features that all candidates of a title share come first."""

_OWN: Final = {name: place for place, name in enumerate((*FAMILIARITY, "row", "column", "score"))}
_TITLE: Final = {name: TITLE.index(name) for name in ("take_fraction", "log_age_days")}
_QUALITY: Final = PROFILE.index("quality_rate")
_ARTWORK_COLUMNS: Final = [ARTWORK.index(name) for name in _STATIC[:-1]]


class _Compact:
    """What the compact features need of each artwork: its style, and its five numbers of `_STATIC`."""

    def __init__(self, table: ArtworkTable) -> None:
        vectors = bounded(table.vectors).astype(np.float64)
        about = bounded(table.title_vectors).astype(np.float64)[:, :_N_TASTES]
        style = vectors[:, :_N_TASTES]
        fit = np.einsum("ma,ma->m", about, style)
        self.style = np.ascontiguousarray(style)
        self.static = np.column_stack([vectors[:, _ARTWORK_COLUMNS], fit])

    def each(self, pages: KernelPages) -> Floats:
        """Make the compact features that all candidates of a title share: `(n, _N_EACH)`."""
        tastes, own, page_of = np.ascontiguousarray(pages.common[:, :_N_TASTES]), pages.own, pages.page_of
        titles = pages.titles
        out = np.empty((len(pages.counts), _N_EACH))
        out[:, 0] = 1.0
        columns = {
            "title/take_fraction": titles[:, _TITLE["take_fraction"]],
            "title/log_age_days": titles[:, _TITLE["log_age_days"]],
            "context/score": own[:, _OWN["score"]],
            "profile/quality_rate": pages.common[:, _QUALITY].take(page_of),
            "familiarity/seen_before": own[:, _OWN["seen_before"]],
            "familiarity/log_minutes": own[:, _OWN["log_minutes"]],
            "familiarity/log_impressions": own[:, _OWN["log_impressions"]],
            "context/row": own[:, _OWN["row"]],
            "context/column": own[:, _OWN["column"]],
            "taste·about": np.einsum("na,na->n", titles[:, :_N_TASTES], tastes.take(page_of, axis=0)),
            "|taste|": np.sqrt(np.einsum("pa,pa->p", tastes, tastes)).take(page_of),
        }
        for name, values in columns.items():
            out[:, _PLACE[name]] = values
        return out

    def match(self, pages: KernelPages) -> Floats:
        """Tell how each candidate's style matches the taste: `(m,)`."""
        tastes = np.ascontiguousarray(pages.common[:, :_N_TASTES]).take(pages.page_of.take(pages.owner), axis=0)
        found = np.einsum("ma,ma->m", self.style.take(pages.rows, axis=0), tastes)
        return np.asarray(found, dtype=np.float64)


class ThompsonKernel:
    """Posterior samples over a table, which vote."""

    def __init__(self, policy: ThompsonPolicy, table: ArtworkTable) -> None:
        self.exploration: Exploration = policy.exploration
        self._compact = _Compact(table)
        self._weights = {name: np.ascontiguousarray(policy.weights[:, place]) for name, place in _PLACE.items()}
        self._each = np.ascontiguousarray(policy.weights[:, :_N_EACH])
        own = self._compact.static @ policy.weights[:, [_PLACE[name] for name in _STATIC]].T
        self._term = own + policy.bias_of(table.keys)

    def scores(self, pages: KernelPages) -> Floats:
        """Score the pages' m candidates by each sample: `(M, m)`."""
        weights, own, owner = self._weights, pages.own, pages.owner
        seen, score, minutes = (own[:, _OWN[name]] for name in ("seen_before", "score", "log_minutes"))
        base = np.einsum("kd,nd->kn", self._each, self._compact.each(pages))
        by_match = weights["match"][:, None] + np.multiply.outer(weights["match × score"], score)
        by_match += np.multiply.outer(weights["match × seen_before"], seen)
        by_match += np.multiply.outer(weights["match × log_minutes"], minutes)
        static = self._compact.static.take(pages.rows, axis=0)
        scores = self._term.take(pages.rows, axis=0).T + base.take(owner, axis=1)
        scores += by_match.take(owner, axis=1) * self._compact.match(pages)
        if seen.any():
            met = seen[owner]
            scores += np.multiply.outer(weights["take_lift × seen_before"], static[:, 0] * met)
            scores += np.multiply.outer(weights["fit × seen_before"], static[:, -1] * met)
        return np.ascontiguousarray(scores)


class UpperBoundKernel:
    """Expectations and doubts over a table."""

    def __init__(self, policy: UpperBoundPolicy, table: ArtworkTable) -> None:
        self.exploration: Exploration = policy.exploration
        self._policy = policy
        self._compact = _Compact(table)
        places = places_of(policy.lift_keys, table.keys)
        lift = np.append(policy.lift.astype(np.float64), 0.0)[places]
        variance = np.append(policy.variance.astype(np.float64), policy.unknown_variance)[places]
        self._lift_and_doubt = np.column_stack([lift, policy.weights[-1] ** 2 * variance])
        self._factor = np.ascontiguousarray(policy.factor.T)

    def scores(self, pages: KernelPages) -> Floats:
        """Score the pages' m candidates: what each may well be worth, `(m,)`."""
        each = self._compact.each(pages).take(pages.owner, axis=0)
        static, match = self._compact.static.take(pages.rows, axis=0), self._compact.match(pages)
        own = self._lift_and_doubt.take(pages.rows, axis=0)
        seen, score, minutes = (
            pages.own[:, _OWN[name]][pages.owner] for name in ("seen_before", "score", "log_minutes")
        )
        fit = static[:, -1]
        crossed = [static[:, 0] * seen, match, match * score, match * seen, match * minutes, fit, fit * seen, own[:, 0]]
        features = np.column_stack([each, static[:, :-1], *crossed])
        spread = np.einsum("md,ed->me", features, self._factor)
        doubt = np.sqrt(np.einsum("md,md->m", spread, spread) + own[:, 1])
        expected = np.einsum("md,d->m", features, self._policy.weights)
        return np.asarray(expected + self._policy.width * doubt, dtype=np.float64)
