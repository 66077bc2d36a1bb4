"""LinUCB and linear Thompson sampling: one ridge regression on the compact features, two ways to use its doubts.

Rows are not weighted by 1/propensity: given the features, which the logging policy saw as well, the reward does not
depend on why an artwork was chosen, and weights would only add noise and pretend that some impressions are many. What a
few dozen features cannot hold, the artwork's own effect, is the lift of `models.artwork_lift`, which is weighted.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from models.argument import numbers
from models.batch import Batch, Floats
from models.compact import COMPACT, compact_features
from models.crossfit import Batches, CrossFittedLifts, crossfit_lifts
from models.exploration import Exploration
from models.fitted import FittedPolicy
from models.parity import worst_apart
from models.ridge import Posterior, RidgeSums
from models.thompson import ThompsonPolicy
from models.upper_bound import UpperBoundPolicy

_CHUNK: Final = 4096
"""Decisions turned into features at a time, which bounds memory."""


def fit_linucb(
    batches: Batches,
    arguments: Sequence[str],
    exploration: Exploration,
    progress: Callable[[int], None] | None = None,
) -> FittedPolicy:
    """Learn a ridge regression; the policy is optimistic by `--alpha` standard deviations.

    Args: batches, called twice: for the lifts, then for the regression; arguments, `--alpha` and `--penalty`.

    Raises:
        NotReadyError: if there is no decision.
        DivergedModelError: if a weight is not finite.
        ContractError: if an argument is unknown or no number, or a reward is outside [0, 1].
    """
    asked = numbers(arguments, alpha=1.0, penalty=1.0)
    lifts, found, diagnostics = _learn(batches, asked["penalty"], progress)
    policy = UpperBoundPolicy(
        weights=found.weights,
        factor=found.factor,
        width=asked["alpha"],
        lift_keys=lifts.whole.keys,
        lift=lifts.whole.lift.astype(np.float32),
        variance=lifts.whole.variance.astype(np.float32),
        unknown_variance=lifts.whole.unknown_variance,
        exploration=exploration,
    )

    def parity(batch: Batch) -> float:
        features, variance = _plain(batch, lifts)
        doubt = found.noise * np.einsum("md,dm->m", features, np.linalg.solve(found.precision, features.T))
        learned = features @ found.weights + asked["alpha"] * np.sqrt(doubt + found.weights[-1] ** 2 * variance)
        return worst_apart(policy.scores(batch), learned, of="LinUCB")

    return FittedPolicy(policy, diagnostics=diagnostics, parity=parity)


def fit_thompson(
    batches: Batches,
    arguments: Sequence[str],
    exploration: Exploration,
    progress: Callable[[int], None] | None = None,
) -> FittedPolicy:
    """Learn a ridge regression; the policy is `--samples` draws from what is believed of its weights and the lifts.

    Args: batches, called twice: for the lifts, then for the regression; arguments, `--samples`, `--seed` and
    `--penalty`.

    Raises:
        NotReadyError: if there is no decision.
        DivergedModelError: if a weight is not finite.
        ContractError: if an argument is unknown or no number, or a reward is outside [0, 1].
    """
    asked = numbers(arguments, samples=64, seed=1, penalty=1.0)
    lifts, found, diagnostics = _learn(batches, asked["penalty"], progress)
    rng, n_samples = np.random.default_rng(int(asked["seed"])), int(asked["samples"])
    weights = found.weights + rng.normal(size=(n_samples, len(found.weights))) @ found.factor.T
    whole = lifts.whole
    drawn = whole.lift + np.sqrt(whole.variance) * rng.normal(size=(n_samples, len(whole.keys)))
    unknown = np.sqrt(whole.unknown_variance) * rng.normal(size=n_samples)
    policy = ThompsonPolicy(
        weights=np.ascontiguousarray(weights[:, :-1]),
        bias_keys=whole.keys,
        bias=(weights[:, -1:] * drawn).T.astype(np.float32),
        unknown_bias=weights[:, -1] * unknown,
        exploration=exploration,
    )

    def parity(batch: Batch) -> float:
        place = {key: column for column, key in enumerate(whole.keys.tolist())}
        features, learned = compact_features(batch), []
        for sample in range(n_samples):
            own = [
                drawn[sample, place[key]] if key in place else unknown[sample] for key in batch.artwork_keys.tolist()
            ]
            learned.append(np.column_stack([features, own]) @ weights[sample])
        return worst_apart(policy.scores(batch), np.array(learned), of="Thompson sampling")

    return FittedPolicy(policy, diagnostics=diagnostics, parity=parity)


def _learn(
    batches: Batches, penalty: float, progress: Callable[[int], None] | None
) -> tuple[CrossFittedLifts, Posterior, dict[str, float]]:
    lifts = crossfit_lifts(batches)
    sums = RidgeSums.none(len(COMPACT) + 1)
    for logged in batches():
        for first in range(0, len(logged), _CHUNK):
            part = logged.take(np.arange(first, min(first + _CHUNK, len(logged))))
            features = np.column_stack([compact_features(part.shown), lifts.of_others(part)])
            sums = sums.plus(features, part.reward)
        if progress:
            progress(sums.n_rows)
    found = sums.solved(penalty)
    figures = {"n_decisions": sums.n_rows, "n_artworks": len(lifts.whole.keys), "noise_variance": found.noise}
    return lifts, found, {name: float(value) for name, value in figures.items()}


def _plain(batch: Batch, lifts: CrossFittedLifts) -> tuple[Floats, Floats]:
    """Look lifts and variances up one by one: `(m, d + 1)` features and `(m,)` variances."""
    whole = lifts.whole
    known = {key: (lift, var) for key, lift, var in zip(whole.keys.tolist(), whole.lift, whole.variance, strict=True)}
    found = np.array([known.get(key, (0.0, whole.unknown_variance)) for key in batch.artwork_keys.tolist()])
    return np.column_stack([compact_features(batch), found[:, 0]]), found[:, 1]
