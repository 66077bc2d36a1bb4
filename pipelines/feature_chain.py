"""The chain of built intervals: each advanced the state of the one before, and HOME/features/_built/<key>.json says so.

Where an interval was built, or built anew, after a later one, the later one rests on a state that is no longer the one
before it. Its rows stay wrong until it is rebuilt, and so do those of all that came after.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from models.error import ContractError, NotReadyError
from models.interval import Interval
from pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class Built:
    """The note that an interval is built.

    `state` is the digest of its states. `before` is the interval whose state was advanced and `state_before` its
    digest; both are empty where there was none.
    """

    interval: str
    end_at: str
    state: str
    before: str
    state_before: str

    @property
    def stretch(self) -> Interval:
        """The interval itself."""
        return Interval(Interval.parse(self.interval, hours=1.0).start_at, datetime.fromisoformat(self.end_at))

    def encode(self) -> bytes:
        """Spell the note as its file holds it."""
        return json.dumps(asdict(self), indent=1).encode()


@dataclass(frozen=True, slots=True)
class NewestState:
    """The newest interval that is built: its key and end, and the digest of its states."""

    key: str
    end_at: datetime
    state: str

    @property
    def digest(self) -> str:
        """Name interval and content."""
        return f"{self.key}/{self.state}"


def note_path(settings: Settings, key: str) -> Path:
    """Find the note of one interval."""
    return settings.features_dir / "_built" / f"{key}.json"


def read_note(settings: Settings, key: str) -> Built:
    """Read the note of one interval.

    Raises:
        ContractError: naming a note that cannot be read.
        NotReadyError: naming the interval, if there is none: it is being built anew.
    """
    path = note_path(settings, key)
    try:
        fields: dict[str, Any] = json.loads(path.read_bytes())
        note = Built(**fields)
        _ = note.stretch
    except FileNotFoundError as error:
        raise NotReadyError(f"features of interval {key} are being built anew") from error
    except (OSError, ValueError, TypeError) as error:
        raise ContractError(f"not the note of a built interval: {path}: {error}") from error
    return note


def built_intervals(settings: Settings) -> list[str]:
    """List the keys of the intervals that are built, sorted."""
    return sorted(path.stem for path in (settings.features_dir / "_built").glob("*.json"))


def newest_state(settings: Settings) -> NewestState | None:
    """Find the newest state that events may be counted onto; None before any.

    Raises:
        ContractError: naming a note that cannot be read.
        NotReadyError: if it is being built anew.
    """
    built = built_intervals(settings)
    if not built:
        return None
    note = read_note(settings, built[-1])
    return NewestState(note.interval, note.stretch.end_at, note.state)


def read_chain(settings: Settings, until: datetime | None = None) -> list[Built]:
    """Read the notes of the intervals that ended by `until`, the oldest first; of all where it is None.

    Raises:
        ContractError: naming a note that cannot be read.
        NotReadyError: naming an interval that is being built anew.
    """
    notes = [read_note(settings, key) for key in built_intervals(settings)]
    return [note for note in notes if until is None or note.stretch.end_at <= until]


def broken_link(chain: list[Built]) -> Built | None:
    """Find the first interval that does not rest on the state of the one before it; None where all do."""
    before = ("", "")
    for note in chain:
        if (note.before, note.state_before) != before:
            return note
        before = (note.interval, note.state)
    return None


def link_notice(settings: Settings, until: datetime | None = None) -> str | None:
    """Name the first interval by `until` that rests on another state than that before it, and what mends it; or None.

    Raises:
        ContractError, NotReadyError: as `read_chain`.
    """
    chain = read_chain(settings)
    broken = broken_link([note for note in chain if until is None or note.stretch.end_at <= until])
    if broken is None:
        return None
    command = backfill_command(broken.stretch.start_at, chain[-1].stretch.end_at)
    return f"features of interval {broken.interval} rest on a state that is not the one before it any more: {command}"


def refuse_broken_chain(settings: Settings, until: datetime | None = None) -> None:
    """Refuse to build or learn upon features that rest on a state which has changed since.

    Raises:
        NotReadyError: naming the first such interval by `until`, and the backfill that mends it and what came after.
        ContractError: naming a note that cannot be read.
    """
    notice = link_notice(settings, until)
    if notice:
        raise NotReadyError(notice)


def backfill_command(start_at: datetime, end_at: datetime) -> str:
    """Spell the command that builds all intervals of [start_at, end_at)."""
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%S") for moment in (start_at, end_at))
    return f"marquee backfill --from {start} --to {end}"
