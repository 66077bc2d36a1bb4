"""`marquee doctor`: looks at everything Marquee relies on and says what is wrong, in words."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from models.bundle import read_bundle, read_pointer
from models.error import MarqueeError
from models.segment import OPEN_SUFFIX, find_segments
from pipelines.lake import Lake
from pipelines.registry import open_registry
from pipelines.settings import Settings
from pipelines.spark import refuse_without_spark
from pipelines.table import TABLES
from pipelines.watermark import refreshed_through, refuse_gaps
from serving.catalogue_file import HOW_TO_MAKE_ONE, read_catalogue
from serving.variable import unknown_variables

_ROOT = Path(__file__).parents[1]
_READ = re.compile(r"environ(?:\.get\(|\[)[\"'](\w+)")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


class Findings(msgspec.Struct, frozen=True):
    """All that was looked at; `healthy` if nothing is wrong."""

    healthy: bool
    findings: tuple[Finding, ...]


def examine(settings: Settings) -> Findings:
    """Look at everything, however much of it is broken; changes nothing."""
    found = tuple(_look(what, check, settings) for what, check in _CHECKS.items())
    return Findings(all(each.ok for each in found), found)


def _look(what: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(what, True, check(settings))
    except (MarqueeError, OSError) as error:
        return Finding(what, False, str(error))
    except Exception as error:
        # Whatever one check meets, the others are told. What was raised may quote a password: its kind does not.
        return Finding(what, False, f"this check failed by itself ({type(error).__name__}): please report it")


def _python(settings: Settings) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        raise MarqueeError(f"Python must be 3.11 or 3.12, got {version}")
    return version


def _environment(settings: Settings) -> str:
    """Look for variables that nothing reads: a misspelled setting would be ignored."""
    # What tests and benchmarks of a checkout read is no setting, and is listed nowhere but where it is read.
    rooms = [_ROOT / "benchmarks", _ROOT / "tests", settings.feature_repo]
    sources = (path.read_text(errors="replace") for room in rooms for path in room.rglob("*.py"))
    also = {name for source in sources for name in _READ.findall(source)}
    unknown = unknown_variables(settings, os.environ, also)
    if unknown:
        raise MarqueeError("; ".join(unknown))
    return "no variable is unknown"


def _engine(settings: Settings) -> str:
    refuse_without_spark(settings)
    return f"Spark at {settings.spark_master}" if settings.engine == "spark" else "DuckDB, in this process"


def _home(settings: Settings) -> str:
    """Write a file without a name in the home, or in the folder in which it would be made."""
    place = home = settings.home.absolute()
    while not os.path.lexists(place):
        place = place.parent
    try:
        with TemporaryFile(dir=place, buffering=0) as probe:
            probe.write(b"1")
    except OSError as error:
        to = "write to" if place == home else f"make {home} in"
        mend = "let this user write there, or set MARQUEE_HOME to a folder where it may"
        raise MarqueeError(f"cannot {to} {place}: {error.strerror}: {mend}") from error
    return str(home) if place == home else f"{home}, made when it is first needed"


def _definitions(settings: Settings) -> str:
    path = settings.feature_repo / settings.feature_store_file
    if not path.is_file():
        raise MarqueeError(
            f"no feature definitions at {path.absolute()}: run from the checkout or set MARQUEE_FEATURE_REPO"
        )
    applied = (settings.home / "feast" / "applied").is_file()
    return f"{path}, {'applied' if applied else 'not applied yet'}"


def _catalogue(settings: Settings) -> str:
    if not settings.catalogue_path.exists():
        return f"none yet: {HOW_TO_MAKE_ONE}"
    catalogue = read_catalogue(settings.catalogue_path)
    return f"{len(catalogue.titles):,} titles, {len(catalogue.artworks):,} artworks"


def _event_log(settings: Settings) -> str:
    segments = find_segments(settings.events_dir)
    n_open = sum(segment.path.suffix == OPEN_SUFFIX for segment in segments)
    return f"{len(segments) - n_open:,} closed segments, {n_open:,} open"


def _lake(settings: Settings) -> str:
    lake = Lake(settings.lake_dir)
    return ", ".join(f"{table.name} {len(lake.intervals(table)):,}" for table in TABLES) + " intervals"


def _online_store(settings: Settings) -> str:
    refuse_gaps(settings)
    through = refreshed_through(settings)
    return f"refreshed through {through.isoformat()}" if through else "nothing refreshed yet"


def _online_server(settings: Settings) -> str:
    from serving.feast_features import ask_online_server

    return ask_online_server(settings)


def _registry(settings: Settings) -> str:
    registry = open_registry(settings)
    if registry is None:
        return "none yet"
    champion = registry.champion()
    return f"champion {champion.bundle_version}" if champion else "no champion yet"


def _policy(settings: Settings) -> str:
    pointer = read_pointer(settings.policies_url)
    if pointer is None:
        return "none published: uniform is served"
    if pointer.is_uniform:
        return "every policy was withdrawn: uniform is served"
    read_bundle(settings.policies_url, pointer.version)
    return f"{pointer.version}, every check of its bundle holds"


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "Python": _python,
    "environment": _environment,
    "engine": _engine,
    "home": _home,
    "feature definitions": _definitions,
    "catalogue": _catalogue,
    "event log": _event_log,
    "lake": _lake,
    "online store": _online_store,
    "online store's server": _online_server,
    "registry": _registry,
    "live policy": _policy,
}
