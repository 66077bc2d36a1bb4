"""How much of the log speaks for a policy: its weights, and how far it would change what is shown."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import Floats

WEIGHT_EDGES = (0.0, *(2.0**power for power in range(-6, 11)))
"""The histogram's bins: exactly 0, then [0, 1/64), [1/64, 1/32), …, and 1024 and more."""

_NO_SPREAD = 1e-6


class Support(msgspec.Struct, frozen=True):
    """Diagnostics of a policy's importance weights.

    `mean_weight` is 1 up to chance if propensities are right (its error is clustered by profile).
    `effective_sample_size` is Kish's `(Σw)² / Σw²`, in decisions, in which a sticky draw counts as often as it was
    seen; in `independent_sample_size` it does not. `changed_share` is the mean total variation distance
    to the champion: the least share of decisions whose artwork changes; `most_changed_share` is the most.
    `weight_counts` are decisions by weight: exactly 0, then the bins of `WEIGHT_EDGES`.
    """

    mean_weight: float
    mean_weight_error: float
    max_weight: float
    min_propensity: float
    effective_sample_size: float
    n_zero_weight: int
    changed_share: float
    weight_counts: tuple[int, ...]

    @property
    def independent_sample_size(self) -> float:
        """How many independent decisions of equal weight would tell as much: Kish's size over the design effect.

            Kish / deff,   deff = se² / (Var w / n),   se clustered by profile; never more than Kish

        A log seen ten times over has ten times the effective decisions, and as many of these as before.

        Source: Kish 1965, "Survey sampling", section 8.2 (design effect of clusters).
        """
        kish, error = self.effective_sample_size, self.mean_weight_error
        if error <= self.mean_weight * _NO_SPREAD:  # all weigh the same: repeats thin nothing
            return kish
        return min(kish, self.mean_weight**2 * (1 - kish / sum(self.weight_counts)) / error**2)

    @property
    def most_changed_share(self) -> float:
        """The largest share of decisions whose sticky draw can change: `2δ/(1 + δ)` (`models.draw`)."""
        return 2 * self.changed_share / (1 + self.changed_share)


@dataclass(slots=True)
class SupportTally:
    """What `Support` needs of a stream of weights."""

    n: int = 0
    total: float = 0.0
    total_squared: float = 0.0
    largest: float = 0.0
    n_zero: int = 0
    changed: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(WEIGHT_EDGES) + 1, dtype=np.int64))

    def add(self, weight: Floats, changed: Floats) -> None:
        """Count `(n,)` weights and total variation distances to the champion."""
        self.n += len(weight)
        self.total += float(weight.sum())
        self.total_squared += float(weight @ weight)
        self.largest = max(self.largest, float(weight.max(initial=0.0)))
        self.n_zero += int((weight == 0).sum())
        self.changed += float(changed.sum())
        bins = np.where(weight == 0, 0, np.searchsorted(WEIGHT_EDGES, weight, side="right"))
        self.counts += np.bincount(bins, minlength=len(self.counts))

    def support(self, min_propensity: float, mean_weight_error: float) -> Support:
        """Close the tally."""
        return Support(
            mean_weight=self.total / self.n,
            mean_weight_error=mean_weight_error,
            max_weight=self.largest,
            min_propensity=min_propensity,
            effective_sample_size=self.total**2 / self.total_squared if self.total_squared else 0.0,
            n_zero_weight=self.n_zero,
            changed_share=self.changed / self.n,
            weight_counts=tuple(int(count) for count in self.counts),
        )
