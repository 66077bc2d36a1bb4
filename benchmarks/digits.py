"""The digits of scikit-learn as a bandit log: the multi-class reduction with which estimators are compared.

A classifier that is right most of the time becomes a policy: with α it shows its own class, else any. The log shows
classes by a weak classifier, the target is a strong one, and the reward is 1 where the class is right; so the target's
true value is known exactly.

Source: Dudík, Erhan, Langford, Li 2014, section 5; logistic regression (α = 0.8) against a random forest (α = 0.9),
with new halves of the digits and a new log in each run, is the protocol of the Open Bandit Pipeline's multi-class
examples. All learners are scikit-learn's with their defaults.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it has no types

from evaluation.direct import expected_value
from evaluation.estimator import estimators
from evaluation.score import pool
from models.batch import Floats

Ints = NDArray[np.int64]
N_CLASSES = 10
N_FOLDS = 3
_LOGGING_ALPHA, _TARGET_ALPHA = 0.8, 0.9
_MAX_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Digits:
    """Decisions whose right class is known: contexts `(n, 64)`, labels `(n,)`, and two policies' `(n, 10)` pmfs."""

    context: Floats
    label: Ints
    logging_pmf: Floats
    target_pmf: Floats

    @property
    def truth(self) -> float:
        """The target's true value."""
        return float(self.target_pmf[np.arange(len(self.label)), self.label].mean())


def make_digits(seed: int) -> Digits:
    """Train both classifiers on one half of the digits; the other half is what is decided on."""
    found = load_digits()
    train, rest, train_label, label = train_test_split(
        found.data / 16.0, found.target, test_size=0.5, random_state=seed
    )
    with threadpool_limits(1, user_api="blas"):
        weak = LogisticRegression(max_iter=_MAX_STEPS).fit(train, train_label)
        strong = RandomForestClassifier(random_state=seed).fit(train, train_label)
        logging = _softened(weak.predict(rest), _LOGGING_ALPHA)
        return Digits(rest, label, logging, _softened(strong.predict(rest), _TARGET_ALPHA))


def relative_errors(seed: int) -> dict[str, float]:
    """Make one run's policies, draw its log and give each estimator's |estimate − truth| ÷ truth."""
    digits, rng = make_digits(seed), np.random.default_rng(seed)
    n = len(digits.label)
    rows = np.arange(n)
    action = (digits.logging_pmf.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(max=N_CLASSES - 1)
    reward = (action == digits.label).astype(np.float64)
    predicted = _cross_fitted(digits.context, action, reward, rng)
    value = expected_value(digits.target_pmf.ravel(), predicted.ravel(), np.arange(0, n * N_CLASSES + 1, N_CLASSES))
    ratios = estimators(
        digits.target_pmf[rows, action], digits.logging_pmf[rows, action], reward, predicted[rows, action], value
    )
    return {name: abs(pool(parts).value / digits.truth - 1) for name, parts in ratios.items()}


def _softened(choice: Ints, alpha: float) -> Floats:
    pmf = np.full((len(choice), N_CLASSES), (1 - alpha) / N_CLASSES)
    pmf[np.arange(len(choice)), choice] += alpha
    return pmf


def _cross_fitted(context: Floats, action: Ints, reward: Floats, rng: np.random.Generator) -> Floats:
    """Predict `(n, 10)` rewards, each row by a model that did not see it: a logistic regression for every class."""
    n = len(action)
    fold = rng.permutation(n) % N_FOLDS
    predicted = np.zeros((n, N_CLASSES))
    with threadpool_limits(1, user_api="blas"):
        for held_out in range(N_FOLDS):
            inside = fold == held_out
            for shown in range(N_CLASSES):
                seen = ~inside & (action == shown)
                predicted[inside, shown] = _fit(context[seen], reward[seen], context[inside])
    return predicted


def _fit(context: Floats, reward: Floats, asked: Floats) -> Floats:
    if len(np.unique(reward)) < 2:
        return np.full(len(asked), reward.mean() if len(reward) else 0.5)
    model = LogisticRegression(max_iter=_MAX_STEPS).fit(context, reward)
    return np.asarray(model.predict_proba(asked)[:, 1], dtype=np.float64)
