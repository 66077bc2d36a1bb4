"""What an evaluation says: frozen records that turn into JSON and back."""

from datetime import datetime

import msgspec

from evaluation.interval import Estimate
from evaluation.log_check import DrawTest
from evaluation.profile_score import ProfileScores
from evaluation.support import Support
from evaluation.title_draw import TitleTest
from models.error import ContractError


class Day(msgspec.Struct, frozen=True):
    """One UTC day of the log: `day` as YYYY-MM-DD, its decisions and their mean reward, with the ends of its interval.

    An interval is None where a single group of profiles has the whole day.
    """

    day: str
    n_decisions: int
    take_fraction: float
    low: float | None = None
    high: float | None = None


class PolicyDay(msgspec.Struct, frozen=True):
    """A policy's replay of one day: the decisions that match it, and their weighted mean reward."""

    day: str
    n_matched: float
    take_fraction: float
    low: float | None = None
    high: float | None = None


class TasteMix(msgspec.Struct, frozen=True):
    """What a policy shows to profiles whose strongest taste is `taste`: shares of artworks by strongest style."""

    taste: str
    n_decisions: int
    shares: dict[str, float]


class SegmentResult(msgspec.Struct, frozen=True):
    """Candidate less champion in one segment of a dimension.

    `n_profiles` is exact up to 4,095 and estimated beyond. `difference` is this segment's alone; `low` and `high` are
    simultaneous over all segments of the comparison. All three are None where the segment has too few profiles for an
    interval.
    """

    dimension: str
    name: str
    n_decisions: int
    n_profiles: int
    difference: Estimate | None = None
    low: float | None = None
    high: float | None = None


class LogSummary(msgspec.Struct, frozen=True):
    """The log itself.

    `n_profiles` is exact as long as each is a cluster of its own, then estimated; `n_rewarded` have a reward above 0.
    """

    n_decisions: int
    n_profiles: int
    n_clusters: int
    n_rewarded: int
    take_fraction: Estimate
    first_decided_at: datetime
    last_decided_at: datetime
    days: tuple[Day, ...]


class ModelSummary(msgspec.Struct, frozen=True):
    """The reward model on decisions of profiles that it never saw: `error` is its mean squared error.

    `baseline_error` is what the log's mean reward would have, as prediction of everything.
    """

    mean_prediction: float
    error: float
    baseline_error: float


class PolicyResult(msgspec.Struct, frozen=True):
    """One policy on one log.

    `estimates` holds an `Estimate` by estimator name. It is empty, and `problem` says why, where the log does not
    overlap with the policy. `n_matched` counts logged decisions in which the policy shows the logged artwork (for one
    that draws, the expected number). `tastes` has the commonest taste first.
    """

    name: str
    n_decisions: int
    n_profiles: int
    n_matched: float
    estimates: dict[str, Estimate]
    support: Support
    days: tuple[PolicyDay, ...]
    problem: str = ""
    tastes: tuple[TasteMix, ...] = ()


class Comparison(msgspec.Struct, frozen=True):
    """Candidate less champion by doubly robust scores, paired by profile.

    `difference` and `scores` are None, and `problem` says why, without overlap. `scores` are what the gate decides by.
    `bootstrap` is a diagnostic, there when asked for.
    """

    candidate: str
    champion: str
    difference: Estimate | None
    bootstrap: Estimate | None = None
    problem: str = ""
    segments: tuple[SegmentResult, ...] = ()
    scores: ProfileScores | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """Everything that a verdict and a report need, and nothing that grows with the log but its days.

    `title_ratio` is None in records from before it was made.
    """

    champion: str
    confidence: float
    log: LogSummary
    reward_model: ModelSummary
    policies: tuple[PolicyResult, ...]
    comparisons: tuple[Comparison, ...]
    sample_ratio: DrawTest
    calibration: DrawTest
    title_ratio: TitleTest | None = None

    def policy(self, name: str) -> PolicyResult:
        """Find one policy's result.

        Raises:
            ContractError: if it was not evaluated.
        """
        for result in self.policies:
            if result.name == name:
                return result
        raise ContractError(f"policy must be one of {[result.name for result in self.policies]}, got {name!r}")

    def comparison(self, candidate: str) -> Comparison:
        """Find one candidate's comparison with the champion.

        Raises:
            ContractError: if there is none.
        """
        for comparison in self.comparisons:
            if comparison.candidate == candidate:
                return comparison
        names = [comparison.candidate for comparison in self.comparisons]
        raise ContractError(f"candidate must be one of {names}, got {candidate!r}")


def encode(record: msgspec.Struct) -> bytes:
    """Turn a record into indented JSON, the same bytes for the same record."""
    return msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=2) + b"\n"


def decode_evaluation(data: bytes) -> Evaluation:
    """Turn JSON back into an evaluation.

    Raises:
        ContractError: naming the field, if it is not one.
    """
    try:
        return msgspec.json.decode(data, type=Evaluation)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContractError(f"not an evaluation: {error}") from error
