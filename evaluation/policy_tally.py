"""What a policy does on each batch: its weights, and the columns of its estimators."""

from dataclasses import dataclass, field

import numpy as np

from evaluation import estimator
from evaluation.direct import expected_value
from evaluation.importance import checked_pmf
from evaluation.support import SupportTally
from models.batch import Floats, LoggedBatch
from models.policy import Policy


@dataclass(slots=True)
class PolicyTally:
    """What a policy needs beside its sums by profile."""

    support: SupportTally = field(default_factory=SupportTally)
    n_matched: float = 0.0

    def add(
        self, name: str, policy: Policy, logged: LoggedBatch, predicted: Floats, base: Floats | None
    ) -> tuple[Floats, Floats]:
        """Count a batch.

        Args: predicted `(m,)` rewards; base, the champion's `(m,)` pmf, None for the champion itself.

        Returns: the policy's `(m,)` pmf and the `(n, estimator.N_COLUMNS)` columns of its estimators.
        """
        offsets = logged.batch.offsets
        pmf = checked_pmf(name, policy, logged)
        target = pmf[logged.chosen]
        value = expected_value(pmf, predicted, offsets)
        ratios = estimator.estimators(target, logged.propensity, logged.reward, predicted[logged.chosen], value)
        weight = target / logged.propensity
        changed = np.add.reduceat(np.abs(pmf - (pmf if base is None else base)), offsets[:-1]) / 2
        self.support.add(weight, changed)
        self.n_matched += float(target.sum())
        return pmf, estimator.columns(ratios)
