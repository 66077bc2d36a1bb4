"""Progressive validation: now and then VW saves the model so far, and the decisions that follow are kept to try it on.

Each doubling of the log begins a trial, so that the last one tried has learned from at least a quarter of all decisions
and never from those that it is tried on. Memory holds two trials at most, whatever the log's length.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from models.batch import LoggedBatch
from models.vw_state import Written

FIRST: Final = 1_000
"""Decisions before the first trial: a shorter log says too little to refuse a model for."""
LONGEST: Final = 20_000
_SHORTEST_SHARE: Final = 0.25


@dataclass(slots=True)
class Trial:
    """The model of a moment: its file in the work folder, what it had learned, and decisions that came after.

    `n_before` decisions of this training had gone by.
    """

    file: str
    n_before: int
    written: Written
    decisions: list[LoggedBatch] = field(default_factory=list)

    @property
    def n_decisions(self) -> int:
        """How many decisions it can be tried on."""
        return sum(len(logged) for logged in self.decisions)


class Trials:
    """Begins trials and collects their decisions while a log goes by."""

    def __init__(self) -> None:
        self._next, self._n_done = FIRST, 0
        self._kept: deque[Trial] = deque(maxlen=2)

    @property
    def room(self) -> int:
        """How many decisions may come before something has to be done."""
        open_for = LONGEST - self._kept[-1].n_decisions if self._kept else 0
        return min(self._next - self._n_done, open_for or LONGEST)

    def see(self, logged: LoggedBatch) -> None:
        """Let at most `room` decisions go by."""
        self._n_done += len(logged)
        if self._kept and self._kept[-1].n_decisions < LONGEST:
            self._kept[-1].decisions.append(logged)

    @property
    def is_due(self) -> bool:
        """Whether it is time to begin a trial."""
        return self._n_done >= self._next

    def begin(self, written: Written) -> bytes:
        """Begin a trial; gives the text that makes VW save its model now."""
        self._next *= 2
        trial = Trial(f"trial-{self._n_done}.vw", self._n_done, written)
        self._kept.append(trial)
        return f"save_{trial.file}|\n\n".encode()

    def latest(self) -> Trial | None:
        """Find the latest trial with enough decisions; None where the log was too short."""
        for trial in reversed(self._kept):
            if trial.n_decisions >= min(LONGEST, _SHORTEST_SHARE * trial.n_before):
                return trial
        return None
