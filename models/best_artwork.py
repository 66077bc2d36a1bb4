"""The best artwork of each title, whoever looks: a Bayesian average, blind to context.

What each artwork earns beyond its title, by a Beta-Bernoulli posterior with a prior learned from all titles, is
`models.artwork_lift`'s to learn; the policy shows the greatest.
"""

from collections.abc import Callable, Iterable

import numpy as np

from models.artwork_lift import ArtworkLifts, lifts_of, total_of
from models.batch import Batch, LoggedBatch
from models.exploration import Exploration
from models.fitted import FittedPolicy
from models.linear import LinearPolicy
from models.parity import worst_apart


def fit_best_artwork(
    batches: Iterable[LoggedBatch], exploration: Exploration, progress: Callable[[int], None] | None = None
) -> FittedPolicy:
    """Learn each artwork's lift over its title.

    Args: batches, logged decisions of any number, read once; progress is told how many were read so far.

    Raises:
        NotReadyError: if there is no decision.
        ContractError: if a reward is outside [0, 1].
    """
    lifts = lifts_of(total_of(batches, progress))
    policy = LinearPolicy.flat(
        exploration, constant=lifts.overall, bias_keys=lifts.keys, bias=lifts.lift.astype(np.float32)
    )
    figures = {
        "n_decisions": lifts.n_decisions,
        "n_artworks": len(lifts.keys),
        "take_fraction": lifts.overall,
        "prior_strength": lifts.strength,
    }
    diagnostics = {name: float(value) for name, value in figures.items()}
    return FittedPolicy(policy, diagnostics=diagnostics, parity=lambda batch: _parity(policy, lifts, batch))


def _parity(policy: LinearPolicy, lifts: ArtworkLifts, batch: Batch) -> float:
    """Hold the policy against posterior means that are looked up one by one."""
    known = dict(zip(lifts.keys.tolist(), lifts.lift.tolist(), strict=True))
    learned = np.array([lifts.overall + known.get(key, 0.0) for key in batch.artwork_keys.tolist()])
    return worst_apart(policy.scores(batch), learned, of="best artwork")
