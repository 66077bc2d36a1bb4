"""The written list of candidates: each a learner with its arguments and an exploration rule."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from models.batch import LoggedBatch
from models.best_artwork import fit_best_artwork
from models.error import ContractError
from models.exploration import Exploration, ExplorationKind
from models.fitted import FittedPolicy
from models.launch import LaunchBudget
from models.linear import LinearPolicy
from models.linear_bandit import fit_linucb, fit_thompson
from models.supervised import fit_supervised
from models.vw import fit_vw

__all__ = ["CANDIDATES", "Candidate", "FittedPolicy", "Learner", "candidate", "fit"]


class Learner(StrEnum):
    """What learns."""

    UNIFORM = "uniform"
    BEST_ARTWORK = "best_artwork"
    VW = "vw"
    LINUCB = "linucb"
    THOMPSON = "thompson"
    SUPERVISED = "supervised"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One policy to be trained and judged. `arguments` are the learner's own, in its own words."""

    name: str
    learner: Learner
    exploration: Exploration
    arguments: tuple[str, ...] = ()


_LAUNCH: Final = LaunchBudget(share=0.2, cap=0.4, max_age_hours=24.0)
"""For learners that explore by what they doubt: the doubt of a new artwork may be too small to show it at all."""

_VOTES: Final = Exploration(ExplorationKind.GREEDY, floor=0.02, launch=_LAUNCH)

CANDIDATES: Final = (
    Candidate("uniform", Learner.UNIFORM, Exploration(ExplorationKind.UNIFORM)),
    Candidate("best-artwork", Learner.BEST_ARTWORK, Exploration(ExplorationKind.GREEDY, floor=0.05)),
    Candidate("vw-epsilon", Learner.VW, Exploration(ExplorationKind.EPSILON, 0.03, floor=0.02), ("--epsilon", "0.03")),
    Candidate(
        "vw-softmax", Learner.VW, Exploration(ExplorationKind.SOFTMAX, 50.0, 0.02), ("--softmax", "--lambda", "50")
    ),
    Candidate(
        "vw-squarecb",
        Learner.VW,
        Exploration(ExplorationKind.SQUARECB, 10.0, 0.02),
        ("--squarecb", "--gamma_scale", "10"),
    ),
    Candidate("vw-bag", Learner.VW, _VOTES, ("--bag", "8", "--random_seed", "1")),
    Candidate("linucb", Learner.LINUCB, _VOTES, ("--alpha", "1")),
    Candidate("thompson", Learner.THOMPSON, _VOTES, ("--samples", "64")),
    Candidate("supervised", Learner.SUPERVISED, Exploration(ExplorationKind.EPSILON, 0.03, 0.02, _LAUNCH)),
)
"""Every candidate leaves a few hundredths of its impressions to chance: each propensity is positive."""


def candidate(name: str) -> Candidate:
    """Look a candidate up by name.

    Raises:
        ContractError: if the list has none of that name.
    """
    known = {each.name: each for each in CANDIDATES}
    if name not in known:
        raise ContractError(f"candidate must be one of {sorted(known)}, got {name!r}")
    return known[name]


def fit(
    candidate: Candidate,
    batches: Callable[[], Iterator[LoggedBatch]],
    workdir: Path,
    progress: Callable[[int], None] | None = None,
    earlier: Path | None = None,
) -> FittedPolicy:
    """Train a candidate.

    Args: batches, gives the logged decisions from the start each time it is called, in the order to learn them;
    workdir, a folder of this training alone, in which the learner's files stay; progress, told how many decisions
    were read so far; earlier, a folder of this candidate's files from an earlier training to learn on from, which only
    VW can, or None.

    Raises:
        NotReadyError: if there is no decision to learn from.
        ContractError: if `earlier` cannot be learned on from.
        LearnerError: if the learner fails, diverges or is worse than chance.
    """
    if earlier is not None and candidate.learner is not Learner.VW:
        raise ContractError(f"only vowpal wabbit learns on from an earlier model, {candidate.name} does not")
    match candidate.learner:
        case Learner.UNIFORM:
            return FittedPolicy(LinearPolicy.flat(candidate.exploration))
        case Learner.BEST_ARTWORK:
            return fit_best_artwork(batches(), candidate.exploration, progress)
        case Learner.LINUCB:
            return fit_linucb(batches, candidate.arguments, candidate.exploration, progress)
        case Learner.THOMPSON:
            return fit_thompson(batches, candidate.arguments, candidate.exploration, progress)
        case Learner.SUPERVISED:
            return fit_supervised(batches, candidate.arguments, candidate.exploration, progress)
        case Learner.VW:
            return fit_vw(batches(), candidate.arguments, candidate.exploration, workdir, progress, earlier)
