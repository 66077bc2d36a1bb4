"""A few days of a small service, straight into a lake: what the feature tests build from."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.catalogue import Artwork, Catalogue, Title
from models.interval import Interval
from models.layout import GENRES
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, REWARDS, Table
from serving.catalogue_file import write_catalogue

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 1, tzinfo=UTC)
N_DAYS = 4
N_TITLES, N_ARTWORKS = 6, 3
LATE_TITLE = "title-5"
"""Launched on the second day."""


def day(number: int) -> Interval:
    """Name a day of the world, from 0."""
    return Interval(START + timedelta(days=number), START + timedelta(days=number + 1))


def settings_of(home: Path) -> Settings:
    return Settings(
        home=home,
        feature_repo=ROOT / "feature_repo",
        attribution_window_hours=12.0,
        attribution_grace_hours=0.0,
        holdout_share=0.4,
    )


def catalogue() -> Catalogue:
    titles = [
        Title(f"title-{t}", START + timedelta(days=1 if f"title-{t}" == LATE_TITLE else -30), {GENRES[t]: 1.0})
        for t in range(N_TITLES)
    ]
    artworks = [
        Artwork(f"{title.title_id}/art-{a}", title.title_id, title.launched_at, {GENRES[a]: 1.0}, is_default=a == 0)
        for title in titles
        for a in range(N_ARTWORKS)
    ]
    return Catalogue(titles, artworks)


CLOCKS = (
    (DECISIONS, "decided_at"),
    (IMPRESSIONS, "received_at"),
    (PLAYS, "received_at"),
    (REWARDS, "matured_at"),
)


@dataclass
class World:
    """Rows by table, each with the moment by which its interval goes."""

    tables: dict[str, list[dict[str, object]]]

    def write(self, settings: Settings, days: Iterable[int]) -> None:
        lake = Lake(settings.lake_dir)
        for number in days:
            for table, clock in CLOCKS:
                lake.overwrite(table, day(number), self.rows(table, clock, day(number)))

    def rows(self, table: Table, clock: str, interval: Interval) -> pa.Table:
        rows = [row for row in self.tables[table.name] if interval.start_at <= row[clock] < interval.end_at]
        return pa.Table.from_pylist(rows, schema=table.schema)


def make_world(n_days: int = N_DAYS, n_pages: int = 30, n_profiles: int = 12, seed: int = 7) -> World:
    """Draw pages, impressions, plays and matured rewards; every fifth profile is anonymous."""
    rng = np.random.default_rng(seed)
    tables: dict[str, list[dict[str, object]]] = {name: [] for name in ("decisions", "impressions", "plays", "rewards")}
    for number in range(n_days):
        titles = [f"title-{t}" for t in range(N_TITLES) if number > 0 or f"title-{t}" != LATE_TITLE]
        for place in range(n_pages):
            who = int(rng.integers(n_profiles))
            at = day(number).start_at + timedelta(seconds=float(rng.uniform(0, 86_399)))
            page = {
                "page_id": f"p-{number}-{place}",
                "decided_at": at,
                "profile_id": f"~{number}-{place}" if who % 5 == 4 else f"profile-{who}",
                "device": str(rng.choice(["tv", "mobile", "toaster"])),
            }
            for row, title in enumerate(rng.permutation(titles)[:3]):
                _decide(tables, rng, page, row, str(title))
    return World(tables)


def _decide(
    tables: dict[str, list[dict[str, object]]], rng: np.random.Generator, page: dict[str, object], row: int, title: str
) -> None:
    at, profile, decision_id = page["decided_at"], page["profile_id"], f"{page['page_id']}-{row}"
    actions = [f"{title}/art-{a}" for a in range(N_ARTWORKS)]
    ids = {"decision_id": decision_id, "profile_id": profile, "title_id": title, "decided_at": at}
    ids |= {"artwork_id": str(rng.choice(actions))}
    tables["decisions"].append(
        page
        | ids
        | {"actions": actions, "propensity": 1 / 3, "intent": "live", "row": row, "column": 0, "score": 0.5}
        | {"policy_version": "uniform", "cell": "live", "epoch": 0, "feature_service": "artwork_ranker_v1"}
        | {"country": "NL", "language": "nl", "local_hour": at.hour, "day_of_week": at.weekday()}
        | {"profile_features": b"", "features": b""}
    )
    seen_at = at + timedelta(seconds=5)
    tables["impressions"].append(ids | {"seen_at": seen_at, "received_at": seen_at, "delivery": "fresh"})
    taken, minutes = bool(rng.random() < 0.4), float(rng.uniform(1, 60))
    if taken:
        play = {"play_id": f"play-{decision_id}", "profile_id": profile, "title_id": title}
        play |= {"started_at": seen_at + timedelta(seconds=9), "received_at": seen_at + timedelta(minutes=minutes)}
        tables["plays"].append(play | {"minutes": minutes, "completion": minutes / 60})
    reward = {"seen_at": seen_at, "matured_at": seen_at + timedelta(hours=12), "rule": "quality-play-1"}
    reward |= {"reward": float(taken and minutes >= 6), "minutes": minutes * taken}
    tables["rewards"].append(ids | reward | {"play_id": f"play-{decision_id}" if taken else ""})


def make_home(home: Path, n_days: int = N_DAYS) -> Settings:
    """Write the catalogue and the lake of a new home."""
    settings = settings_of(home)
    write_catalogue(catalogue(), settings.catalogue_path)
    make_world(n_days).write(settings, range(n_days))
    return settings
