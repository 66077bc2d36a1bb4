"""Days of a messy log rebuilt in random order, twice and by two processes at once: how many tables differ.

The simulated log has late, repeated, cached and out-of-order reports. Its lake and feature tables are built day after
day; from nothing in random order; from nothing by two processes at once, each in another random order; and once more
over what is there, again by two at once. Rewards read the event log where a day is not ingested yet. Features are a
chain of states, so that their first build goes forward; rebuilding them may go in any order.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from shutil import copytree
from time import perf_counter

from models.interval import Interval
from pipelines.attribution import attribute
from pipelines.feature_tables import build_features
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.simulated_service import SimulatedService
from pipelines.table import TABLES
from simulation.world import DEMO_SPEC, World

_PAGES_A_DAY = 20
_SPEC = replace(DEMO_SPEC, n_profiles=50, n_titles=24)


def run(full: bool) -> dict[str, float | int | str]:
    """Rebuild 30 days if `full`, else 5."""
    with tempfile.TemporaryDirectory(prefix="marquee-backfill-") as home:
        return measure(Path(home), 30 if full else 5)


def measure(home: Path, n_days: int) -> dict[str, float | int | str]:
    """Build a log of `n_days` in every way; a table is one interval of a lake table or feature view."""
    forward = _simulated(home / "forward", n_days)
    days = _days(n_days)
    began = perf_counter()
    _events(forward, days)
    _features(forward, days)
    seconds = perf_counter() - began
    expected = contents(forward, days)
    shuffled, two = (_same_log(forward, home / name) for name in ("shuffled", "two"))
    _events(shuffled, Random(1).sample(days, n_days))  # noqa: S311 - an order, not a secret
    _at_once(two, n_days, "events")
    differing: set[str] = set()
    for settings in (shuffled, two):
        _features(settings, days)
        differing |= _differing(expected, contents(settings, days))
    for step in ("events", "features"):
        _at_once(two, n_days, step)
    differing |= _differing(expected, contents(two, days))
    return {
        "n_days": n_days,
        "n_tables": len(expected),
        "tables_that_differ": len(differing),
        "seconds_a_day": seconds / n_days,
    }


def contents(settings: Settings, days: Sequence[Interval]) -> dict[str, str]:
    """Name every interval of every lake table, and every feature file, by its content."""
    lake = Lake(settings.lake_dir)
    found = {f"{table.name}/{day.key}": lake.content_hash(table, day) for table in TABLES for day in days}
    for path in sorted(settings.features_dir.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(settings.features_dir))] = sha256(path.read_bytes()).hexdigest()
    return found


def _simulated(home: Path, n_days: int) -> Settings:
    settings = Settings(home=home, attribution_window_hours=30.0, attribution_grace_hours=4.0)
    service = SimulatedService(settings, World(_SPEC))
    for day in _days(n_days):
        service.run(day, _PAGES_A_DAY)
    return settings


def _same_log(settings: Settings, home: Path) -> Settings:
    home.mkdir()
    copytree(settings.events_dir, home / settings.events_dir.name)
    (home / settings.catalogue_path.name).write_bytes(settings.catalogue_path.read_bytes())
    return settings.model_copy(update={"home": home})


def _days(n_days: int) -> list[Interval]:
    first = _SPEC.first_day_at
    return [Interval(first + timedelta(days=day), first + timedelta(days=day + 1)) for day in range(n_days)]


def _events(settings: Settings, days: Sequence[Interval]) -> None:
    for day in days:
        ingest(settings, day)
        attribute(settings, day)


def _features(settings: Settings, days: Sequence[Interval]) -> None:
    for day in days:
        build_features(settings, day)


def _at_once(settings: Settings, n_days: int, step: str) -> None:
    """Run a step over all days in two processes at once, each in a random order of its own."""
    command = [sys.executable, "-m", "benchmarks.backfill", settings.model_dump_json(), str(n_days), step]
    running = [subprocess.Popen([*command, str(seed)]) for seed in (2, 3)]
    for process in running:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)


def _differing(expected: dict[str, str], found: dict[str, str]) -> set[str]:
    return {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}


_STEPS: dict[str, Callable[[Settings, Sequence[Interval]], None]] = {"events": _events, "features": _features}


def _run_step(dumped: str, n_days: int, step: str, seed: int) -> None:
    settings = Settings(**json.loads(dumped))
    _STEPS[step](settings, Random(seed).sample(_days(n_days), n_days))  # noqa: S311 - an order, not a secret


if __name__ == "__main__":
    _run_step(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
