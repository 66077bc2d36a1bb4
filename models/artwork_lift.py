"""What each artwork earns beyond its title, whoever looks: importance-weighted, and drawn towards the title.

A log that was not uniform shows artworks to those who like them, so that an artwork's plain average tells about its
audience as much as about itself. Each impression therefore counts 1/propensity: Σ r/p ÷ Σ 1/p is what the artwork
would have earned from *all* who were offered it. Such weights know less than as many plain impressions; Kish's
effective number n = (Σ 1/p)² ÷ Σ 1/p² says how much.

Titles differ far more than artworks of one title, and only artworks of one title ever meet. So an artwork is drawn
towards its own title's take fraction μ, by Beta(sμ, s(1 − μ)): one strength s for all titles, learned by moments from
how far artworks of the same title lie apart beyond chance (the intra-class correlation ρ = 1/(1 + s)). The lift is the
posterior mean over the title. An artwork that was never shown has lift 0, its prior mean: it neither wins in an
unpopular title nor loses in a popular one just for being new.

Source: Kish 1965 (effective size); Ridout, Demétrio & Firth 1999 (moment estimators of the intra-class correlation);
the prior from the data is empirical Bayes for Beta-Binomial counts, Casella 1985.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.array import places_of
from models.batch import Floats, Keys, LoggedBatch
from models.error import ContractError, NotReadyError

_LEAST_CORRELATION = 1e-5
_MOST_CORRELATION = 0.5
_ASSUMED_CORRELATION = 0.01
"""Where no title has two artworks with a taken and an untaken impression, nothing can be learned of it."""


@dataclass(frozen=True, slots=True, eq=False)
class ArtworkTotals:
    """Importance-weighted totals by (title, artwork), sorted by both.

    Args:
        titles, artworks: `(k,)` keys.
        totals: `(k, 3)`, the sums of 1/p, 1/p² and reward/p over the impressions that showed the artwork.
        n_decisions: how many were summed.
    """

    titles: Keys
    artworks: Keys
    totals: Floats
    n_decisions: int = 0

    @classmethod
    def none(cls) -> "ArtworkTotals":
        """Make the totals of no impression."""
        return cls(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64), np.zeros((0, 3)))

    def plus(self, logged: LoggedBatch) -> "ArtworkTotals":
        """Add more impressions.

        Raises:
            ContractError: if a reward is outside [0, 1].
        """
        outside = (logged.reward < 0) | (logged.reward > 1)
        if outside.any():
            row = int(np.argmax(outside))
            where = f"(decision_id={logged.decision_ids[row]})"
            raise ContractError(f"artworks' lifts need rewards in [0, 1], got {logged.reward[row]} {where}")
        weights = 1.0 / logged.propensity
        totals = np.stack([weights, weights**2, weights * logged.reward], axis=1)
        titles = np.concatenate([self.titles, logged.batch.title_keys])
        artworks = np.concatenate([self.artworks, logged.batch.artwork_keys[logged.chosen]])
        n_decisions = self.n_decisions + len(logged)
        return _merged(titles, artworks, np.concatenate([self.totals, totals]), n_decisions)

    def merged(self, other: "ArtworkTotals") -> "ArtworkTotals":
        """Sum the totals of two logs."""
        return _merged(
            np.concatenate([self.titles, other.titles]),
            np.concatenate([self.artworks, other.artworks]),
            np.concatenate([self.totals, other.totals]),
            self.n_decisions + other.n_decisions,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ArtworkLifts:
    """What was learned of each artwork.

    Args:
        keys: `(b,)` artworks that were shown, strictly rising.
        lift: `(b,)`, the posterior mean of the reward per impression, over the title's.
        variance: `(b,)`, how uncertain it is: the variance of the posterior.
        unknown_variance: the same for an artwork that was never shown.
        overall: the reward per impression of the whole log.
        strength: s, impressions worth of belief in the title.
        n_decisions: how many were learned from.
    """

    keys: Keys
    lift: Floats
    variance: Floats
    unknown_variance: float
    overall: float
    strength: float
    n_decisions: int

    def of(self, artworks: Keys) -> Floats:
        """Look lifts up, `(m,)`; 0 for an artwork that was never shown."""
        places = places_of(self.keys, artworks)
        return np.append(self.lift, 0.0)[places]


def total_of(batches: Iterable[LoggedBatch], progress: Callable[[int], None] | None = None) -> ArtworkTotals:
    """Sum up logged decisions of any number, read once; progress is told how many were read so far.

    Raises:
        NotReadyError: if there is no decision.
        ContractError: if a reward is outside [0, 1].
    """
    seen = ArtworkTotals.none()
    for logged in batches:
        seen = seen.plus(logged)
        if progress:
            progress(seen.n_decisions)
    if not seen.n_decisions:
        raise NotReadyError("artworks' lifts found no decision to learn from")
    return seen


def lifts_of(seen: ArtworkTotals) -> ArtworkLifts:
    """Learn each artwork's lift over its title, and how strongly to believe in the title."""
    of_title = _groups(seen.titles)
    weights, squares, rewards = seen.totals.T
    effective, mean = weights**2 / squares, rewards / weights
    title_mean = _by_group(effective * mean, of_title) / _by_group(effective, of_title)
    strength = 1.0 / _correlation(effective, mean, title_mean, of_title) - 1.0
    lift = effective / (effective + strength) * (mean - title_mean)
    posterior = title_mean + lift
    variance = posterior * (1.0 - posterior) / (effective + strength + 1.0)
    keys, lifts, variances = _per_artwork(seen.artworks, np.stack([lift, variance]), weights)
    return ArtworkLifts(
        keys=keys,
        lift=lifts,
        variance=variances,
        unknown_variance=float(np.average(title_mean * (1.0 - title_mean), weights=effective)) / (strength + 1.0),
        overall=float(rewards.sum() / weights.sum()),
        strength=strength,
        n_decisions=seen.n_decisions,
    )


def _correlation(effective: Floats, mean: Floats, title_mean: Floats, of_title: NDArray[np.int64]) -> float:
    """Estimate ρ, the part of a single reward's variance within a title that is owed to the artwork.

    For title t with artworks j, E Σ n_j (m_j − μ)² = μ(1 − μ)·[ Σ(1 − n_j/n) + ρ·(n − Σ n_j²/n − Σ(1 − n_j/n)) ].
    """
    size = _by_group(effective, of_title)
    chance = title_mean * (1.0 - title_mean) * size / np.maximum(size - 1.0, 1.0)
    degrees = 1.0 - effective / size
    spread = float(np.sum(effective * (mean - title_mean) ** 2 - chance * degrees))
    room = float(np.sum(chance * (effective * degrees - degrees)))
    return float(np.clip(spread / room, _LEAST_CORRELATION, _MOST_CORRELATION)) if room > 0 else _ASSUMED_CORRELATION


def _merged(titles: Keys, artworks: Keys, totals: Floats, n_decisions: int) -> ArtworkTotals:
    """Sum the rows of equal (title, artwork)."""
    order = np.lexsort((artworks, titles))
    titles, artworks, totals = titles[order], artworks[order], totals[order]
    if not len(order):
        return ArtworkTotals(titles, artworks, totals, n_decisions)
    fresh = np.concatenate([[True], (titles[1:] != titles[:-1]) | (artworks[1:] != artworks[:-1])])
    starts = np.flatnonzero(fresh)
    return ArtworkTotals(titles[starts], artworks[starts], np.add.reduceat(totals, starts, axis=0), n_decisions)


def _per_artwork(artworks: Keys, values: Floats, weights: Floats) -> tuple[Keys, Floats, Floats]:
    """Average an artwork's `(2, k)` values over its titles: more than one only where a log reuses it under many."""
    keys, places = np.unique(artworks, return_inverse=True)
    size = np.bincount(places, weights=weights, minlength=len(keys))
    first, second = (np.bincount(places, weights=weights * row, minlength=len(keys)) / size for row in values)
    return keys, first, second


def _groups(sorted_keys: Keys) -> NDArray[np.int64]:
    """Give each row the number of its run of equal keys."""
    return np.concatenate([[0], np.cumsum(sorted_keys[1:] != sorted_keys[:-1])]).astype(np.int64)


def _by_group(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """Each group's sum, repeated for each of its rows."""
    return np.asarray(np.bincount(groups, weights=values)[groups], dtype=np.float64)
