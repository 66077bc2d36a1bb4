"""From what a device tells a running scorer to the profile's online row, beside `marquee freshen` as it is started.

- `event_to_row_p50_seconds`, `event_to_row_max_seconds`: from sending an impression and a play to /v1/events until the
  profile's row knows the minutes played; `page_to_row_...`, from sending a page to /v1/pages until the row has changed.
  The scorer is a process, the freshener's own loop runs with the pause that is its default.
- `step_ms_N`, `worst_step_ms_N`, `rows_a_second_N`: one step of the freshener alone, after N profiles did something.
"""

import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.faults_torment import free_port
from benchmarks.scorer_process import WAIT_SECONDS, readiness, start_scorer, until
from models.decision import Cell, Decision, Page, RequestContext
from models.event import Event, Impression, Play
from models.interval import Interval
from models.layout import FEATURE_SERVICE
from pipelines.feature_tables import build_features
from pipelines.freshen import Freshener, freshen
from pipelines.ingest import ingest
from pipelines.settings import Settings
from serving.catalogue_file import read_catalogue, write_catalogue
from serving.client import ScorerClient
from serving.event_log import EventLog
from serving.feast_features import FeastFeatures, open_features
from serving.feature_store import apply_feature_repo, open_feature_store
from serving.features import ProfileFeatures
from serving.request import EndedPlay, EventsRequest, PageRequest, SeenImpression
from simulation.world import DEMO_SPEC, World

_BURSTS = (1, 100, 500)
"""Profiles that did something since the last step."""
_N_TITLES = 10
_LOOK_SECONDS = 0.005
"""Between two looks at a row."""


def run(full: bool) -> dict[str, float | int | str]:
    """Build a batch over 2,000 profiles (50,000 with `full`), time steps, then follow 8 profiles (200) end to end."""
    n_profiles = 50_000 if full else 2_000
    with tempfile.TemporaryDirectory(prefix="marquee-freshness-") as home:
        settings = Settings(home=Path(home), port=free_port())
        steps = measure(settings, n_profiles, n_rounds=10 if full else 3)
        return from_post_to_row(settings, n_measured=200 if full else 8) | steps


def from_post_to_row(settings: Settings, n_measured: int) -> dict[str, float | int | str]:
    """Follow profiles one after another through a running scorer, in a home that `measure` has filled.

    Raises:
        MarqueeError: if a row does not change.
    """
    rows, stop, rng = open_features(settings), threading.Event(), np.random.default_rng(1)
    scorer = start_scorer(settings)
    freshening = threading.Thread(target=freshen, args=(settings, stop), daemon=True)
    took: dict[str, list[float]] = {"event_to_row": [], "page_to_row": []}
    try:
        until(lambda: (told := readiness(settings)) is not None and told.features == "ok", "it is ready", every=0.2)
        freshening.start()
        until((settings.home / "fresh" / "alive").exists, "rows are kept fresh", every=0.2)
        titles = tuple(sorted(read_catalogue(settings.catalogue_path).titles)[:_N_TITLES])
        with ScorerClient(f"http://127.0.0.1:{settings.port}") as client:
            for number in range(n_measured):
                for name, seconds in _followed(client, rows, f"followed-{number}", titles).items():
                    took[name].append(seconds)
                time.sleep(rng.uniform(0.0, settings.freshen_seconds))  # events come at any moment of its round
    finally:
        stop.set()
        scorer.terminate()
        scorer.wait(WAIT_SECONDS)
        if freshening.is_alive():
            freshening.join(WAIT_SECONDS)
    figures: dict[str, float | int | str] = {}
    for name, each in took.items():
        figures |= {f"{name}_p50_seconds": float(np.median(each)), f"{name}_max_seconds": max(each)}
    return figures | {"n_followed": n_measured}


def _followed(client: ScorerClient, rows: FeastFeatures, profile_id: str, titles: tuple[str, ...]) -> dict[str, float]:
    """Ask for a page, then play its first title; time each until the row tells."""

    def row() -> ProfileFeatures | None:
        return rows.profile(profile_id, datetime.now(UTC))

    def has_played() -> bool:
        found = row()
        return found is not None and bool((found.minutes > 0).any())

    began = time.monotonic()
    page = client.page(PageRequest(profile_id=profile_id, titles=titles))
    until(lambda: row() is not None, f"the page of {profile_id} is in its row", every=_LOOK_SECONDS)
    asked = time.monotonic()
    now, choice = datetime.now(UTC), page.decisions[0]
    play = EndedPlay(
        play_id=page.page_id,
        profile_id=profile_id,
        title_id=choice.title_id,
        started_at=now,
        minutes=30,
        completion=0.5,
    )
    seen = SeenImpression(decision_id=choice.decision_id, seen_at=now)
    client.events(EventsRequest(impressions=(seen,), plays=(play,)))
    until(has_played, f"the play of {profile_id} is in its row", every=_LOOK_SECONDS)
    return {"page_to_row": asked - began, "event_to_row": time.monotonic() - asked}


def measure(settings: Settings, n_profiles: int, n_rounds: int) -> dict[str, float | int | str]:
    """Time steps; each burst is of other profiles, whose states are read for the first time."""
    catalogue = World(DEMO_SPEC).catalogue()
    write_catalogue(catalogue, settings.catalogue_path)
    titles = sorted(catalogue.titles)
    day = Interval.containing(datetime(2026, 11, 1, tzinfo=UTC), settings.interval_hours)
    log = EventLog(settings.events_dir, sync=False)
    log.append([event for n in range(n_profiles) for event in _visit(n, "a", day.start_at, titles)], at=day.start_at)
    log.close()
    ingest(settings, day)
    build_features(settings, day)
    apply_feature_repo(settings)
    freshener = Freshener(settings, open_feature_store(settings))
    while freshener.step().n_lines:
        pass  # a freshener that starts late reads back first, some of it a step
    figures: dict[str, float | int | str] = {"n_profiles": n_profiles}
    at, first = day.end_at, 0
    for burst in _BURSTS:
        seconds = []
        for number in range(n_rounds):
            at += timedelta(seconds=1)
            log.append(
                [e for n in range(first, first + burst) for e in _visit(n, f"{burst}-{number}", at, titles)], at=at
            )
            first = (first + burst) % (n_profiles - burst)
            began = perf_counter()
            done = freshener.step()
            seconds.append(perf_counter() - began)
            if done.n_profiles != burst:
                raise AssertionError(f"{burst} rows must be written, got {done.n_profiles}")
        figures |= {f"step_ms_{burst}": 1e3 * float(np.median(seconds)), f"worst_step_ms_{burst}": 1e3 * max(seconds)}
        figures[f"rows_a_second_{burst}"] = burst / float(np.median(seconds))
    log.close()
    freshener.close()
    return figures


def _visit(number: int, name: str, at: datetime, titles: list[str]) -> list[Event]:
    """Make a page of ten titles, all seen, and one play."""
    profile_id, page_id = f"profile-{number}", f"{name}-{number}"
    wanted = [titles[(number + place) % len(titles)] for place in range(_N_TITLES)]
    decisions = tuple(
        Decision(decision_id=f"{page_id}-{place}", title_id=title, artwork_id="a", actions=("a", "b"), propensity=0.5)
        for place, title in enumerate(wanted)
    )
    page = Page(
        page_id=page_id,
        decided_at=at,
        profile_id=profile_id,
        policy_version="uniform",
        cell=Cell.UNIFORM,
        epoch=0,
        feature_service=FEATURE_SERVICE,
        context=RequestContext(device="tv"),
        decisions=decisions,
    )
    seen = [Impression(decision_id=each.decision_id, seen_at=at, received_at=at) for each in decisions]
    play = Play(
        play_id=page_id,
        profile_id=profile_id,
        title_id=wanted[0],
        started_at=at,
        received_at=at,
        minutes=30.0,
        completion=0.5,
    )
    return [page, *seen, play]
