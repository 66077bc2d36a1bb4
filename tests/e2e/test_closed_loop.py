"""The loop, closed over HTTP: what a scorer served trains the policy that it serves next."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.catalogue import Artwork, Catalogue, Title
from models.interval import Interval, moment_key
from models.segment import OPEN_SUFFIX, find_segments
from pipelines.backfill import backfill
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS
from pipelines.train import train
from pipelines.training_set import Side, iter_training_batches
from serving.catalogue_file import write_catalogue
from serving.feature_store import apply_feature_repo
from tests.e2e.console import ROOT, environment, scorer, until

N_TITLES, N_ARTWORKS, N_PROFILES = 12, 3, 300
WINDOW_HOURS = 1

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("airflow_home")
def test_what_was_served_over_http_trains_the_policy_that_is_served_next(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        feature_repo=ROOT / "feature_repo",
        interval_hours=1,
        attribution_window_hours=WINDOW_HOURS,
        attribution_grace_hours=0,
        segment_seconds=0.5,
        settle_seconds=0,
        uniform_cell_share=0,
        candidates=("vw-epsilon",),
        gate_min_profiles=50,
        gate_min_effective_sample=100,
    )
    write_catalogue(_catalogue(), settings.catalogue_path)
    apply_feature_repo(settings)

    with scorer(environment(settings)) as client:
        began_at = datetime.now(UTC)
        served = [_visit(client, f"profile-{number}") for number in range(N_PROFILES)]
        assert {page["policy_version"] for page in served} == {"uniform"}
        until(lambda: not _open_segments(settings), 10.0)
        first = Interval.containing(began_at, 1)
        last_at = Interval.containing(datetime.now(UTC), 1).end_at + timedelta(hours=WINDOW_HOURS)

        backfill(settings, first.start_at, last_at, clock=lambda: last_at)
        outcome = train(settings)

        assert outcome.promoted == "vw-epsilon", outcome.reasons
        until(lambda: _page(client, "profile-0")["policy_version"] == outcome.version, 5.0)
        asked_at = datetime.now(UTC)
        served_next = [_page(client, f"profile-{number}") for number in range(N_PROFILES)]
        until(lambda: not _open_segments(settings), 10.0)

    learned = _training_rows(settings, outcome.as_of)
    assert learned == {choice["decision_id"]: choice["propensity"] for page in served for choice in page["decisions"]}
    assert set(learned.values()) == {1 / N_ARTWORKS}
    logged = _logged(settings, asked_at, datetime.now(UTC))
    answered = {choice["decision_id"]: choice for page in served_next for choice in page["decisions"]}
    assert {name: logged[name] for name in answered} == {
        name: (choice["artwork_id"], choice["propensity"]) for name, choice in answered.items()
    }
    assert len({choice["propensity"] for choice in answered.values()}) > 1, "a policy that knows more than to count"


def _catalogue() -> Catalogue:
    launched_at = datetime(2026, 1, 1, tzinfo=UTC)
    titles = [Title(f"title-{number}", launched_at, {"comedy": 1.0}) for number in range(N_TITLES)]
    artworks = [
        Artwork(f"{title.title_id}/{style}", title.title_id, launched_at, {style: 1.0})
        for title in titles
        for style in ("comedy", "romance", "horror")[:N_ARTWORKS]
    ]
    return Catalogue(titles, artworks)


def _page(client: httpx.Client, profile_id: str) -> dict[str, Any]:
    titles = [f"title-{number}" for number in range(N_TITLES)]
    asked = {"profile_id": profile_id, "titles": titles, "context": {"device": "tv"}, "explain": True}
    answer = client.post("/v1/pages", json=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _visit(client: httpx.Client, profile_id: str) -> dict[str, Any]:
    """Ask for a page, see all of it, and play to the end whatever shows its comedy side."""
    page = _page(client, profile_id)
    now = datetime.now(UTC).isoformat()
    impressions = [{"decision_id": each["decision_id"], "seen_at": now} for each in page["decisions"]]
    plays = [
        {
            "play_id": f"play-{each['decision_id']}",
            "profile_id": profile_id,
            "title_id": each["title_id"],
            "started_at": datetime.now(UTC).isoformat(),
            "minutes": 30.0,
            "completion": 1.0,
        }
        for each in page["decisions"]
        if each["artwork_id"].endswith("/comedy")
    ]
    for _ in range(2):  # devices repeat themselves; ids tell
        answer = client.post("/v1/events", json={"impressions": impressions, "plays": plays})
        assert answer.status_code == 202, answer.text
    return page


def _training_rows(settings: Settings, as_of: datetime) -> dict[str, float]:
    uri = (settings.training_dir / moment_key(as_of)).as_uri()
    batches = list(iter_training_batches(uri, Side.ALL, holdout_share=settings.holdout_share))
    return {
        str(decision_id): float(propensity)
        for logged in batches
        for decision_id, propensity in zip(logged.decision_ids, logged.propensity, strict=True)
    }


def _logged(settings: Settings, from_at: datetime, to_at: datetime) -> dict[str, tuple[str, float]]:
    """Read decisions out of the lake, once their hours are ingested: the artwork and the propensity of each."""
    hours = Interval(Interval.containing(from_at, 1).start_at, Interval.containing(to_at, 1).end_at)
    for hour in hours.split(1):
        ingest(settings, hour)
    columns = ["decision_id", "artwork_id", "propensity"]
    rows = Lake(settings.lake_dir).read(DECISIONS, hours.start_at, hours.end_at, columns).to_pylist()
    return {row["decision_id"]: (row["artwork_id"], row["propensity"]) for row in rows}


def _open_segments(settings: Settings) -> list[Path]:
    return [found.path for found in find_segments(settings.events_dir) if found.path.suffix == OPEN_SUFFIX]
