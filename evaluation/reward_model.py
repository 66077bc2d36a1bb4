"""The reward model behind DM and DR: how likely a take is, for every candidate, shown or not.

Cross-fitted by profile: profiles are dealt into folds by a hash, and a fold's decisions are predicted by a model that
saw none of its profiles' rewards, neither in its coefficients nor in the mean reward of an artwork it looks at. One
pass over the log fits it, from sums by artwork and a sample of bounded size; which decisions are in the sample depends
on the decisions alone, not on their order or batches.

Source: cross-fitting, Chernozhukov et al. 2018; its use in DR, Kallus and Uehara 2019.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evaluation.keyed_totals import Grouping, KeyedTotals
from evaluation.reward_feature import N_CANDIDATE, N_DECISION, candidate_scores, decision_features
from evaluation.reward_sample import N_FOLDS, RewardSample, SampledRows, fold_of
from models.batch import Batch, Floats, Keys, LoggedBatch

PRIOR_IMPRESSIONS = 100.0
"""How many impressions of the mean reward an artwork's own mean is shrunk by."""


class RewardModel(Protocol):
    """Anything that predicts rewards without having seen those of the profiles it is asked about."""

    def predict(self, batch: Batch) -> Floats:
        """Predict the `(m,)` rewards of a batch's candidates."""
        ...


@dataclass(frozen=True, slots=True)
class NoModel:
    """Predicts 0 everywhere: DR with it is IPS."""

    def predict(self, batch: Batch) -> Floats:
        """Give `(m,)` zeros."""
        return np.zeros(len(batch.artwork_keys))


@dataclass(frozen=True, slots=True)
class _Coefficients:
    """One fold's model: on decision features, on candidate features, and on the artwork's mean reward."""

    intercept: float
    decision: Floats
    candidate: Floats
    is_logistic: bool
    low: float
    high: float


class ArtworkMeans:
    """Mean rewards of artworks over profiles of chosen folds, shrunk towards the mean of them all."""

    def __init__(self) -> None:
        self._totals = KeyedTotals(2 * N_FOLDS)
        self._index: pd.Index | None = None

    def add(self, artworks: Keys, folds: NDArray[np.int64], rewards: Floats) -> None:
        """Count `(n,)` logged decisions."""
        columns = np.zeros((len(artworks), 2 * N_FOLDS))
        rows = np.arange(len(artworks))
        columns[rows, folds] = 1.0
        columns[rows, N_FOLDS + folds] = rewards
        self._index = None
        grouping = Grouping.of(artworks)
        self._totals.add(grouping, grouping.sums(columns))

    def lift(self, artworks: Keys, without: NDArray[np.int64]) -> Floats:
        """Give `(m,)` mean rewards less the overall mean, where `without` `(f,)` names folds that are left out."""
        return self._lifts(without)[self._places(artworks)]

    def lift_by_fold(self, artworks: Keys, folds: NDArray[np.int64]) -> Floats:
        """Give `(m,)` lifts, each without its own fold of `(m,)` folds."""
        lifts = np.stack([self._lifts(np.array([fold])) for fold in range(N_FOLDS)])
        return np.asarray(lifts[folds, self._places(artworks)], dtype=np.float64)

    def _lifts(self, without: NDArray[np.int64]) -> Floats:
        """Give `(k + 1,)`: a lift for each artwork known, and 0 for any other, last."""
        kept = np.setdiff1d(np.arange(N_FOLDS), without)
        sums = self._totals.sums
        counts, rewards = sums[:, kept].sum(axis=1), sums[:, N_FOLDS + kept].sum(axis=1)
        overall = rewards.sum() / max(counts.sum(), 1.0)
        return np.append((rewards - overall * counts) / (counts + PRIOR_IMPRESSIONS), 0.0)

    def _places(self, artworks: Keys) -> NDArray[np.int64]:
        if self._index is None:  # a hash table finds millions of candidates five times faster than a search
            self._index = pd.Index(self._totals.keys)
        found: Any = self._index.get_indexer(cast("Any", artworks))
        return np.asarray(found, dtype=np.int64)  # −1, which is the last, for any other


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """One model a fold, each fitted on the profiles of the other folds."""

    models: tuple[_Coefficients, ...]
    means: ArtworkMeans
    n_sample: int

    def predict(self, batch: Batch) -> Floats:
        """Predict the `(m,)` rewards of a batch's candidates, each by the model of its profile's fold."""
        folds, counts = fold_of(batch.profile_keys), batch.counts
        owners = np.repeat(folds, counts)
        intercepts = np.array([model.intercept for model in self.models])
        by_decision = np.stack([model.decision for model in self.models])[folds]
        score = intercepts[folds] + np.einsum("ij,ij->i", decision_features(batch), by_decision)
        by_candidate = np.stack([model.candidate for model in self.models])[folds]
        lift = self.means.lift_by_fold(batch.artwork_keys, owners)
        out = np.repeat(score, counts) + candidate_scores(batch, by_candidate, lift)
        return _linked(out, owners, self.models)


def fit_reward_model(batches: Iterator[LoggedBatch]) -> RewardModel:
    """Fit the cross-fitted model on one pass over the log: logistic for rewards of 0 and 1, linear for any other."""
    sample, means = RewardSample(), ArtworkMeans()
    for logged in batches:
        if len(logged):
            folds = fold_of(logged.batch.profile_keys)
            means.add(logged.batch.artwork_keys[logged.chosen], folds, logged.reward)
            sample.add(logged)
    rows = sample.rows()
    if not len(rows.reward):
        return NoModel()
    with threadpool_limits(1, user_api="blas"):  # small products: more threads only wait for each other
        models = tuple(_fit_fold(rows, means, fold) for fold in range(N_FOLDS))
    return CrossFitted(models, means, len(rows.reward))


def _linked(score: Floats, folds: NDArray[np.int64], models: tuple[_Coefficients, ...]) -> Floats:
    """Turn `(m,)` scores of `(m,)` folds into rewards: by the logistic function, or held in the range that was seen."""
    low, high = (np.array([getattr(model, name) for model in models])[folds] for name in ("low", "high"))
    is_logistic = np.array([model.is_logistic for model in models])
    if is_logistic.all():
        return np.asarray(expit(score), dtype=np.float64)
    return np.where(is_logistic[folds], expit(score), np.clip(score, low, high))


def _fit_fold(rows: SampledRows, means: ArtworkMeans, fold: int) -> _Coefficients:
    """Fit on the other folds; there, an artwork's mean leaves out the row's own fold as well."""
    train = np.flatnonzero(rows.fold != fold)
    candidate = rows.candidate[train].astype(np.float64)
    for other in range(N_FOLDS):
        own = rows.fold[train] == other
        candidate[own, -1] = means.lift(rows.artwork[train[own]], np.array([fold, other]))
    return _fit(np.hstack((rows.decision[train], candidate)), rows.reward[train])


def _fit(features: Floats, reward: Floats) -> _Coefficients:
    """Fit one fold; without rows it predicts 0, without contrast their mean."""
    values = np.unique(reward)
    used = np.ptp(features, axis=0) > 1e-6 if len(features) else np.zeros(features.shape[1], dtype=bool)
    if len(values) < 2 or not used.any():
        mean = float(reward.mean()) if len(values) else 0.0
        return _Coefficients(mean, np.zeros(N_DECISION), np.zeros(N_CANDIDATE), False, mean, mean)
    # a column that never changes here tells nothing, and must not where it does change
    centre, scale = features.mean(axis=0), features.std(axis=0)
    is_logistic = bool(np.isin(values, (0.0, 1.0)).all())
    learner = LogisticRegression(solver="newton-cholesky", max_iter=100) if is_logistic else Ridge()
    learner.fit((features[:, used] - centre[used]) / scale[used], reward)
    weights = np.zeros(len(scale))
    weights[used] = np.ravel(learner.coef_) / scale[used]
    intercept = float(np.ravel(learner.intercept_)[0]) - float(weights @ centre)
    low, high = float(values[0]), float(values[-1])
    return _Coefficients(intercept, weights[:N_DECISION], weights[N_DECISION:], is_logistic, low, high)
