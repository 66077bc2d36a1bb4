"""What must be known, beside VW's own model, to read it or to learn on from it: which artworks, how many decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.batch import Keys, LoggedBatch
from models.error import ContractError

STATE_FILE: Final = "learned.npz"
_AT_ONCE: Final = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What was learned from: how many decisions, and which artworks were shown in them how often (keys sorted)."""

    n_decisions: int
    artworks: Keys
    n_shown: NDArray[np.int64]

    @classmethod
    def nothing(cls) -> Self:
        """Start with no decision."""
        return cls(0, np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64))

    def save(self, path: Path, arguments: Sequence[str]) -> None:
        """Write it with the arguments that VW learned under; the same gives the same bytes."""
        words = np.array(arguments, dtype=np.str_)
        np.savez(path, n_decisions=self.n_decisions, artworks=self.artworks, n_shown=self.n_shown, arguments=words)

    @classmethod
    def load(cls, path: Path, arguments: Sequence[str]) -> Self:
        """Read what `save` wrote, to learn on under the same arguments.

        Raises:
            ContractError: if it cannot be read, or VW learned under other arguments: other features, other bits.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                words = tuple(file["arguments"].tolist())
                found = cls(int(file["n_decisions"]), file["artworks"], file["n_shown"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ContractError(f"nothing to learn on from: {path}: {error}") from error
        if words != tuple(arguments):
            raise ContractError(f"to learn on takes the arguments {' '.join(arguments)!r}, got {' '.join(words)!r}")
        return found


class Tally:
    """Counts what is written, a chunk at a time."""

    def __init__(self, start: Written) -> None:
        self._done, self.n_decisions = start, start.n_decisions
        self._shown: list[Keys] = []
        self._n_waiting = 0

    def add(self, logged: LoggedBatch) -> None:
        """Count more decisions."""
        self._shown.append(logged.batch.artwork_keys[logged.chosen])
        self.n_decisions += len(logged)
        self._n_waiting += len(logged)
        if self._n_waiting > _AT_ONCE:
            self._done = self.written

    @property
    def written(self) -> Written:
        """All that was counted so far."""
        if self._n_waiting:
            shown, counts = np.unique(np.concatenate(self._shown), return_counts=True)
            keys, places = np.unique(np.concatenate([self._done.artworks, shown]), return_inverse=True)
            weights = np.concatenate([self._done.n_shown, counts])
            total = np.bincount(places, weights=weights, minlength=len(keys)).astype(np.int64)
            self._done, self._shown, self._n_waiting = Written(self.n_decisions, keys, total), [], 0
        return self._done
