"""Progressive validation of learners that keep no model of a while ago: what most of a log teaches, tried on the rest.

VW is tried while it learns (`models.vw_trial`); the others learn the first three quarters once more, for this alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from models.batch import LoggedBatch
from models.candidate import Candidate, Learner, fit
from models.crossfit import Batches
from models.validation import validate
from models.vw_trial import FIRST, LONGEST

LEARNED_SHARE: Final = 0.75
_TRIED_OTHERWISE: Final = frozenset({Learner.UNIFORM, Learner.VW})


def rehearse(one: Candidate, batches: Batches, n_decisions: int, workdir: Path) -> dict[str, float]:
    """Learn the first three quarters of a log and hold the policy to the decisions that follow, `LONGEST` at most.

    Args: batches, as `models.candidate.fit` takes them; n_decisions, how many they are; workdir, for files of no use
    afterwards.

    Returns: diagnostics; none for VW, for uniform, and where the log is too short to refuse a policy for.

    Raises:
        WorseThanUniformError: if the policy does worse than chance on decisions that it did not learn.
        LearnerError: if the learner fails or diverges.
    """
    n_learned = int(LEARNED_SHARE * n_decisions)
    if one.learner in _TRIED_OTHERWISE or n_learned < FIRST:
        return {}
    policy = fit(one, lambda: between(batches, 0, n_learned), workdir).policy
    found = validate(policy, between(batches, n_learned, n_learned + LONGEST))
    found.refuse_worse()
    return found.diagnostics


def between(batches: Batches, first: int, stop: int) -> Iterator[LoggedBatch]:
    """Yield the decisions `first` to `stop` − 1 of a log, in order."""
    n_done = 0
    for logged in batches():
        begin, end = max(first - n_done, 0), min(stop - n_done, len(logged))
        if begin < end:
            yield logged.take(np.arange(begin, end))
        n_done += len(logged)
        if n_done >= stop:
            return
