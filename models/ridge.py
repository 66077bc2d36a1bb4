"""Ridge regression from sums: memory does not grow with the log.

    A = λI + Σ x xᵀ,  b = Σ x r,  weights = A⁻¹ b,  covariance = σ² A⁻¹

σ² is the mean squared residual, from the same sums: (Σr² − 2·weights·b + weightsᵀ(A − λI)·weights) / n.
"""

from dataclasses import dataclass

import numpy as np

from models.batch import Floats
from models.error import DivergedModelError


@dataclass(frozen=True, slots=True, eq=False)
class RidgeSums:
    """`(d, d)` Σ x xᵀ, `(d,)` Σ x r, Σ r² and the number of rows n."""

    products: Floats
    moments: Floats
    squares: float
    n_rows: int

    @classmethod
    def none(cls, n_features: int) -> "RidgeSums":
        """Make the sums of no row."""
        return cls(np.zeros((n_features, n_features)), np.zeros(n_features), 0.0, 0)

    def plus(self, features: Floats, rewards: Floats) -> "RidgeSums":
        """Add `(n, d)` rows and their `(n,)` rewards."""
        with np.errstate(over="ignore", invalid="ignore"):
            return RidgeSums(
                self.products + features.T @ features,
                self.moments + features.T @ rewards,
                self.squares + float(rewards @ rewards),
                self.n_rows + len(rewards),
            )

    def solved(self, penalty: float) -> "Posterior":
        """Solve for the weights and how sure they are.

        Raises:
            DivergedModelError: if a sum or a weight is not finite, or nothing but a penalty could tell features apart.
        """
        if not (np.isfinite(self.products).all() and np.isfinite(self.moments).all() and np.isfinite(self.squares)):
            raise DivergedModelError("ridge regression met features or rewards whose sums are not finite")
        precision = self.products + penalty * np.eye(len(self.moments))
        try:
            # A = L Lᵀ, so that the columns of L⁻ᵀ are a square root of A⁻¹.
            root = np.linalg.inv(np.linalg.cholesky(precision)).T
            weights: Floats = np.asarray(np.linalg.solve(precision, self.moments), dtype=np.float64)
        except np.linalg.LinAlgError as error:
            raise DivergedModelError(f"ridge regression has no solution with a penalty of {penalty}") from error
        residual = self.squares - 2.0 * weights @ self.moments + weights @ self.products @ weights
        noise = max(float(residual), 0.0) / max(self.n_rows, 1)
        factor = np.sqrt(noise) * root
        if not (np.isfinite(weights).all() and np.isfinite(factor).all()):
            raise DivergedModelError("ridge regression ended with weights that are not finite")
        return Posterior(weights, factor, precision, noise)


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What is believed of the weights: `(d,)` means, a `(d, d)` square root of their covariance, A, and σ²."""

    weights: Floats
    factor: Floats
    precision: Floats
    noise: float
