"""What the scorer answers: propensities stay in the log unless the request asks for an explanation."""

import msgspec


class Choice(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The artwork of one title; `decision_id` is what its impression is reported with."""

    title_id: str
    artwork_id: str
    decision_id: str
    propensity: float | None = None
    intent: str | None = None


class PageAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One choice for every title asked for, in the same order.

    `unlogged` tells that the event log could not be written: the page may be shown, but will never be learned from.
    """

    page_id: str
    policy_version: str
    cell: str
    decisions: tuple[Choice, ...]
    unlogged: bool = False


class EventsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are safe in the log."""

    accepted: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused: the HTTP status, the field where one is wrong (else empty), and words."""

    status: int
    field: str
    message: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: Problem
