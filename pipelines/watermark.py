"""How far the online store has come: the intervals whose features were built and materialised."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from models.error import ContractError, NotReadyError
from models.interval import Interval
from pipelines.feature_chain import backfill_command, broken_link, link_notice, read_chain
from pipelines.part import write_whole
from pipelines.settings import Settings


def mark_refreshed(settings: Settings, interval: Interval) -> None:
    """Note that the interval's features are online; noting it twice changes nothing."""
    note = {"interval": interval.key, "end_at": interval.end_at.isoformat()}
    write_whole(_directory(settings) / f"{interval.key}.json", json.dumps(note).encode())


def refreshed_intervals(settings: Settings) -> list[Interval]:
    """List the refreshed intervals, the oldest first.

    Raises:
        ContractError: naming a note that cannot be read.
    """
    return sorted(_read(path) for path in _directory(settings).glob("*.json"))


def refreshed_through(settings: Settings) -> datetime | None:
    """Find how far features are refreshed and rest on each other; None before any interval.

    That is up to the first gap that matters (see `find_gaps`), or to the first broken link of the chain.
    """
    stops = [gap.start_at for gap in find_gaps(settings)]
    broken = broken_link(read_chain(settings))
    if broken is not None:
        stops.append(broken.stretch.start_at)
    through = max((interval.end_at for interval in refreshed_intervals(settings)), default=None)
    return min([through, *stops]) if through is not None else None


def find_gaps(settings: Settings, until: datetime | None = None) -> list[Interval]:
    """List the stretches between refreshed intervals that training as of `until` must not miss, the oldest first.

    Those matter that begin within the training window before `until`; a log that ended before it began, an imported
    one perhaps, is another log.

    Args: until, by default the end of the newest refreshed interval.
    """
    refreshed = refreshed_intervals(settings)
    if not refreshed:
        return []
    newest = max(interval.end_at for interval in refreshed)
    by = newest if until is None else until
    since = by - timedelta(days=settings.training_window_days)
    found: list[Interval] = []
    through = refreshed[0].end_at
    for interval in refreshed:
        if interval.start_at > through and since < through < by:
            found.append(Interval(through, interval.start_at))
        through = max(through, interval.end_at)
    return found


def refuse_gaps(settings: Settings, until: datetime | None = None) -> None:
    """Refuse to learn around what was never refreshed, or from features that were built around it.

    Raises:
        NotReadyError: naming the first gap that matters, or the first interval that rests on another than the one
            before it, and the backfill that mends it.
    """
    notice = gap_notice(settings, until)
    if notice:
        raise NotReadyError(notice)


def gap_notice(settings: Settings, until: datetime | None = None) -> str | None:
    """Name the first gap that matters, or else the first broken link of the chain, and how to mend it; None without."""
    missing = find_gaps(settings, until)
    if not missing:
        return link_notice(settings, until)
    # Whatever comes after a gap rests on the state before it, and is rebuilt too.
    newest = max(interval.end_at for interval in refreshed_intervals(settings))
    start, end = (bound.strftime("%Y-%m-%dT%H:%M:%S") for bound in (missing[0].start_at, missing[0].end_at))
    more = f", nor in {len(missing) - 1} later gaps" if len(missing) > 1 else ""
    return (
        f"no features were refreshed from {start} to {end} UTC{more}, and training does not learn around a gap: "
        f"{backfill_command(missing[0].start_at, newest)}"
    )


def _directory(settings: Settings) -> Path:
    return settings.features_dir / "_refreshed"


def _read(path: Path) -> Interval:
    try:
        end_at = datetime.fromisoformat(json.loads(path.read_bytes())["end_at"])
        start_at = Interval.parse(path.stem, hours=1.0).start_at
        return Interval.parse(path.stem, hours=(end_at - start_at) / timedelta(hours=1))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"not the note of a refreshed interval: {path}: {error}") from error
