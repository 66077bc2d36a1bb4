"""The sums from which an evaluation is made, a row for each profile, filled batch by batch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import numpy as np

from evaluation import estimator, log_check
from evaluation.breakdown import Breakdown
from evaluation.interval import Estimate, bootstrap, normal
from evaluation.keyed_totals import DistinctCount, Grouping, KeyedTotals
from evaluation.log_check import draw_columns, draw_tests
from evaluation.policy_tally import PolicyTally
from evaluation.profile_score import profile_scores
from evaluation.record import Comparison, Evaluation, LogSummary, ModelSummary, PolicyResult
from evaluation.reward_model import RewardModel
from evaluation.score import Ratio, pool
from evaluation.title_draw import TitleDraws
from models.batch import Floats, LoggedBatch
from models.decision import Cell
from models.error import ContractError
from models.policy import Policy

NO_OVERLAP = "no overlap: it never shows the artwork that the log shows"
_COUNT, _REWARD, _DRAW = 0, 1, slice(2, 2 + log_check.N_COLUMNS)


class Ledger:
    """Sums by profile of everything that `policies` are judged by.

    Args: those of `evaluate`; countries, which get a segment of their own.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        champion: str,
        model: RewardModel,
        max_clusters: int,
        countries: Sequence[str] = (),
    ) -> None:
        self.n_decisions = 0
        self._policies = {champion: policies[champion], **policies}  # the champion first: others are held against it
        self._names = tuple(policies)
        self._champion = champion
        self._model = model
        self._totals = KeyedTotals(_DRAW.stop + estimator.N_COLUMNS * len(policies), max_clusters)
        self._tallies = {name: PolicyTally() for name in policies}
        self._profiles = DistinctCount()
        self._title_draws = TitleDraws()
        self._parts = Breakdown(countries, tuple(self._policies))
        self._min_propensity = 1.0
        self._n_uniform = self._n_rewarded = 0
        self._prediction = np.zeros(4)  # sums of predictions, squared residuals, rewards, squared rewards
        self._times: list[np.datetime64] = []
        self._first_id = ""

    def add(self, logged: LoggedBatch) -> None:
        """Count one batch of at least one decision."""
        grouping = Grouping.of(self._totals.key(logged.batch.profile_keys))
        predicted = self._model.predict(logged.batch)
        blocks = [grouping.sums(self._add_log(logged, predicted[logged.chosen]))]
        placed = self._parts.place(logged)
        base: Floats | None = None
        for name, policy in self._policies.items():
            pmf, columns = self._tallies[name].add(name, policy, logged, predicted, base)
            blocks.append(grouping.sums(columns))
            self._parts.add(name, placed, pmf, columns)
            base = pmf if base is None else base
        self._totals.add(grouping, np.hstack(blocks))

    def evaluation(self, confidence: float, generator: np.random.Generator | None) -> Evaluation:
        """Close the books.

        Raises:
            ContractError: if the log was empty or had one profile.
        """
        if self.n_decisions == 0:
            raise ContractError("the log must hold at least one decision, got 0")
        sums = self._totals.sums
        if len(sums) < 2:
            raise ContractError(f"the log must hold at least 2 profiles, got 1 (decision_id={self._first_id})")
        counts = sums[:, _COUNT]
        ratios = {}
        for place, name in enumerate(self._policies):
            start = _DRAW.stop + place * estimator.N_COLUMNS
            ratios[name] = estimator.from_columns(sums[:, start : start + estimator.N_COLUMNS], counts)
        sample_ratio, calibration = draw_tests(sums[:, _DRAW], self.n_decisions, self._n_uniform)
        return Evaluation(
            champion=self._champion,
            confidence=confidence,
            log=self._log_summary(sums, confidence),
            reward_model=self._model_summary(),
            policies=tuple(self._result(name, ratios[name], counts, confidence) for name in self._names),
            comparisons=tuple(
                self._comparison(name, ratios, confidence, generator) for name in self._names if name != self._champion
            ),
            sample_ratio=sample_ratio,
            calibration=calibration,
            title_ratio=self._title_draws.test(),
        )

    @property
    def _n_profiles(self) -> int:
        return self._profiles.value if self._totals.is_merged else len(self._totals.keys)

    def _add_log(self, logged: LoggedBatch, predicted: Floats) -> Floats:
        """Count what is not summed by profile, and give the columns of what is."""
        reward = logged.reward
        self._first_id = self._first_id or str(logged.decision_ids[0])
        self.n_decisions += len(logged)
        self._profiles.add(logged.batch.profile_keys)
        self._title_draws.add(logged)
        self._min_propensity = min(self._min_propensity, float(logged.propensity.min()))
        self._n_uniform += int((logged.cell == Cell.UNIFORM.value).sum())
        self._n_rewarded += int((reward > 0).sum())
        residual = reward - predicted
        self._prediction += (predicted.sum(), residual @ residual, reward.sum(), reward @ reward)
        seen = [*self._times, logged.decided_at.min(), logged.decided_at.max()]
        self._times = [min(seen), max(seen)]
        return np.column_stack((np.ones(len(logged)), reward, draw_columns(logged)))

    def _log_summary(self, sums: Floats, confidence: float) -> LogSummary:
        first, last = (_moment(time) for time in self._times)
        return LogSummary(
            n_decisions=self.n_decisions,
            n_profiles=self._n_profiles,
            n_clusters=len(sums),
            n_rewarded=self._n_rewarded,
            take_fraction=normal(pool((Ratio(sums[:, _REWARD], sums[:, _COUNT]),)), confidence),
            first_decided_at=first,
            last_decided_at=last,
            days=self._parts.log_days(confidence),
        )

    def _model_summary(self) -> ModelSummary:
        prediction, squared_residual, reward, squared_reward = (float(total) for total in self._prediction)
        n = self.n_decisions
        return ModelSummary(prediction / n, squared_residual / n, squared_reward / n - (reward / n) ** 2)

    def _result(
        self, name: str, ratios: dict[str, tuple[Ratio, ...]], counts: Floats, confidence: float
    ) -> PolicyResult:
        tally, kept = self._tallies[name], ratios["replay"][0].denominator
        assert kept is not None  # noqa: S101 - replay always has one; told to mypy
        error = normal(pool((Ratio(kept, counts),)), confidence).standard_error
        overlaps = tally.support.total > 0
        estimates = {key: normal(pool(parts), confidence) for key, parts in ratios.items()} if overlaps else {}
        return PolicyResult(
            name=name,
            n_decisions=self.n_decisions,
            n_profiles=self._n_profiles,
            n_matched=tally.n_matched,
            estimates=estimates,
            support=tally.support.support(self._min_propensity, error),
            days=self._parts.policy_days(name, confidence),
            problem="" if overlaps else NO_OVERLAP,
            tastes=self._parts.tastes(name),
        )

    def _comparison(
        self,
        name: str,
        ratios: dict[str, dict[str, tuple[Ratio, ...]]],
        confidence: float,
        generator: np.random.Generator | None,
    ) -> Comparison:
        for side in (name, self._champion):
            if self._tallies[side].support.total == 0:
                return Comparison(name, self._champion, None, problem=f"{side}: {NO_OVERLAP}")
        candidate, champion = ratios[name]["dr"][0], ratios[self._champion]["dr"][0]
        counts = self._totals.sums[:, _COUNT]
        paired = (Ratio(candidate.numerator - champion.numerator, counts),)
        resampled: Estimate | None = None
        if generator is not None:
            resampled = bootstrap(paired, generator, confidence=confidence)
        difference, segments = normal(pool(paired), confidence), self._parts.segments(name, confidence)
        scores = profile_scores(paired[0].numerator, counts)
        return Comparison(name, self._champion, difference, resampled, segments=segments, scores=scores)


def _moment(time: np.datetime64) -> datetime:
    """Turn numpy's time, which is UTC, into an aware one."""
    moment = time.astype("datetime64[us]").astype(datetime)
    return cast("datetime", moment).replace(tzinfo=UTC)
