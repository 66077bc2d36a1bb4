"""A catalogue of random vectors and a small candidate of VW trained on it: what pages are scored with."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from models.batch import Batch, LoggedBatch
from models.candidate import candidate, fit
from models.catalogue import Artwork, Catalogue, Title
from models.fitted import FittedPolicy
from models.identity import keys_of
from models.kernel import ArtworkTable
from models.layout import ARTWORK, SHARED, TITLE, TITLE_PART
from serving.features import InMemoryFeatures

CANDIDATE: Final = "vw-epsilon"
_SPREAD: Final = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class PageWorld:
    """T titles t0, t1 and so on, each with K artworks t0-a0, t0-a1 and so on.

    Args: titles `(T, len(TITLE))` and artworks `(T·K, len(ARTWORK))` float32.
    """

    n_artworks: int
    titles: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    artworks: np.ndarray[tuple[int, int], np.dtype[np.float32]]

    @classmethod
    def random(cls, n_titles: int, n_artworks: int, seed: int = 1) -> "PageWorld":
        """Draw all vectors."""
        rng = np.random.default_rng(seed)
        titles = rng.normal(0.0, _SPREAD, size=(n_titles, len(TITLE)))
        artworks = rng.normal(0.0, _SPREAD, size=(n_titles * n_artworks, len(ARTWORK)))
        return cls(n_artworks, titles.astype(np.float32), artworks.astype(np.float32))

    @property
    def artwork_ids(self) -> list[str]:
        """The ids of all artworks, title by title."""
        return [f"t{title}-a{place}" for title in range(len(self.titles)) for place in range(self.n_artworks)]

    @property
    def table(self) -> ArtworkTable:
        """The artworks as a kernel is laid out over them."""
        titles = np.repeat(self.titles, self.n_artworks, axis=0)
        return ArtworkTable(keys_of(self.artwork_ids), self.artworks, titles)

    def first(self, n_artworks: int) -> "PageWorld":
        """Take the first so many artworks of every title."""
        kept = self.artworks.reshape(len(self.titles), self.n_artworks, -1)[:, :n_artworks]
        return PageWorld(n_artworks, self.titles, kept.reshape(-1, kept.shape[-1]))

    def catalogue(self, launched_at: datetime) -> Catalogue:
        """List titles and artworks, all launched at once."""
        titles = [Title(f"t{n}", launched_at) for n in range(len(self.titles))]
        artworks = [
            Artwork(name, f"t{place // self.n_artworks}", launched_at) for place, name in enumerate(self.artwork_ids)
        ]
        return Catalogue(titles, artworks)

    def features(self) -> InMemoryFeatures:
        """Know all vectors by heart."""
        titles = {f"t{n}": vector for n, vector in enumerate(self.titles)}
        return InMemoryFeatures(titles=titles, artworks=dict(zip(self.artwork_ids, self.artworks, strict=True)))

    def log(self, n: int, seed: int = 2) -> LoggedBatch:
        """Log n decisions of random profiles, all artworks in turn, some of which a play follows."""
        rng, k = np.random.default_rng(seed), self.n_artworks
        rounds, titles = np.divmod(np.arange(n), len(self.titles))
        rows = (titles[:, None] * k + np.arange(k)).ravel()
        shared = rng.normal(0.0, _SPREAD, size=(n, len(SHARED))).astype(np.float32)
        shared[:, TITLE_PART] = self.titles[titles]
        table = self.table
        batch = Batch(
            offsets=np.arange(n + 1) * k,
            profile_keys=rng.integers(2**64, size=n, dtype=np.uint64),
            title_keys=titles.astype(np.uint64),
            artwork_keys=table.keys[rows],
            shared=shared,
            artworks=table.vectors[rows],
        )
        chosen = np.arange(n) * k + rounds % k
        liked = np.einsum("na,na->n", shared[:, :16], batch.artworks[chosen, :16])
        words = np.full(n, "", dtype=object)
        return LoggedBatch(
            batch=batch,
            chosen=chosen,
            propensity=np.full(n, 1.0 / k),
            reward=(rng.random(n) < 0.2 + 0.2 * np.tanh(liked)).astype(np.float64),
            decision_ids=np.arange(n).astype(str).astype(object),
            decided_at=np.full(n, np.datetime64("2026-01-01", "us")),
            device=words,
            country=words,
            cell=words,
        )

    def train(self, workdir: Path, n: int, seed: int = 2) -> FittedPolicy:
        """Train the candidate on n logged decisions."""
        return fit(candidate(CANDIDATE), lambda: iter([self.log(n, seed)]), workdir)
