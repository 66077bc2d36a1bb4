"""The proof that a compiled policy says what its learner does."""

from typing import Final

import numpy as np

from models.batch import Floats
from models.error import LearnerError

PARITY: Final = 1e-5
"""How far compiled scores may be from the learner's own, often made in float32; beyond ±1, as a part of them."""


def worst_apart(scores: Floats, learned: Floats, of: str) -> float:
    """Hold compiled scores against the learner's own.

    Args: scores and learned, `(…, m)`; of, what a refusal names.

    Returns: the greatest difference, at most `PARITY`.

    Raises:
        LearnerError: if a score differs by more.
    """
    apart = np.abs(scores - learned) / np.maximum(np.abs(learned), 1.0)
    worst = float(apart.max(initial=0.0))
    if not worst <= PARITY:
        at = np.unravel_index(int(np.argmax(apart)), apart.shape)
        found = f"{scores[at]} against {learned[at]} in candidate row {at[-1]}"
        raise LearnerError(f"compiled scores must be within {PARITY} of the learner's own, got {found} ({of})")
    return worst
