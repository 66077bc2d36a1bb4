"""A small world whose truth is known: profiles have tastes, artworks have styles, and a match makes a quality play."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats, LoggedBatch
from models.layout import ARTWORK, FAMILIARITY_PART, GENRES, PROFILE_PART, SHARED
from models.policy import Policy, UniformPolicy

N_GENRES = len(GENRES)


def batch_of(counts: NDArray[np.int64], rng: np.random.Generator, artworks: NDArray[np.float32] | None = None) -> Batch:
    """Decisions of random features: `counts[i]` candidates each, every artwork key once."""
    n, m = len(counts), int(counts.sum())
    return Batch(
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        profile_keys=rng.integers(2**64, size=n, dtype=np.uint64),
        title_keys=rng.integers(2**64, size=n, dtype=np.uint64),
        artwork_keys=np.unique(rng.integers(2**64, size=2 * m + 8, dtype=np.uint64))[:m],
        shared=rng.normal(0.0, 0.5, size=(n, len(SHARED))).astype(np.float32),
        artworks=rng.normal(0.0, 0.5, size=(m, len(ARTWORK))).astype(np.float32) if artworks is None else artworks,
    )


def logged_of(
    batch: Batch, pmf: Floats, rng: np.random.Generator, reward: NDArray[np.float64] | None = None
) -> LoggedBatch:
    """Draw from `pmf`, then reward with the probabilities `reward` `(m,)`, or by a fair coin."""
    n = len(batch)
    passed = np.cumsum(pmf) - np.repeat((np.cumsum(pmf) - pmf)[batch.offsets[:-1]], batch.counts)
    beyond = passed < np.repeat(rng.random(n) * (1 - 1e-9), batch.counts)
    chosen = batch.offsets[:-1] + np.add.reduceat(beyond.astype(np.int64), batch.offsets[:-1])
    chances = np.full(len(pmf), 0.5) if reward is None else reward
    return LoggedBatch(
        batch=batch,
        chosen=chosen,
        propensity=pmf[chosen],
        reward=(rng.random(n) < chances[chosen]).astype(np.float64),
        decision_ids=np.array([f"decision-{row}" for row in range(n)], dtype=object),
        decided_at=np.datetime64("2026-11-01T00:00:00", "us") + np.arange(n).astype("timedelta64[s]"),
        device=np.full(n, "tv", dtype=object),
        country=np.full(n, "NL", dtype=object),
        cell=np.full(n, "live", dtype=object),
    )


@dataclass(frozen=True)
class World:
    """`n_titles` titles of `n_artworks` artworks each; the reward of a match is what `chances` says."""

    seed: int
    n_titles: int = 100
    n_artworks: int = 6
    match: float = 0.35

    def decisions(self, n: int, part: int) -> tuple[Batch, Floats]:
        """Give decisions and the true chance `(m,)` of a quality play for each of their candidates."""
        fixed, rng = np.random.default_rng([self.seed, 0]), np.random.default_rng([self.seed, 1, part])
        n_all = self.n_titles * self.n_artworks
        keys = np.unique(fixed.integers(2**64, size=n_all + 9, dtype=np.uint64))[:n_all]
        style = np.eye(N_GENRES)[fixed.integers(N_GENRES, size=n_all)]
        quality = fixed.normal(0.0, 0.03, size=n_all)
        popularity = fixed.uniform(0.08, 0.25, size=self.n_titles)
        titles = rng.integers(self.n_titles, size=n)
        shown = (titles[:, None] * self.n_artworks + np.arange(self.n_artworks)).ravel()
        taste = (
            np.eye(N_GENRES)[rng.integers(N_GENRES, size=n)] + 0.8 * np.eye(N_GENRES)[rng.integers(N_GENRES, size=n)]
        )
        taste /= np.linalg.norm(taste, axis=1, keepdims=True)
        shared = np.zeros((n, len(SHARED)), dtype=np.float32)
        shared[:, PROFILE_PART.start : PROFILE_PART.start + N_GENRES] = taste
        shared[:, FAMILIARITY_PART.start] = rng.random(n) < 0.3
        artworks = np.zeros((len(shown), len(ARTWORK)), dtype=np.float32)
        artworks[:, :N_GENRES] = style[shown]
        batch = Batch(
            offsets=np.arange(0, len(shown) + 1, self.n_artworks),
            profile_keys=rng.integers(2**64, size=n, dtype=np.uint64),
            title_keys=titles.astype(np.uint64),
            artwork_keys=keys[shown],
            shared=shared,
            artworks=artworks,
        )
        matched = np.einsum("ma,ma->m", np.repeat(taste, self.n_artworks, axis=0), style[shown])
        chances = np.repeat(popularity[titles], self.n_artworks) + quality[shown] + self.match * matched
        return batch, np.clip(chances, 0.01, 0.95)

    def log(self, n: int, policy: Policy | None = None, n_batches: int = 4) -> Iterator[LoggedBatch]:
        """Log `n` decisions of a policy, uniform unless told, in several batches."""
        for part in range(n_batches):
            batch, chances = self.decisions(n // n_batches, part)
            rng = np.random.default_rng([self.seed, 2, part])
            yield logged_of(batch, (policy or UniformPolicy()).pmf(batch), rng, chances)

    def value(self, policy: Policy, n: int = 20_000) -> float:
        """The true expected reward per impression of a policy, on decisions that no log holds."""
        batch, chances = self.decisions(n, part=10_000)
        return float(policy.pmf(batch) @ chances) / n
