"""A home with a few days of event log in which the first artwork of a title is by far the best."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from models.decision import Cell, Decision, Page, RequestContext
from models.event import Event
from models.interval import Interval
from models.layout import FEATURE_SERVICE
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import TABLES
from serving.catalogue_file import write_catalogue
from tests.pipelines.event_log import impression, play, write_segment
from tests.pipelines.feature_world import N_ARTWORKS, ROOT, catalogue, day

N_PAGES, N_TITLES, N_PROFILES = 400, 3, 100
TAKES = (0.7, 0.1, 0.1)


def make_home(home: Path, n_days: int = 3, first: int = 0) -> Settings:
    """Make a home with `n_days` of log from the world's `first` day on, and nothing built yet; its gate is easy."""
    settings = Settings(
        home=home,
        feature_repo=ROOT / "feature_repo",
        attribution_window_hours=6.0,
        attribution_grace_hours=0.0,
        candidates=("best-artwork", "vw-epsilon"),
        gate_alpha=0.2,
        gate_min_profiles=5,
        gate_min_effective_sample=50.0,
    )
    write_catalogue(catalogue(), settings.catalogue_path)
    for place, number in enumerate(range(first, first + n_days)):
        write_segment(settings.events_dir, day_of_log(number), writer=f"w{place}")
    return settings


def day_of_log(number: int) -> list[Event]:
    """Draw one day of uniform decisions, all seen, some played."""
    rng = np.random.default_rng(100 + number)
    return [event for place in range(N_PAGES) for event in _page(rng, number, place)]


def contents(settings: Settings) -> dict[str, str]:
    """Name every table, feature file, training file and bundle of a home by its content."""
    lake = Lake(settings.lake_dir)
    found = {
        f"{table.name}/{key}": lake.content_hash(table, Interval.parse(key, hours=24.0))
        for table in TABLES
        for key in lake.intervals(table)
    }
    for part in ("features", "training", "policies/bundles"):
        for path in sorted((settings.home / part).rglob("*")):
            if path.is_file():
                found[str(path.relative_to(settings.home))] = path.read_bytes().hex()
    return found


def _page(rng: np.random.Generator, number: int, place: int) -> list[Event]:
    profile = f"profile-{rng.integers(N_PROFILES)}"
    decided_at = day(number).start_at + timedelta(seconds=float(rng.uniform(0, 80_000)))
    decisions, events = [], []
    for title in rng.permutation(N_TITLES):
        chosen = int(rng.integers(N_ARTWORKS))
        decision_id, title_id = f"d-{number}-{place}-{title}", f"title-{title}"
        actions = tuple(f"{title_id}/art-{a}" for a in range(N_ARTWORKS))
        decisions.append(
            Decision(
                decision_id=decision_id,
                title_id=title_id,
                artwork_id=actions[chosen],
                actions=actions,
                propensity=1 / N_ARTWORKS,
            )
        )
        seen_at = decided_at + timedelta(seconds=2)
        events.append(impression(decision_id, seen_at))
        if rng.random() < TAKES[chosen]:
            started_at = seen_at + timedelta(seconds=20)
            ended_at = started_at + timedelta(minutes=30)
            events.append(
                play(f"y-{decision_id}", started_at, ended_at, profile_id=profile, title_id=title_id, minutes=30.0)
            )
    page = Page(
        page_id=f"p-{number}-{place}",
        decided_at=decided_at,
        profile_id=profile,
        policy_version="uniform",
        cell=Cell.UNIFORM,
        epoch=0,
        feature_service=FEATURE_SERVICE,
        context=RequestContext(device="tv"),
        decisions=tuple(decisions),
    )
    return [page, *events]
