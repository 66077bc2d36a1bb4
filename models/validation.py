"""Is a policy better than chance on decisions that it has not learned: the check before anything else is tried."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Final

import numpy as np

from models.batch import LoggedBatch
from models.error import WorseThanUniformError
from models.policy import Policy

_STANDARD_ERRORS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Validation:
    """A policy's value and uniform's, in quality plays per impression, over the same n decisions.

    `lift` is the difference of the two, and `standard_error` its own, over profiles.
    """

    n_decisions: int
    uniform: float
    lift: float
    standard_error: float

    @property
    def diagnostics(self) -> dict[str, float]:
        """The same as figures of a training, by name."""
        return {f"progressive_{name}": float(value) for name, value in asdict(self).items()}

    def refuse_worse(self) -> None:
        """Refuse a policy that is worse than uniform by more than noise.

        Raises:
            WorseThanUniformError: if its lift is more than three standard errors below zero.
        """
        if self.lift + _STANDARD_ERRORS * self.standard_error < 0:
            raise WorseThanUniformError(
                f"a policy must not be worse than uniform on decisions that it has yet to learn: over "
                f"{self.n_decisions} of them uniform takes {self.uniform:.4f}, and it {self.lift:+.4f} more, "
                f"standard error {self.standard_error:.4f}"
            )


def validate(policy: Policy, batches: Iterable[LoggedBatch]) -> Validation:
    """Weigh logged decisions by what the policy and uniform would have done.

        lift = mean of (π(a) − 1/K) / p · (r − r̄),  uniform = Σ r/(pK) / Σ 1/(pK)

    The mean reward r̄ takes out what no choice of artwork could change. Decisions of a profile count as one draw.

    Args: batches, at least one decision that the policy did not learn from.

    Source: inverse propensity scoring, Horvitz & Thompson 1952.
    """
    parts = list(batches)
    weight = np.concatenate([_importance(policy, logged) for logged in parts])
    chance = np.concatenate([1.0 / (logged.batch.counts * logged.propensity) for logged in parts])
    reward = np.concatenate([logged.reward for logged in parts])
    profiles = np.concatenate([logged.batch.profile_keys for logged in parts])
    gain = (weight - chance) * (reward - reward.mean())
    distinct, owner = np.unique(profiles, return_inverse=True)
    sums = np.bincount(owner, weights=gain - gain.mean(), minlength=len(distinct))
    return Validation(
        n_decisions=len(reward),
        uniform=float(chance @ reward / chance.sum()),
        lift=float(gain.mean()),
        standard_error=sqrt(float(sums @ sums)) / len(reward),
    )


def _importance(policy: Policy, logged: LoggedBatch) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(policy.pmf(logged.batch)[logged.chosen] / logged.propensity, dtype=np.float64)
