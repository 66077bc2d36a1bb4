"""What was done about the live policy: HOME/reports/changes/<at>-<kind>.json, one record for each event, for good."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from evaluation.record import encode
from models.error import ContractError
from pipelines.part import write_whole
from pipelines.settings import Settings


class Kind(StrEnum):
    """What happened: to the registry's champion, to the pointer, or to both."""

    PROMOTION = "promotion"
    PUBLICATION = "publication"
    ROLLBACK = "rollback"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A version took the place of another as champion or live policy; `by_hand` says that a person asked for it.

    `unproven` says that the person asked although the gate had let the version through in no round.
    `withdrawn_at` is when a rollback last took a version out of service that was promoted all the same, or again since.
    `passed_over` has the versions that a rollback would have gone back to but could not trust, each with why.
    """

    kind: Kind
    version: str
    replaced: str | None
    at: datetime
    by_hand: bool = False
    unproven: bool = False
    withdrawn_at: datetime | None = None
    passed_over: dict[str, str] = {}


def changes(settings: Settings) -> list[Change]:
    """List all that was done, the oldest first.

    Raises:
        ContractError: naming a record that cannot be read.
    """
    return [_read(path) for path in sorted(_directory(settings).glob("*.json"))]


def keep_change(settings: Settings, done: Change, *, is_new: bool) -> None:
    """Write down what was done.

    Args: is_new, whether this call did it; otherwise it is written only where the run that did it could not write.
    """
    kinds = (done.kind, Kind.ROLLBACK)
    last = None if is_new else next((each for each in reversed(changes(settings)) if each.kind in kinds), None)
    if last is None or last.version != done.version:
        write_whole(_directory(settings) / f"{done.at:%Y%m%dT%H%M%S%fZ}-{done.kind}.json", encode(done))


def _directory(settings: Settings) -> Path:
    return settings.reports_dir / "changes"


def _read(path: Path) -> Change:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Change)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContractError(f"not the record of a change: {path}: {error}") from error
