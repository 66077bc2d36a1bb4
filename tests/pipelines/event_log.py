"""Small event logs for tests: pages, impressions and plays, written as closed segments."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from models.decision import Cell, Decision, Page, RequestContext
from models.event import Delivery, Event, Impression, Play, encode_lines
from models.interval import Interval
from models.segment import closed_name

DAY = Interval.parse("20261101T000000Z", hours=24)
NEXT = Interval.parse("20261102T000000Z", hours=24)


def at(hours: float, interval: Interval = DAY) -> datetime:
    return interval.start_at + timedelta(hours=hours)


def page(decided_at: datetime, *ids: str, profile_id: str = "p", title_id: str = "t") -> Page:
    return Page(
        page_id=f"page-{ids[0] if ids else decided_at}",
        decided_at=decided_at,
        profile_id=profile_id,
        policy_version="uniform",
        cell=Cell.UNIFORM,
        epoch=7,
        feature_service="artwork_ranker_v1",
        context=RequestContext(device="tv"),
        decisions=tuple(
            Decision(
                decision_id=name,
                title_id=title_id,
                artwork_id="a1",
                actions=("a0", "a1"),
                propensity=0.5,
                features=b"\x01",
            )
            for name in ids
        ),
    )


def impression(
    decision_id: str, seen_at: datetime, received_at: datetime | None = None, delivery: Delivery = Delivery.FRESH
) -> Impression:
    return Impression(decision_id=decision_id, seen_at=seen_at, received_at=received_at or seen_at, delivery=delivery)


def play(
    play_id: str,
    started_at: datetime,
    received_at: datetime | None = None,
    *,
    profile_id: str = "p",
    title_id: str = "t",
    minutes: float = 10.0,
    completion: float = 0.1,
) -> Play:
    return Play(
        play_id=play_id,
        profile_id=profile_id,
        title_id=title_id,
        started_at=started_at,
        received_at=received_at or started_at,
        minutes=minutes,
        completion=completion,
    )


def logged_at(event: Event) -> datetime:
    return event.decided_at if isinstance(event, Page) else event.received_at


def write_segment(events_dir: Path, events: Sequence[Event], writer: str = "w", extra: bytes = b"") -> Path:
    """Write one closed segment in the given order of events; `extra` bytes follow the last line."""
    times = [logged_at(event) for event in events] or [DAY.start_at]
    return write_raw(events_dir, encode_lines(list(events)) + extra, min(times), max(times), writer)


def write_raw(events_dir: Path, content: bytes, opened_at: datetime, closed_at: datetime, writer: str = "w") -> Path:
    events_dir.mkdir(parents=True, exist_ok=True)
    path = events_dir / closed_name(opened_at, closed_at, writer)
    path.write_bytes(content)
    return path
