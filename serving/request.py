"""What may be asked of the scorer over HTTP: the shape of every body, and the limits of every field.

A field that is not known is refused: a misspelled one would lose what it holds, and nobody would ever hear of it.
"""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from models.decision import RequestContext
from models.error import ContractError
from models.event import Delivery, Event, Impression, Play
from models.moment import EARLIEST, LATEST

CONTROL_CHARACTERS = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
"""What no text of a request may hold: control characters, and the separators that some readers take for a line's end.

`serving.body.decode` sees to it for a whole body at once: a pattern for each field costs more than reading them all.
"""

# The end is spelled as "nothing follows", because `$` lets a last newline pass in some languages.
_PLAIN = {"pattern": rf"^[^{CONTROL_CHARACTERS}]*(?![\s\S])"}
Id = Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema=_PLAIN)]
_Word = Annotated[str, Meta(max_length=64, extra_json_schema=_PLAIN)]
_Place = Annotated[int, Meta(ge=0, le=10_000)]
_Moment = Annotated[datetime, Meta(tz=True)]

MAX_ARTWORKS = 1_000


class AskedTitle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A title to choose an artwork for.

    `artworks`, where given, are the only ones that may be shown, in this order, launched and known or not; otherwise
    the title's launched artworks are. Either way, what the catalogue does not allow at the context's `country` and
    `maturity_limit` is left out. `score` is the recommender's own opinion. Where they are not given, score and row
    are 0, and `column` is the title's place in the list.
    """

    title_id: Id
    artworks: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=MAX_ARTWORKS)] | None = None
    score: Annotated[float, Meta(ge=-1e6, le=1e6)] | None = None
    row: _Place | None = None
    column: _Place | None = None


class AskedContext(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What the device says of itself; hours and days are the viewer's own, UTC where they are not given.

    `maturity_limit` is the age that the profile is limited to: artworks from a greater age on are no candidates.
    """

    device: _Word = ""
    country: _Word = ""
    language: _Word = ""
    local_hour: Annotated[int, Meta(ge=0, le=23)] | None = None
    day_of_week: Annotated[int, Meta(ge=0, le=6)] | None = None
    maturity_limit: Annotated[int, Meta(ge=0, le=99)] | None = None

    def at(self, moment: datetime) -> RequestContext:
        """Complete the context with the hour and day of `moment`, as it is then logged."""
        utc = moment.astimezone(UTC)
        return RequestContext(
            device=self.device,
            country=self.country,
            language=self.language,
            local_hour=utc.hour if self.local_hour is None else self.local_hour,
            day_of_week=utc.weekday() if self.day_of_week is None else self.day_of_week,
        )


_NO_CONTEXT = AskedContext()


class PageRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One page: a profile and its titles, each an object or just an id. `explain` asks for propensities too."""

    profile_id: Id
    titles: Annotated[tuple[AskedTitle | Id, ...], Meta(min_length=1)]
    context: AskedContext = _NO_CONTEXT
    explain: bool = False

    def __post_init__(self) -> None:
        # Here for all titles: a method of each title would be called forty times a page.
        ids = [title if isinstance(title, str) else title.title_id for title in self.titles]
        if len(set(ids)) < len(ids):
            twice = next(title_id for place, title_id in enumerate(ids) if title_id in ids[:place])
            raise ContractError(f"titles must not repeat, got {twice!r} twice")
        for place, title in enumerate(self.titles):
            artworks = None if isinstance(title, str) else title.artworks
            if artworks is not None and len(set(artworks)) < len(artworks):
                raise ContractError(f"titles[{place}].artworks must not repeat")


class SeenImpression(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision that was seen on screen."""

    decision_id: Id
    seen_at: _Moment
    delivery: Delivery = Delivery.FRESH

    def __post_init__(self) -> None:
        _check_moment("seen_at", self.seen_at)


class EndedPlay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A play, reported when it ended: `minutes` watched, `completion` the share of the title, in [0, 1]."""

    play_id: Id
    profile_id: Id
    title_id: Id
    started_at: _Moment
    minutes: Annotated[float, Meta(ge=0.0, le=1e6)]
    completion: Annotated[float, Meta(ge=0.0, le=1.0)]

    def __post_init__(self) -> None:
        _check_moment("started_at", self.started_at)


class EventsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What devices report, at least one event.

    The same event may be sent again: it is counted once, by its id (and `seen_at`).
    """

    impressions: tuple[SeenImpression, ...] = ()
    plays: tuple[EndedPlay, ...] = ()

    def __post_init__(self) -> None:
        if not self.impressions and not self.plays:
            raise ContractError("impressions or plays must be given: there is not one event")

    def stamped(self, received_at: datetime) -> list[Event]:
        """Turn the report into records of the event log, received at `received_at`."""
        impressions = [
            Impression(
                decision_id=seen.decision_id,
                seen_at=seen.seen_at.astimezone(UTC),
                received_at=received_at,
                delivery=seen.delivery,
            )
            for seen in self.impressions
        ]
        plays = [
            Play(
                play_id=play.play_id,
                profile_id=play.profile_id,
                title_id=play.title_id,
                started_at=play.started_at.astimezone(UTC),
                received_at=received_at,
                minutes=play.minutes,
                completion=play.completion,
            )
            for play in self.plays
        ]
        return [*impressions, *plays]


def _check_moment(name: str, moment: datetime) -> None:
    if not EARLIEST <= moment < LATEST:
        raise ContractError(f"{name} must lie between {EARLIEST.year} and {LATEST.year}, got {moment.isoformat()}")
