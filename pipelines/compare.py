"""`marquee evaluate`: any policy against any other, on any part of the log that is in the lake.

This is a look for people. It is no look of the gate's account, promotes nothing and changes nothing but the files that
it writes: a training set of the window in HOME/evaluations and, if asked for, a report with its record beside it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np

from evaluation.audit import audit_record
from evaluation.evaluation import evaluate
from evaluation.gate import Ruling, Verdict, judge
from evaluation.interval import Estimate
from evaluation.record import Evaluation, encode
from evaluation.report import render_report
from models.batch import LoggedBatch
from models.best_artwork import fit_best_artwork
from models.bundle import UNIFORM
from models.candidate import candidate
from models.error import ContractError, NotReadyError
from models.interval import Interval, moment_key
from models.policy import Policy, UniformPolicy
from pipelines.account import gate_rules
from pipelines.first_reward import when_known
from pipelines.maturity import matured_share
from pipelines.part import write_whole
from pipelines.policy_lookup import CHAMPION, LIVE, find_policy
from pipelines.replay import resampling
from pipelines.settings import Settings
from pipelines.spark import refuse_without_spark
from pipelines.training import FALLBACK, choose_as_of
from pipelines.training_set import Side, TrainingSet, build_training_set, iter_training_batches

_RECORD = ".json"


class Role(StrEnum):
    """What the policy to be beaten is: the registry's champion or what scorers serve, if asked for so, or any other."""

    CHAMPION = CHAMPION
    LIVE = LIVE
    OTHER = "compared with"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says of a candidate against another policy, and what the gate would say, were this its only look.

    `champion` names the other one, in whose place the candidate would come, and `role` says what it was asked for as.
    """

    candidate: str
    champion: str
    role: Role
    from_at: datetime
    to_at: datetime
    n_decisions: int
    n_profiles: int
    decision: Ruling
    reason: str
    difference: Estimate | None
    policies: dict[str, dict[str, Estimate]]
    effective_sample_sizes: dict[str, float]
    independent_sample_sizes: dict[str, float]
    report: str | None = None


class _Log:
    """The decisions made since `from_at` whose rewards were known by `to_at`, of either side."""

    def __init__(self, settings: Settings, from_at: datetime, to_at: datetime) -> None:
        if not from_at < to_at:
            raise ContractError(f"the log must begin before it ends, got {from_at.isoformat()} to {to_at.isoformat()}")
        whole = Interval.containing(from_at, settings.interval_hours)  # training sets are built by whole intervals
        days = (to_at - whole.start_at) / timedelta(days=1)
        window = settings.model_copy(update={"training_window_days": days})
        directory = settings.home / "evaluations" / f"{moment_key(from_at)}-{moment_key(to_at)}"
        self.found: TrainingSet = build_training_set(window, choose_as_of(window, to_at), directory)
        self._from_at = np.datetime64(from_at.replace(tzinfo=None), "us")
        self._best: Policy | None = None

    def batches(self, side: Side, holdout_share: float | None = None) -> Iterator[LoggedBatch]:
        """Yield what there is of a side."""
        for logged in iter_training_batches(self.found.uri, side, holdout_share=holdout_share):
            rows = np.flatnonzero(logged.decided_at >= self._from_at)
            if len(rows):
                yield logged if len(rows) == len(logged) else logged.take(rows)

    def best_artwork(self) -> Policy:
        """Fit the best artworks, once, on the profiles that train.

        Raises:
            NotReadyError: if there are none.
        """
        if self._best is None:
            self._best = fit_best_artwork(self.batches(Side.TRAIN), candidate(FALLBACK).exploration).policy
        return self._best

    @property
    def trains(self) -> bool:
        """Tell whether any profile of this log trains."""
        return next(self.batches(Side.TRAIN), None) is not None


def compare(
    settings: Settings, name: str, against: str, from_at: datetime, to_at: datetime, report: Path | None = None
) -> Compared:
    """Hold one policy against another on the log of a stretch of time.

    Both are judged on profiles that neither learned from, whichever stretch it learned from: those that every one of
    them was kept from.

    Args:
        name: the candidate, as `find_policy` takes it.
        against: the policy to be beaten, likewise.
        from_at: decisions made since then count, if their rewards were known by `to_at`.
        to_at: exclusive.
        report: where to write the report; the audit record lies beside it, with the ending .json.

    Raises:
        ContractError: if there is no such policy, both are the same, the log is too small to say anything, or the
            report would lie where its record does.
        NotReadyError: if the log is not refreshed without a gap from `from_at` to `to_at`, or no reward is known.
        MarqueeError: if the engine cannot run.
    """
    if report is not None and report.suffix == _RECORD:
        raise ContractError(f"a report is HTML, and its record lies beside it as {_RECORD}, got {report}")
    refuse_without_spark(settings)
    log = _Log(settings, from_at, to_at)
    role = Role(against) if against in (CHAMPION, LIVE) else Role.OTHER
    challenger, champion = (find_policy(settings, each, log.best_artwork) for each in (name, against))
    if challenger.name == champion.name:
        raise ContractError(f"a policy cannot be held against itself, got {name!r} and {against!r}: {champion.name}")
    policies: dict[str, Policy] = {UNIFORM: UniformPolicy()}
    if log.trains:  # beside the two, for the picture
        policies[FALLBACK] = log.best_artwork()
    policies |= {each.name: each.policy for each in (champion, challenger)}
    share = min(log.found.holdout_share, challenger.holdout_share, champion.holdout_share)
    if next(log.batches(Side.JUDGE, share), None) is None:
        stretch = f"{from_at.isoformat()} to {to_at.isoformat()}"
        raise NotReadyError(
            f"no reward is known of a decision from {stretch} that may judge: {when_known(settings, to_at)}"
        )
    found = evaluate(policies, lambda: log.batches(Side.JUDGE, share), champion=champion.name, bootstrap=resampling())
    verdict = judge(
        found, challenger.name, gate_rules(settings), n_candidates=1, matured_share=matured_share(settings, log.found)
    )
    if report is not None:
        _write(settings, log.found, found, verdict, from_at, report, role)
    return Compared(
        candidate=challenger.name,
        champion=champion.name,
        role=role,
        from_at=from_at,
        to_at=to_at,
        n_decisions=found.log.n_decisions,
        n_profiles=found.log.n_profiles,
        decision=verdict.decision,
        reason=verdict.reason,
        difference=verdict.difference,
        policies={result.name: result.estimates for result in found.policies},
        effective_sample_sizes={result.name: result.support.effective_sample_size for result in found.policies},
        independent_sample_sizes={result.name: result.support.independent_sample_size for result in found.policies},
        report=str(report) if report else None,
    )


def _write(
    settings: Settings,
    found: TrainingSet,
    evaluation: Evaluation,
    verdict: Verdict,
    from_at: datetime,
    report: Path,
    role: Role,
) -> None:
    audit = audit_record(
        evaluation,
        [verdict],
        gate_rules(settings),
        judged_at=datetime.now(UTC),
        data_version=found.data_version,
        window_start_at=from_at,
        window_end_at=found.as_of,
        rollback_to=verdict.champion,
        matured_share=matured_share(settings, found),
    )
    title = f"{verdict.candidate} against {verdict.champion}"
    write_whole(report.with_suffix(_RECORD), encode(audit))
    write_whole(report, render_report(evaluation, [verdict], title=title, role=role).encode())
