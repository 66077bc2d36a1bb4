"""What was decided: one page of decisions, each with the propensity of what was drawn."""

from datetime import datetime
from enum import StrEnum
from math import isfinite

import msgspec

from models.error import ContractError


class Cell(StrEnum):
    """The experiment cell of a profile."""

    LIVE = "live"
    UNIFORM = "uniform"


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the request itself says: device, place and the viewer's local time.

    `local_hour` is 0–23 and `day_of_week` 0 (Monday) to 6; both fall back to UTC where the device does not say.
    """

    device: str = ""
    country: str = ""
    language: str = ""
    local_hour: int | None = None
    day_of_week: int | None = None

    def __post_init__(self) -> None:
        if self.local_hour is not None and not 0 <= self.local_hour <= 23:
            raise ContractError(f"local_hour must be in 0..23, got {self.local_hour}")
        if self.day_of_week is not None and not 0 <= self.day_of_week <= 6:
            raise ContractError(f"day_of_week must be in 0..6, got {self.day_of_week}")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One title's choice on a page.

    `propensity` is the probability, in (0, 1], that the policy gave `artwork_id` among `actions`, the eligible
    artworks in order; it is written here once and never recomputed. `features` are the title, familiarity and chosen
    artwork vectors as served, little-endian float32 end to end in the order of `models.layout`. `intent` is `live` or
    `fallback:<why>`; `row` and `column` are the position on the page, from 0; `score` is the recommender's own opinion
    of the title for this profile.
    """

    decision_id: str
    title_id: str
    artwork_id: str
    actions: tuple[str, ...]
    propensity: float
    intent: str = "live"
    row: int = 0
    column: int = 0
    score: float = 0.0
    features: bytes = b""

    def __post_init__(self) -> None:
        where = f"(decision_id={self.decision_id})"
        if not self.decision_id or not self.title_id:
            raise ContractError(f"decision_id and title_id must not be empty {where}")
        if not 0.0 < self.propensity <= 1.0:
            raise ContractError(f"propensity must be in (0, 1], got {self.propensity!r} {where}")
        if self.artwork_id not in self.actions:
            raise ContractError(f"artwork_id must be one of actions, got {self.artwork_id!r} {where}")
        if len(set(self.actions)) != len(self.actions):
            raise ContractError(f"actions must not repeat {where}")
        if self.row < 0 or self.column < 0:
            raise ContractError(f"row and column must be at least 0, got {self.row}, {self.column} {where}")
        if not isfinite(self.score):
            raise ContractError(f"score must be finite, got {self.score!r} {where}")


class Page(msgspec.Struct, frozen=True, kw_only=True, tag="page", tag_field="kind"):
    """One answered request: a profile and the decisions made for it together.

    `decided_at` is also when the page was logged. `epoch` is the stickiness epoch of the draws. `profile_features` is
    the profile vector as served, little-endian float32; `feature_service` names the layout of every vector here.
    """

    page_id: str
    decided_at: datetime
    profile_id: str
    policy_version: str
    cell: Cell
    epoch: int
    feature_service: str
    context: RequestContext
    decisions: tuple[Decision, ...]
    profile_features: bytes = b""

    def __post_init__(self) -> None:
        if self.decided_at.tzinfo is None:
            raise ContractError(f"decided_at must be aware UTC (page_id={self.page_id})")
        if not self.profile_id:
            raise ContractError(f"profile_id must not be empty (page_id={self.page_id})")
