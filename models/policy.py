"""What a policy is: a probability mass function over each decision's candidates."""

from typing import Protocol

import numpy as np

from models.batch import Batch, Floats


class Policy(Protocol):
    """Anything that can say how likely it would show each candidate."""

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` probabilities of the batch's candidates, summing to 1 over each decision."""
        ...


class UniformPolicy:
    """Every candidate alike: what explores, and what every other policy must beat."""

    def pmf(self, batch: Batch) -> Floats:
        """Give 1/K to each of a decision's K candidates."""
        return np.repeat(1.0 / batch.counts, batch.counts)
