"""One score a profile: what the gate's bounds are made of.

A profile's score is the sum of the paired doubly robust differences, candidate less champion, over all its decisions in
the log, divided by their number, and by no less than `FULL_VOTE_DECISIONS`: whoever was seen less has a smaller vote,
and nobody has more than one. However often a profile returns, and however often a sticky draw is seen again, it is one
score; scores of different profiles are independent because draws are.

Scores count in units of `SCORE_BOUND`, so that −1 is a profile that takes at every second impression what the candidate
would never have shown, and nothing of what it would. Scores below that, from profiles that take nearly everything or
from weights as large as exploration floors are small, are what `sequence_betting` says they are: each ruins the bets
that cannot bear it, and a log full of them can promote nobody.
"""

import msgspec
import numpy as np

from evaluation.sequence_betting import growth
from models.batch import Floats

FULL_VOTE_DECISIONS = 50
SCORE_BOUND = 0.5


class ProfileScores(msgspec.Struct, frozen=True):
    """The scores of one comparison, as far as bounds need them.

    `mean`, `deviation`, `least` and `most` are of the n scores, and `mean_vote` their mean vote, so that
    `mean / mean_vote` is a difference of take fractions. `growth` and `growth_down` are `sequence_betting.growth` of
    the scores and of the scores' negatives.
    """

    n: int
    mean: float
    deviation: float
    least: float
    most: float
    mean_vote: float
    growth: tuple[float, ...]
    growth_down: tuple[float, ...]


def profile_scores(difference: Floats, n_decisions: Floats) -> ProfileScores:
    """Score profiles.

    Args: difference `(k,)`, sums of paired differences by profile; n_decisions `(k,)`, at least 1 each.
    """
    scores = scores_of(difference, n_decisions)
    return ProfileScores(
        n=len(scores),
        mean=float(scores.mean()),
        deviation=float(scores.std()),
        least=float(scores.min()),
        most=float(scores.max()),
        mean_vote=float(np.minimum(n_decisions / FULL_VOTE_DECISIONS, 1.0).mean()) / SCORE_BOUND,
        growth=tuple(growth(scores).tolist()),
        growth_down=tuple(growth(-scores).tolist()),
    )


def scores_of(difference: Floats, n_decisions: Floats) -> Floats:
    """Turn sums `(…, k)` over numbers of decisions, `(k,)` or `(…, k)`, into scores in units of the bound."""
    return np.asarray(difference / np.maximum(n_decisions, FULL_VOTE_DECISIONS) / SCORE_BOUND, dtype=np.float64)
