"""Whether feature views still say what they used to, and how old they are.

HOME/features/_drift/<view>/<key>.json holds each interval's histograms, a function of its rows; figures are made when
they are asked for, the newest interval against those before it.
"""

from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from evaluation.population_stability import population_stability
from models.error import ContractError
from models.interval import Interval
from pipelines.feature_histogram import Histograms, histograms, in_order, merged
from pipelines.feature_rows import VIEWS
from pipelines.settings import Settings

REFERENCE_INTERVALS = 7
_N_SHOWN = 3
_GROWING = ("log_age_days", "log_tenure_days", "log_impressions", "log_plays", "n_impressions")
"""Ages and counts so far grow with every day, and nothing is wrong with that: shown, and never warned about."""


class ViewHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One view: the end of its newest interval with rows, its age in hours, its rows there, and how they have moved.

    `drifted` are all columns past the warning level. `psi` is by column: these first, then the others, the largest
    first, up to three in all unless more have drifted. `exempt` are those of `psi` that have no level: ages and counts
    so far, which grow with time by themselves.
    """

    newest_at: datetime
    age_hours: float
    n_rows: int
    psi: dict[str, float]
    drifted: list[str]
    exempt: list[str]


def histogram_bytes(view: str, rows: pa.Table) -> bytes:
    """Encode one interval's histograms of a view; the same rows give the same bytes."""
    return msgspec.json.encode(histograms(view, rows))


def histogram_path(settings: Settings, view: str, key: str) -> Path:
    """Find one interval's histograms of a view."""
    return settings.features_dir / "_drift" / view / f"{key}.json"


def view_health(settings: Settings, now: datetime) -> dict[str, ViewHealth]:
    """Tell how fresh each view is and how its newest interval compares with those before; views without are left out.

    Raises:
        ContractError: naming histograms that cannot be read.
    """
    found = {view: _health(settings, view, now) for view in VIEWS}
    return {view: health for view, health in found.items() if health is not None}


def stability(settings: Settings, view: str) -> dict[str, tuple[float, bool]]:
    """Give the PSI of every column of a view's newest interval, the largest first, and whether it is past the level.

    A column is past it where its index is above `drift_warning` and above what chance alone would make of so few rows.
    """
    intervals = _with_rows(settings, view)
    if len(intervals) < 2:
        return {}
    newest = merged([intervals[-1][1]])
    before = merged([each for _, each in intervals[-1 - REFERENCE_INTERVALS : -1]])
    result: dict[str, tuple[float, bool]] = {}
    for name in newest.keys() & before.keys():
        if newest[name].sum() and before[name].sum():
            psi = population_stability(in_order(before[name]), in_order(newest[name]))
            result[name] = psi.index, psi.index > max(settings.drift_warning, psi.by_chance) and name not in _GROWING
    return dict(sorted(result.items(), key=lambda item: (-item[1][0], item[0])))


def _health(settings: Settings, view: str, now: datetime) -> ViewHealth | None:
    intervals = _with_rows(settings, view)
    if not intervals:
        return None
    newest_at = Interval.parse(intervals[-1][0], settings.interval_hours).end_at
    found = stability(settings, view)
    drifted = [name for name, (_, is_past) in found.items() if is_past]
    shown = [*drifted, *(name for name in found if name not in drifted)][: max(_N_SHOWN, len(drifted))]
    psi = {name: found[name][0] for name in shown}
    return ViewHealth(
        newest_at=newest_at,
        age_hours=(now - newest_at).total_seconds() / 3600.0,
        n_rows=intervals[-1][1].n_rows,
        psi=psi,
        drifted=drifted,
        exempt=[name for name in psi if name in _GROWING],
    )


def _with_rows(settings: Settings, view: str) -> list[tuple[str, Histograms]]:
    """Read the newest intervals with rows, as many as are compared, the oldest first."""
    found: list[tuple[str, Histograms]] = []
    for path in sorted((settings.features_dir / "_drift" / view).glob("*.json"), reverse=True):
        try:
            each = msgspec.json.decode(path.read_bytes(), type=Histograms)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ContractError(f"not the histograms of a feature view: {path}: {error}") from error
        if each.n_rows:
            found.append((path.stem, each))
        if len(found) > REFERENCE_INTERVALS:
            break
    return found[::-1]
