"""What devices report, and the lines of the event log.

One line of the log is one JSON object, a `Page`, an `Impression` or a `Play`, told apart by its `kind`. Decoding checks
types and contracts, so that a line which decodes is a line that may be believed.
"""

from datetime import datetime
from enum import StrEnum
from math import isfinite

import msgspec

from models.decision import Page
from models.error import ContractError


class Delivery(StrEnum):
    """Whether a decision was shown as soon as it was made, or by a cache later on."""

    FRESH = "fresh"
    CACHED = "cached"


class Impression(msgspec.Struct, frozen=True, kw_only=True, tag="impression", tag_field="kind"):
    """A decision actually seen on screen. `received_at` is stamped by whoever logs it."""

    decision_id: str
    seen_at: datetime
    received_at: datetime
    delivery: Delivery = Delivery.FRESH

    def __post_init__(self) -> None:
        if not self.decision_id:
            raise ContractError("decision_id must not be empty")
        if self.seen_at.tzinfo is None or self.received_at.tzinfo is None:
            raise ContractError(f"seen_at and received_at must be aware UTC (decision_id={self.decision_id})")


class Play(msgspec.Struct, frozen=True, kw_only=True, tag="play", tag_field="kind"):
    """A title started by a profile: `minutes` watched, `completion` in [0, 1], reported when the play ended."""

    play_id: str
    profile_id: str
    title_id: str
    started_at: datetime
    received_at: datetime
    minutes: float
    completion: float

    def __post_init__(self) -> None:
        where = f"(play_id={self.play_id})"
        if not (self.play_id and self.profile_id and self.title_id):
            raise ContractError(f"play_id, profile_id and title_id must not be empty {where}")
        if self.started_at.tzinfo is None or self.received_at.tzinfo is None:
            raise ContractError(f"started_at and received_at must be aware UTC {where}")
        if not (isfinite(self.minutes) and self.minutes >= 0):
            raise ContractError(f"minutes must be finite and at least 0, got {self.minutes!r} {where}")
        if not 0.0 <= self.completion <= 1.0:
            raise ContractError(f"completion must be in [0, 1], got {self.completion!r} {where}")


Event = Page | Impression | Play

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def decode_line(line: bytes) -> Event:
    """Decode one line of the event log.

    Raises:
        ContractError: if the line is not JSON or breaks the contract; the message names the field.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(str(error)) from error


def encode_lines(events: list[Event]) -> bytes:
    """Encode events as lines, each ended by a newline."""
    return _encoder.encode_lines(events)
