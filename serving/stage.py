"""Where the time of a page goes: one clock is read between two stages, and everybody who tells of it reads the laps."""

from enum import StrEnum
from time import perf_counter_ns


class Stage(StrEnum):
    """The stages of a page, in order."""

    DECODE = "decode"
    FEATURES = "features"
    SCORE = "score"
    DRAW = "draw"
    LOG = "log"
    ENCODE = "encode"


class Laps:
    """Seconds by stage of one page. A stage that was gone through twice counts both times."""

    __slots__ = ("_since", "began", "seconds")

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self.began = self._since = perf_counter_ns()

    def end(self, stage: Stage) -> None:
        """Say that a stage ended now, and with it that the next one began."""
        now = perf_counter_ns()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + (now - self._since) * 1e-9
        self._since = now

    def went_along(self, shared: "Laps", first: Stage) -> None:
        """Take over the laps that this page went with others; what it had waited for them counts to the first."""
        waited = (shared.began - self._since) * 1e-9
        self.seconds[first] = self.seconds.get(first, 0.0) + waited
        for stage, seconds in shared.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self._since = shared._since
