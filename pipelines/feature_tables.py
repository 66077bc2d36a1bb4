"""Build the feature tables of one interval: HOME/features/<view>/interval=<key>/part.parquet.

Reads the interval's decisions, impressions, plays and rewards, the catalogue and the state of the interval built
before; writes the state after and the rows of what was touched. A rebuild from the same input writes nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from models.error import NotReadyError
from models.interval import Interval
from models.reward import quality_rule
from models.segment import find_segments
from pipelines.contract import refuse_broken, refuse_other_widths
from pipelines.drift import histogram_bytes, histogram_path
from pipelines.engine import Engine, open_engine
from pipelines.feature_advance import Advanced, advance
from pipelines.feature_chain import Built, backfill_command, note_path, read_chain, refuse_broken_chain
from pipelines.feature_count import EVENT_COLUMNS, Counted, Events, count_events
from pipelines.feature_part import read_view_part
from pipelines.feature_rows import VIEWS, WIDTHS, Launched, launched_before
from pipelines.feature_state import STATES, fading_of
from pipelines.lake import Lake
from pipelines.part import digest, joint_digest, part_bytes, read_part, write_whole
from pipelines.settings import Settings
from pipelines.state_part import refuse_other_states, state_path
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, REWARDS
from serving.catalogue_file import read_catalogue


@dataclass(frozen=True, slots=True)
class BuiltFeatures:
    """What one build made: rows by view, and the rows of views or states whose files had to be written anew."""

    interval: str
    n_rows: dict[str, int]
    n_changed: int


def build_features(settings: Settings, interval: Interval) -> BuiltFeatures:
    """Build the interval's feature rows and state.

    Raises:
        NotReadyError: naming the interval that must be built or rebuilt first.
        ContractError: naming the file or column that is not what it must be.
    """
    launched = launched_before(read_catalogue(settings.catalogue_path), interval.end_at)
    lake = Lake(settings.lake_dir)
    before = _state_before(settings, lake, interval)
    counted = _count(settings, lake, interval)
    made = _advance(settings, interval, before, counted, launched)
    _refuse_broken_views(settings, before, made.views)
    contents = {
        state_path(settings, name, interval.key): (part_bytes(table), table) for name, table in made.states.items()
    }
    state_digest = joint_digest(digest(content) for content, _ in contents.values())
    contents |= {view_path(settings, view, interval.key): (part_bytes(rows), rows) for view, rows in made.views.items()}
    contents |= {
        histogram_path(settings, view, interval.key): (histogram_bytes(view, rows), rows.slice(0, 0))
        for view, rows in made.views.items()
    }
    note = Built(
        interval=interval.key,
        end_at=interval.end_at.isoformat(),
        state=state_digest,
        before=before.interval if before else "",
        state_before=before.state if before else "",
    )
    n_changed = _write(note_path(settings, interval.key), note, contents)
    return BuiltFeatures(interval.key, {view: len(rows) for view, rows in made.views.items()}, n_changed)


def view_path(settings: Settings, view: str, key: str) -> Path:
    """Find one interval's part of a view."""
    return settings.features_dir / view / f"interval={key}" / "part.parquet"


def _write(path_of_note: Path, note: Built, contents: dict[Path, tuple[bytes, pa.Table]]) -> int:
    """Write the parts that differ. The note is away while they do, so that a crash leaves the interval not built."""
    changed = [path for path, (content, _) in contents.items() if not path.is_file() or path.read_bytes() != content]
    if changed:
        path_of_note.unlink(missing_ok=True)
    for path in changed:
        write_whole(path, contents[path][0])
    write_whole(path_of_note, note.encode())
    return sum(len(contents[path][1]) for path in changed)


def _state_before(settings: Settings, lake: Lake, interval: Interval) -> Built | None:
    """Find the state to advance, and refuse one that misses an interval or rests on one that has changed since."""
    chain = read_chain(settings, interval.start_at)
    missing = _first_missing(settings, lake, interval, chain)
    if missing is not None:
        raise NotReadyError(
            f"features of interval {missing.key} must be built before those of {interval.key}: "
            f"{backfill_command(missing.start_at, interval.end_at)}"
        )
    refuse_broken_chain(settings, interval.start_at)
    return chain[-1] if chain else None


def _first_missing(settings: Settings, lake: Lake, interval: Interval, chain: list[Built]) -> Interval | None:
    """Find the first interval before this one that is not built though something of it was logged; None where none is.

    Those of the lake count, and where the newest that is built did not end when this one begins, all that a segment
    of the event log may hold. What was logged before anything was built does not: building may begin anywhere.
    """
    hours = (interval.end_at - interval.start_at) / timedelta(hours=1)
    ingested = {key for table in (DECISIONS, IMPRESSIONS, PLAYS, REWARDS) for key in lake.intervals(table)}
    missing = {key for key in ingested.difference(note.interval for note in chain) if key < interval.key}
    through = chain[-1].stretch.end_at if chain else interval.start_at
    if through < interval.start_at:
        hole = Interval(through, interval.start_at)
        if any(segment.may_hold(hole) for segment in find_segments(settings.events_dir)):
            missing.add(hole.key)
    return Interval.parse(min(missing), hours) if missing else None


def _advance(
    settings: Settings, interval: Interval, before: Built | None, counted: Counted, launched: Launched
) -> Advanced:
    return advance(
        _read_states(settings, before),
        counted,
        launched,
        fading=fading_of(settings),
        elapsed=interval.end_at - before.stretch.end_at if before else timedelta(0),
        end_at=interval.end_at,
    )


def _refuse_broken_views(settings: Settings, before: Built | None, views: dict[str, pa.Table]) -> None:
    """Hold views to their contracts, and their vectors to the layout's length: now, and in the interval before."""
    for view, rows in views.items():
        key = VIEWS[view].names[0]
        refuse_broken(view, rows, key)
        if view not in WIDTHS:
            continue
        refuse_other_widths(view, rows, key, WIDTHS[view])
        earlier = view_path(settings, view, before.interval) if before else None
        if earlier is not None and earlier.is_file():
            read_view_part(earlier, view)


def _count(settings: Settings, lake: Lake, interval: Interval) -> Counted:
    with open_engine(settings) as engine:
        return count_events(
            engine,
            _events(engine, lake, interval),
            rule=quality_rule(settings.reward_rule),
            half_life=settings.taste_half_life,
            end_at=interval.end_at,
        )


def _events(engine: Engine, lake: Lake, interval: Interval) -> Events:
    return Events(**{
        table.name: engine.stored(lake, table, interval.start_at, interval.end_at, EVENT_COLUMNS[table.name])
        for table in (DECISIONS, IMPRESSIONS, PLAYS, REWARDS)
    })


def _read_states(settings: Settings, before: Built | None) -> dict[str, pa.Table]:
    if before is None:
        return {name: schema.empty_table() for name, schema in STATES.items()}
    found = {name: read_part(state_path(settings, name, before.interval), schema) for name, schema in STATES.items()}
    refuse_other_states(settings, before.interval, before.state)
    return found
