"""`marquee status`: what is there, how far it is, and what is live."""

from collections import Counter
from datetime import UTC, datetime

import msgspec

from models.bundle import read_pointer
from models.moment import EARLIEST, LATEST
from pipelines.drift import ViewHealth, view_health
from pipelines.event_rows import count_reasons
from pipelines.lake import Lake
from pipelines.registry import open_registry
from pipelines.settings import Settings
from pipelines.table import QUARANTINE, TABLES
from pipelines.training_set import newest_training_set
from pipelines.watermark import gap_notice, refreshed_intervals, refreshed_through


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Where a HOME stands.

    `tables` counts the intervals that each table holds, `n_quarantined` the refused lines by reason. `gap` says which
    interval was never refreshed, or rests on another than the one before it, if training waits for one. Of the newest
    training set, `share_equal` is the share of `n_compared` sampled decisions whose vectors were served as they were
    joined; None where none was logged. `skew_causes` are shares of the others, by `pipelines.skew_cause.Cause`. `views`
    tells of each feature view how old its newest rows are and which columns have drifted.
    """

    home: str
    tables: dict[str, int]
    n_quarantined: dict[str, int]
    n_refreshed: int
    refreshed_through: datetime | None
    gap: str | None
    trained_as_of: datetime | None
    n_compared: int
    share_equal: float | None
    skew_causes: dict[str, float]
    views: dict[str, ViewHealth]
    champion: str | None
    live: str | None
    learned_through_at: datetime | None
    published_at: datetime | None


def status(settings: Settings, now: datetime | None = None) -> Status:
    """Look at lake, online store, registry and pointer; changes nothing. Ages are as of `now`.

    Raises:
        ContractError, BundleError, MarqueeError: naming what cannot be read.
    """
    lake, pointer = Lake(settings.lake_dir), read_pointer(settings.policies_url)
    trained = newest_training_set(settings)
    registry = open_registry(settings)
    champion = registry.champion() if registry else None
    return Status(
        home=str(settings.home.absolute()),
        tables={table.name: len(lake.intervals(table)) for table in TABLES},
        n_quarantined=_quarantined(lake),
        n_refreshed=len(refreshed_intervals(settings)),
        refreshed_through=refreshed_through(settings),
        gap=gap_notice(settings),
        trained_as_of=trained.as_of if trained else None,
        n_compared=trained.skew.n_compared if trained else 0,
        share_equal=trained.skew.share_equal if trained else None,
        skew_causes=trained.skew.causes if trained else {},
        views=view_health(settings, now or datetime.now(UTC)),
        champion=champion.bundle_version if champion else None,
        live=pointer.version if pointer else None,
        learned_through_at=pointer.learned_through_at if pointer else None,
        published_at=pointer.published_at if pointer else None,
    )


def _quarantined(lake: Lake) -> dict[str, int]:
    found: Counter[str] = Counter()
    for batch in lake.reader(QUARANTINE, EARLIEST, LATEST, columns=["reason"]):
        found.update(count_reasons(batch))
    return dict(sorted(found.items()))
