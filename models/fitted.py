"""What learning gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.batch import Batch
from models.shape import PublishedPolicy

Parity = Callable[[Batch], float]


@dataclass(frozen=True, slots=True)
class FittedPolicy:
    """A policy, the files of the learner that belong to it by name, and figures on how learning went.

    `parity` holds the policy's scores on a batch against the learner's own and returns the greatest difference, or
    raises `LearnerError` where it is too great; None where nothing was learned. It may read `files`.
    """

    policy: PublishedPolicy
    files: dict[str, Path] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    parity: Parity | None = None
