"""The probability of a quality play, learned like any other prediction (scikit-learn), and ranked.

    P(quality play | s, a) = 1 / (1 + exp(−score(s, a)))

A logistic regression over the crossed features, by averaged stochastic gradient descent: a chunk is in memory at a
time, and a short log is passed over up to three times. The link rises with the score, so that ranking by score ranks by
probability, and the compiled `LinearPolicy` keeps the score alone: exactly the model's own.

Each impression weighs w = min(1/(K·propensity), limit): what a policy showed rarely counts for all the times it was not
shown, so that the model is right on average over what *could* be shown and not only over what was; under a uniform log
every weight is 1. The limit keeps a few impressions of tiny propensity from drowning all others: learning from 20,000
decisions of a softmax policy in three synthetic worlds (six artworks; learned from uniform logs, .293, .286 and .299)
gave .290, .283 and .297 with a limit of 1, .287, .279 and .296 with 3, .268, .256 and .278 with 10.

Source: Polyak & Juditsky 1992 (averaging); Ionides 2008 (truncated importance weights).
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any, Final

import numpy as np

from models.argument import numbers
from models.batch import Batch, Floats, LoggedBatch
from models.crossed import N_CROSSED, compiled, crossed
from models.crossfit import Batches, CrossFittedLifts, crossfit_lifts
from models.error import ContractError, DivergedModelError
from models.exploration import Exploration
from models.fitted import FittedPolicy
from models.linear import LinearPolicy
from models.parity import worst_apart

_CHUNK: Final = 4096
"""Decisions crossed at a time, which bounds memory: 25 MB."""

_MOST_PASSES: Final = 3
_RATE: Final = 0.1
_PENALTY: Final = 1e-5
_CLASSES: Final = (0.0, 1.0)


def fit_supervised(
    batches: Batches,
    arguments: Sequence[str],
    exploration: Exploration,
    progress: Callable[[int], None] | None = None,
) -> FittedPolicy:
    """Learn the probability of a quality play.

    Args: batches, called once for the artworks' lifts and once a pass, of which there are as many as make `--steps`
    decisions, one to three; arguments, `--steps`, `--max_weight` and `--seed`; exploration, which sees log-odds.

    Raises:
        NotReadyError: if there is no decision.
        DivergedModelError: if a weight is not finite.
        ContractError: if an argument is unknown or no number, or a reward is neither 0 nor 1.
    """
    asked = numbers(arguments, steps=100_000, max_weight=3.0, seed=1)
    lifts = crossfit_lifts(batches)
    model, n_decisions = _fitted(batches, lifts, asked, progress)
    arrays, lift_weight = compiled(model.coef_[0])
    policy = LinearPolicy.flat(
        exploration,
        **arrays,
        constant=float(model.intercept_[0]),
        bias_keys=lifts.whole.keys,
        bias=(lift_weight * lifts.whole.lift).astype(np.float32),
    )

    def parity(batch: Batch) -> float:
        rows = crossed(batch.shared[batch.owner], batch.artworks, lifts.whole.of(batch.artwork_keys))
        return worst_apart(policy.scores(batch), model.decision_function(rows), of="supervised")

    figures = {"n_decisions": n_decisions, "n_artworks": len(lifts.whole.keys), "take_fraction": lifts.whole.overall}
    return FittedPolicy(policy, diagnostics={name: float(value) for name, value in figures.items()}, parity=parity)


def _fitted(
    batches: Batches, lifts: CrossFittedLifts, asked: dict[str, float], progress: Callable[[int], None] | None
) -> tuple[Any, int]:
    from sklearn.linear_model import SGDClassifier

    model: Any = SGDClassifier(
        loss="log_loss",
        alpha=_PENALTY,
        learning_rate="constant",
        eta0=_RATE,
        average=True,
        random_state=int(asked["seed"]),
    )
    n_passes = int(np.clip(ceil(asked["steps"] / lifts.whole.n_decisions), 1, _MOST_PASSES))
    n_decisions = 0
    for _ in range(n_passes):
        for part in _chunks(batches):
            rows = crossed(part.batch.shared, part.shown.artworks, lifts.of_others(part))
            weights = np.minimum(1.0 / (part.batch.counts * part.propensity), asked["max_weight"])
            _learn(model, rows, _binary(part), weights)
            n_decisions += len(part)
            if progress:
                progress(n_decisions // n_passes)
    with np.errstate(over="ignore"):
        learned = np.concatenate([model.coef_[0], model.intercept_]).astype(np.float32)
    if not np.isfinite(learned).all():
        raise DivergedModelError("logistic regression ended with weights that are not finite")
    return model, n_decisions // n_passes


def _learn(model: Any, rows: Floats, rewards: Floats, weights: Floats) -> None:
    if rows.shape[1] != N_CROSSED:
        raise AssertionError(f"crossed rows must have {N_CROSSED} columns, got {rows.shape[1]}")
    try:
        model.partial_fit(rows, rewards, classes=_CLASSES, sample_weight=weights)
    except ValueError as error:  # what scikit-learn says of weights that overflowed
        raise DivergedModelError(f"logistic regression diverged: {error}") from error


def _chunks(batches: Batches) -> Iterator[LoggedBatch]:
    for logged in batches():
        for first in range(0, len(logged), _CHUNK):
            yield logged.take(np.arange(first, min(first + _CHUNK, len(logged))))


def _binary(logged: LoggedBatch) -> Floats:
    wrong = ~np.isin(logged.reward, _CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        found = f"{logged.reward[row]} (decision_id={logged.decision_ids[row]})"
        raise ContractError(f"the probability of a quality play needs rewards of 0 or 1, got {found}")
    return logged.reward
