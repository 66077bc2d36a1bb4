"""How imported data becomes an event log: staged where nobody looks, and put in place in one step or not at all."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import msgspec

from models.catalogue import Artwork, Catalogue, Title
from models.decision import Page
from models.error import ContractError, NotReadyError
from models.event import Event, Impression, Play
from models.interval import Interval
from models.segment import closed_name
from pipelines.settings import Settings
from serving.catalogue_file import read_catalogue, write_catalogue
from serving.segment_file import sync_directory

Progress = Callable[[int], None]
"""Told how many decisions are done by now."""

_RECORD = "imported.json"
_BUFFER_BYTES = 32 * 2**20
_SEGMENT_BYTES = 48 * 2**20


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought in. `first_interval` and `last_interval` are the keys of the intervals to refresh."""

    n_decisions: int
    n_plays: int
    n_titles: int
    n_artworks: int
    first_interval: str
    last_interval: str


@dataclass(frozen=True, slots=True)
class _Record:
    """What is noted beside an import's segments: `sources` name the logs that it brought in."""

    sources: tuple[str, ...]
    imported: Imported


@dataclass(slots=True)
class _Bucket:
    """One interval's segment that is being written: what is still in memory, and how far the file on disk is."""

    path: Path
    first_at: datetime
    last_at: datetime
    pending: BytesIO = field(default_factory=BytesIO)
    size: int = 0


class StagedLog:
    """Segments in the making, each of one interval: memory and open files stay bounded whatever the data's length.

    Args:
        directory: an empty folder to write in.
        hours: length of an interval.
        writer: letters that begin the segments' writer names.
    """

    def __init__(self, directory: Path, hours: float, writer: str) -> None:
        self._directory = directory
        self._hours = hours
        self._writer = writer
        self._n_segments = 0
        self._n_pending = 0
        self._buckets: dict[str, _Bucket] = {}
        self._interval: Interval | None = None
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None

    def add(self, at: datetime, lines: bytes) -> None:
        """Add whole lines that were logged at `at`."""
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        self.last_at = at if self.last_at is None else max(self.last_at, at)
        if self._interval is None or not self._interval.start_at <= at < self._interval.end_at:
            self._interval = Interval.containing(at, self._hours)
        key = self._interval.key
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._directory / f"{self._n_segments:08}.part", at, at)
            self._n_segments += 1
        bucket.pending.write(lines)
        bucket.first_at, bucket.last_at = min(bucket.first_at, at), max(bucket.last_at, at)
        self._n_pending += len(lines)
        if bucket.size + bucket.pending.tell() >= _SEGMENT_BYTES:
            self._close(self._buckets.pop(key))
        elif self._n_pending >= _BUFFER_BYTES:
            for one in self._buckets.values():
                self._write(one)

    def close(self) -> None:
        """Complete every segment and give it its name."""
        for bucket in self._buckets.values():
            self._close(bucket)
        self._buckets = {}

    def _write(self, bucket: _Bucket) -> None:
        with bucket.path.open("ab") as file:
            file.write(bucket.pending.getbuffer())
        self._n_pending -= bucket.pending.tell()
        bucket.size += bucket.pending.tell()
        bucket.pending = BytesIO()

    def _close(self, bucket: _Bucket) -> None:
        self._write(bucket)
        _sync_file(bucket.path)
        name = closed_name(bucket.first_at, bucket.last_at, f"{self._writer}{bucket.path.stem}")
        bucket.path.rename(bucket.path.with_name(name))


def import_events(
    settings: Settings,
    content: str,
    writer: str,
    sources: Iterable[str],
    stage: Callable[[StagedLog], tuple[Catalogue, int, int]],
) -> Imported:
    """Stage an event log and put it, with its catalogue, in place; an import of this content that is there stays.

    Args:
        content: a key of the data, equal for equal data; ids of the log hold it, so that no two imports share one.
        writer: the kind of data, letters that begin the segments' writer names.
        sources: names of the logs in the data, of which each may be brought in once, whatever its content.
        stage: writes the log; returns titles and artworks, and how many decisions and plays it wrote.

    Raises:
        NotReadyError: if another import is running.
        ContractError: if one of the sources is there already from other content, or its record cannot be read.
        Whatever `stage` raises; nothing is changed then.
    """
    with _alone(settings.home / "importing"):
        name, names = f"import-{writer}-{content}", tuple(sorted(set(sources)))
        target, staging = settings.events_dir / name, settings.home / "importing" / name
        if target.exists():
            return _read_record(target).imported
        _refuse_repeated(settings.events_dir, writer, names)
        shutil.rmtree(staging, ignore_errors=True)  # what a killed import left
        staging.mkdir()
        try:
            log = StagedLog(staging, settings.interval_hours, writer)
            catalogue, n_decisions, n_plays = stage(log)
            log.close()
            if log.first_at is None or log.last_at is None:
                raise ContractError(f"nothing to import for {name}: there is not one row")
            ends = [Interval.containing(moment, settings.interval_hours).key for moment in (log.first_at, log.last_at)]
            imported = Imported(n_decisions, n_plays, len(catalogue.titles), len(catalogue.artworks), *ends)
            (staging / _RECORD).write_bytes(msgspec.json.encode(_Record(names, imported)))
            _sync_file(staging / _RECORD)
            sync_directory(staging)
        except BaseException:
            shutil.rmtree(staging)
            raise
        _merge_catalogue(settings.catalogue_path, catalogue)
        settings.events_dir.mkdir(parents=True, exist_ok=True)
        staging.rename(target)
        sync_directory(settings.events_dir)
        return imported


def seen_page(page: Page, *, clicked: bool, minutes: float) -> list[Event]:
    """List the events of a page of one decision that was seen, and perhaps clicked, as soon as it was decided."""
    decision, at = page.decisions[0], page.decided_at
    events: list[Event] = [page, Impression(decision_id=decision.decision_id, seen_at=at, received_at=at)]
    if clicked:
        play = Play(
            play_id=f"{decision.decision_id}-play",
            profile_id=page.profile_id,
            title_id=decision.title_id,
            started_at=at,
            received_at=at,
            minutes=minutes,
            completion=1.0,
        )
        events.append(play)
    return events


def _refuse_repeated(events_dir: Path, writer: str, sources: tuple[str, ...]) -> None:
    for folder in sorted(events_dir.glob(f"import-{writer}-*")):
        repeated = sorted(set(_read_record(folder).sources).intersection(sources))
        if repeated:
            more = f" and {len(repeated) - 1:,} more" if len(repeated) > 1 else ""
            raise ContractError(
                f"{repeated[0]}{more} was imported before from other content ({folder}): "
                "bringing a log in twice would count it twice; import it into another home"
            )


def _read_record(folder: Path) -> _Record:
    path = folder / _RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContractError(f"not the record of an import: {path}: {error}") from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReadyError(f"another import is running: {directory / 'lock'} is locked") from None
        yield


def _merge_catalogue(path: Path, new: Catalogue) -> None:
    """Add titles and artworks to the file. One that is there stays as it is, but for an earlier launch."""
    old = read_catalogue(path) if path.exists() else Catalogue([], [])
    titles: dict[str, Title] = dict(old.titles)
    for name, title in new.titles.items():
        known = titles.get(name, title)
        titles[name] = replace(known, launched_at=min(known.launched_at, title.launched_at))
    artworks: dict[str, Artwork] = dict(old.artworks)
    for name, artwork in new.artworks.items():
        same = artworks.get(name, artwork)
        artworks[name] = replace(same, launched_at=min(same.launched_at, artwork.launched_at))
    write_catalogue(Catalogue(titles.values(), artworks.values()), path)


def midnight(moment: datetime) -> datetime:
    """Find the beginning of the moment's day, UTC."""
    return moment - timedelta(
        hours=moment.hour, minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond
    )


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
