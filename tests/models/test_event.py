"""Lines of the event log."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.error import ContractError
from models.event import Delivery, Impression, Play, decode_line, encode_lines

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
NAIVE = AT.replace(tzinfo=None)
IMPRESSION: dict[str, Any] = {"decision_id": "d-1", "seen_at": AT, "received_at": AT}
PLAY: dict[str, Any] = {
    "play_id": "play-1",
    "profile_id": "who",
    "title_id": "t-1",
    "started_at": AT,
    "received_at": AT,
    "minutes": 42.0,
    "completion": 0.5,
}


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (Impression, {"decision_id": ""}, "decision_id"),
        (Impression, {"seen_at": NAIVE}, "decision_id=d-1"),
        (Impression, {"received_at": NAIVE}, "decision_id=d-1"),
        (Play, {"play_id": ""}, "play_id"),
        (Play, {"profile_id": ""}, "play_id=play-1"),
        (Play, {"title_id": ""}, "play_id=play-1"),
        (Play, {"started_at": NAIVE}, "play_id=play-1"),
        (Play, {"received_at": NAIVE}, "play_id=play-1"),
        (Play, {"minutes": -1.0}, "minutes must be finite and at least 0, got -1.0"),
        (Play, {"minutes": float("inf")}, "minutes"),
        (Play, {"minutes": float("nan")}, "minutes"),
        (Play, {"completion": 1.1}, "completion must be in"),
        (Play, {"completion": float("nan")}, "completion"),
    ],
)
def test_an_event_that_cannot_be_is_refused_by_id(kind: type, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError) as caught:
        kind(**{**(IMPRESSION if kind is Impression else PLAY), **change})
    assert said in str(caught.value)


@given(
    minutes=st.floats(0, 1e6),
    completion=st.floats(0, 1),
    started_at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    delivery=st.sampled_from(Delivery),
)
def test_events_are_read_as_they_were_written(
    minutes: float, completion: float, started_at: datetime, delivery: Delivery
) -> None:
    events = [
        Play(**{**PLAY, "minutes": minutes, "completion": completion, "started_at": started_at}),
        Impression(**{**IMPRESSION, "delivery": delivery, "seen_at": started_at}),
    ]
    assert [decode_line(line) for line in encode_lines(events).splitlines()] == events


def test_times_of_another_zone_mean_the_same_moment() -> None:
    line = encode_lines([Impression(**IMPRESSION)]).replace(b"T12:00:00Z", b"T14:00:00+02:00")
    found = decode_line(line)
    assert isinstance(found, Impression)
    assert found.seen_at - AT == timedelta(0)


GOOD = msgspec.json.decode(msgspec.json.encode(Play(**PLAY)))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "truncated"),
        (b"\xff", "malformed"),
        (b"null", "object"),
        (b"[]", "object"),
        (b"{}", "kind"),
        (b'{"kind":"click"}', "click"),
        (msgspec.json.encode(GOOD)[:-5], "truncated"),
        (msgspec.json.encode({**GOOD, "minutes": "42"}), "minutes"),
        (msgspec.json.encode({**GOOD, "minutes": -1}), "minutes"),
        (msgspec.json.encode({**GOOD, "started_at": "yesterday"}), "started_at"),
        (msgspec.json.encode({**GOOD, "started_at": "2026-11-01T12:00:00"}), "play_id=play-1"),
        (msgspec.json.encode({name: value for name, value in GOOD.items() if name != "title_id"}), "title_id"),
        (b'{"kind":"play","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
    ],
)
def test_a_line_that_cannot_be_believed_says_why(line: bytes, said: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_line(line)
    assert said in str(caught.value)


@given(line=st.binary(max_size=60))
def test_whatever_a_line_holds_it_is_believed_or_refused(line: bytes) -> None:
    with pytest.raises(ContractError):
        decode_line(line)
