"""Logs made from a numpy world whose truth is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.batch import Batch, Floats, LoggedBatch
from models.draw import mix, segment_argmax
from models.layout import ARTWORK, SHARED, TASTES

START_AT = np.datetime64("2026-11-01T00:00:00", "us")


@dataclass(frozen=True)
class World:
    """n decisions of K (or, ragged, 2..K) candidates, with true mean rewards `(m,)` and the log's own pmf `(m,)`."""

    logged: LoggedBatch
    truth: Floats
    logging_pmf: Floats

    def value(self, pmf: Floats) -> float:
        """The true mean reward of a policy over these decisions."""
        return float((pmf * self.truth).sum() / len(self.logged))

    def __repr__(self) -> str:
        return f"World of {len(self.logged)} decisions"

    def batches(self, size: int = 10_000) -> Callable[[], Iterator[LoggedBatch]]:
        return lambda: split(self.logged, size)


def split(logged: LoggedBatch, size: int) -> Iterator[LoggedBatch]:
    for start in range(0, len(logged), size):
        yield logged.take(np.arange(start, min(start + size, len(logged))))


class TasteFirst:
    """Shows, with probability 1 − ε, what is nearest to the profile's taste (ties shared): a contextual policy."""

    def __init__(self, epsilon: float = 0.0, sign: float = 1.0) -> None:
        self.epsilon, self.sign = epsilon, sign

    def pmf(self, batch: Batch) -> Floats:
        fit = self.sign * (batch.artworks[:, : len(TASTES)] * batch.shared[batch.owner, : len(TASTES)]).sum(axis=1)
        best = (fit == np.maximum.reduceat(fit, batch.offsets[:-1])[batch.owner]).astype(np.float64)
        ties = np.add.reduceat(best, batch.offsets[:-1])
        return (self.epsilon / batch.counts)[batch.owner] + (1 - self.epsilon) * best / ties[batch.owner]


class Fixed:
    """A pmf as given, for a log that comes in one batch."""

    def __init__(self, pmf: Floats) -> None:
        self._pmf = pmf

    def pmf(self, batch: Batch) -> Floats:
        return self._pmf


def make_world(
    rng: np.random.Generator,
    *,
    n_profiles: int = 400,
    n_titles: int = 10,
    per_profile: int = 5,
    n_artworks: int = 4,
    ragged: bool = False,
    lift: float = 0.2,
    base: float = 0.15,
    uniform: bool = True,
    n_days: int = 3,
) -> World:
    """Take a world whose takes depend on how an artwork's style meets a profile's taste; takes are 0 or 1."""
    n = n_profiles * per_profile
    taste = np.eye(len(TASTES), dtype=np.float32)[rng.integers(0, 4, n_profiles)]
    counts = rng.integers(2, n_artworks + 1, n_titles) if ragged else np.full(n_titles, n_artworks)
    styles = [np.eye(len(TASTES), dtype=np.float32)[rng.permutation(4)[:count] % 4] for count in counts]
    profile, title = np.repeat(np.arange(n_profiles), per_profile), rng.integers(0, n_titles, n)
    offsets = np.concatenate(([0], np.cumsum(counts[title])))
    owner = np.repeat(np.arange(n), counts[title])
    shared = np.zeros((n, len(SHARED)), dtype=np.float32)
    shared[:, : len(TASTES)] = taste[profile]
    artworks = np.zeros((offsets[-1], len(ARTWORK)), dtype=np.float32)
    artworks[:, : len(TASTES)] = np.concatenate([styles[place] for place in title])
    fit = (artworks[:, : len(TASTES)] * shared[owner, : len(TASTES)]).sum(axis=1)
    truth = np.clip(base + lift * fit, 0, 1).astype(np.float64)
    place = np.arange(offsets[-1]) - offsets[:-1][owner]
    batch = Batch(
        offsets=offsets,
        profile_keys=mix(profile.astype(np.uint64) + np.uint64(1)),
        title_keys=mix(title.astype(np.uint64) + np.uint64(1_000_001)),
        artwork_keys=mix((title[owner] * 100 + place).astype(np.uint64) + np.uint64(2_000_001)),
        shared=shared,
        artworks=artworks,
    )
    pmf = np.repeat(1 / batch.counts, batch.counts)
    if not uniform:
        pmf = 0.4 * pmf + 0.6 * TasteFirst(sign=-1.0).pmf(batch)
    noise = -np.log(-np.log(rng.random(len(pmf))))
    chosen = segment_argmax(np.log(pmf) + noise, offsets)
    reward = (rng.random(n) < truth[chosen]).astype(np.float64)
    return World(log_of(batch, chosen, pmf[chosen], reward, uniform=uniform, n_days=n_days), truth, pmf)


def log_of(
    batch: Batch, chosen: np.ndarray, propensity: Floats, reward: Floats, *, uniform: bool = True, n_days: int = 3
) -> LoggedBatch:
    n = len(batch)
    step = np.timedelta64(int(n_days * 86_400_000_000 / max(n, 1)), "us")
    return LoggedBatch(
        batch=batch,
        chosen=chosen,
        propensity=propensity,
        reward=reward,
        decision_ids=np.array([f"d{row}" for row in range(n)], dtype=object),
        decided_at=START_AT + np.arange(n) * step,
        device=np.full(n, "tv", dtype=object),
        country=np.full(n, "NL", dtype=object),
        cell=np.full(n, "uniform" if uniform else "live", dtype=object),
    )


def plain_batch(offsets: np.ndarray, profile_keys: np.ndarray, artwork_keys: np.ndarray) -> Batch:
    """A batch of decisions without features."""
    n = len(offsets) - 1
    return Batch(
        offsets=offsets.astype(np.int64),
        profile_keys=profile_keys.astype(np.uint64),
        title_keys=np.ones(n, dtype=np.uint64),
        artwork_keys=artwork_keys.astype(np.uint64),
        shared=np.zeros((n, len(SHARED)), dtype=np.float32),
        artworks=np.zeros((len(artwork_keys), len(ARTWORK)), dtype=np.float32),
    )
