"""What is precomputed is what a running scorer answers, to the last bit, and is logged like it."""

import errno
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.error import ContractError, FeatureUnavailableError, NotReadyError
from models.interval import Interval
from models.layout import ARTWORK, PROFILE, TITLE
from pipelines.feature_tables import view_path
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.precompute import precompute
from pipelines.settings import Settings
from pipelines.table import DECISIONS
from serving import segment_file
from serving.catalogue_file import write_catalogue
from serving.catalogue_index import microseconds
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.policy_source import BundlePolicySource
from serving.request import AskedContext
from tests.serving.bundle_example import publish, tasteful, write_policy
from tests.serving.example import example_catalogue, logged_pages, running

AT = datetime(2026, 11, 2, 12, 30, tzinfo=UTC)
CONTEXT = AskedContext(device="tv", country="DE", language="de", local_hour=20, day_of_week=4)
N_TITLES = 130
PROFILES = [f"p{n}" for n in range(7)]


@pytest.fixture
def features() -> InMemoryFeatures:
    return _features(seed=3)


def _features(seed: int, known_us: int | None = None) -> InMemoryFeatures:
    rng, catalogue = np.random.default_rng(seed), example_catalogue(N_TITLES, 5)

    def vectors(names, width):
        return {name: rng.normal(size=width).astype(np.float32) for name in names}

    nothing = np.zeros(0, dtype=np.float32)
    rows = {
        name: (ProfileFeatures(vector, nothing.astype(np.uint64), nothing, nothing), AT)
        for name, vector in vectors(PROFILES, len(PROFILE)).items()
    }
    titles, artworks = vectors(catalogue.titles, len(TITLE)), vectors(catalogue.artworks, len(ARTWORK))
    return InMemoryFeatures(rows, titles, artworks, known_us=known_us)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, policy_poll_seconds=0.05, uniform_cell_share=0.3)
    write_catalogue(example_catalogue(N_TITLES, 5), settings.catalogue_path)
    publish(settings.policies_url, write_policy(settings.policies_url, "", policy=tasteful(4)))
    return settings


def _run(settings: Settings, features: InMemoryFeatures, clock=lambda: AT, **changes):
    path = settings.home / "out" / "answers.parquet"
    return precompute(settings, path, CONTEXT, clock, features=features, profile_ids=PROFILES, **changes), path


def test_cached_and_live_answers_agree_bit_for_bit(settings, features) -> None:
    told, path = _run(settings, features)
    rows = pq.read_table(path).to_pylist()
    assert told.n_decisions == len(rows) == len(PROFILES) * N_TITLES
    cached = {(row["profile_id"], row["title_id"]): (row["artwork_id"], row["propensity"]) for row in rows}
    rng = np.random.default_rng(1)
    policies = BundlePolicySource(settings.policies_url)
    with running(settings, features=features, policies=policies, clock=lambda: AT + timedelta(hours=3)) as server:
        for profile in PROFILES:
            titles = [f"t{n}" for n in rng.permutation(N_TITLES)[: rng.integers(1, 60)]]
            asked = [{"title_id": name, "row": 0, "column": 0} for name in titles]
            context = {"device": "tv", "country": "DE", "language": "de", "local_hour": 20, "day_of_week": 4}
            body = {"profile_id": profile, "titles": asked, "context": context, "explain": True}
            answer = server.client.post("/v1/pages", json=body).json()
            for choice in answer["decisions"]:
                expected = cached[profile, choice["title_id"]]
                assert (choice["artwork_id"], choice["propensity"]) == expected
    assert {row["intent"] for row in rows} == {"live"}
    assert len({row["propensity"] for row in rows}) > 100, "the policy's probabilities are told apart"


def test_decisions_are_in_the_lake_once_however_often_it_runs(settings, features) -> None:
    first, path = _run(settings, features)
    before = pq.read_table(path)
    again, _ = _run(settings, features, clock=lambda: AT + timedelta(minutes=5))
    assert first.n_decisions == again.n_decisions
    assert pq.read_table(path).equals(before), "the same epoch: the same answers under the same ids"
    assert len(logged_pages(settings.events_dir)) == 2 * len(PROFILES) * 2
    found = ingest(settings, Interval.containing(AT, settings.interval_hours))
    assert found.n_decisions == first.n_decisions
    interval = Interval.containing(AT, settings.interval_hours)
    rows = Lake(settings.lake_dir).read(
        DECISIONS, interval.start_at, interval.end_at, ["decision_id", "artwork_id", "propensity"]
    )
    logged = {row["decision_id"]: (row["artwork_id"], row["propensity"]) for row in rows.to_pylist()}
    assert logged == {row["decision_id"]: (row["artwork_id"], row["propensity"]) for row in before.to_pylist()}


def test_a_run_across_the_end_of_an_interval_loses_no_decision(settings) -> None:
    first = Interval.containing(AT, settings.interval_hours)
    second = Interval.containing(first.end_at, settings.interval_hours)
    moments = (first.end_at + timedelta(seconds=0.5 * n) for n in itertools.count(-10))
    # While last night's features are not in, no epoch begins: a run may begin on one day and end on the next.
    features = _features(seed=3, known_us=microseconds(first.start_at))
    told, path = _run(settings, features, clock=lambda: next(moments))
    for interval in (first, second):
        ingest(settings, interval)
    lake = Lake(settings.lake_dir)
    logged = [
        lake.read(DECISIONS, each.start_at, each.end_at).column("decision_id").to_pylist() for each in (first, second)
    ]
    assert all(logged), "the run is of two days"
    assert sorted(logged[0] + logged[1]) == sorted(pq.read_table(path).column("decision_id").to_pylist())
    assert told.n_decisions == len(PROFILES) * N_TITLES


def test_what_moved_features_decide_otherwise_has_ids_of_its_own(settings, features) -> None:
    _, path = _run(settings, features)
    before = pq.read_table(path).to_pylist()
    _run(settings, _features(seed=4))
    after = pq.read_table(path).to_pylist()
    assert [row["artwork_id"] for row in before] != [row["artwork_id"] for row in after]
    interval = Interval.containing(AT, settings.interval_hours)
    ingest(settings, interval)
    columns = ["decision_id", "artwork_id", "propensity"]
    rows = Lake(settings.lake_dir).read(DECISIONS, interval.start_at, interval.end_at, columns).to_pylist()
    logged = {row["decision_id"]: (row["artwork_id"], row["propensity"]) for row in rows}
    for row in (*before, *after):
        assert logged[row["decision_id"]] == (row["artwork_id"], row["propensity"])


def test_active_profiles_are_those_with_features_in_their_time_to_live(settings, features) -> None:
    for number, (name, age_days) in enumerate((("p1", 1), ("p2", 80), ("old", 91), ("p1", 3))):
        moment = AT - timedelta(days=age_days)
        rows = {"profile_id": [name], "event_timestamp": pa.array([moment], pa.timestamp("us", "UTC"))}
        target = view_path(settings, "profile_taste", str(number))
        target.parent.mkdir(parents=True)
        pq.write_table(pa.table(rows), target)
    path = settings.home / "answers.parquet"
    told = precompute(settings, path, CONTEXT, lambda: AT, features=features)
    assert told.n_profiles == 2
    assert set(pq.read_table(path)["profile_id"].to_pylist()) == {"p1", "p2"}


def test_what_fails_leaves_the_old_answers(settings, features) -> None:
    _, path = _run(settings, features)
    before = path.read_bytes()
    ticks = iter([AT] * 6 + [AT + timedelta(days=1)] * 100)
    with pytest.raises(NotReadyError, match="epoch"):
        _run(settings, features, clock=lambda: next(ticks))

    class Down(InMemoryFeatures):
        def profile(self, profile_id, at):
            raise FeatureUnavailableError("gone")

    with pytest.raises(FeatureUnavailableError, match="p0"):
        _run(settings, Down())
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_no_draft_and_is_told_as_it_was_met(settings, features, monkeypatch) -> None:
    full = (OSError(errno.ENOSPC, f"full at sync {number}") for number in itertools.count(1))

    def sync(descriptor: int) -> None:
        raise next(full)

    monkeypatch.setattr(segment_file, "_sync_file", sync)
    with pytest.raises(OSError, match=r"full at sync 1$"):
        _run(settings, features)
    assert list((settings.home / "out").iterdir()) == []


def test_page_rules_and_open_hours_are_refused(settings, features) -> None:
    with pytest.raises(ContractError, match="page rules"):
        _run(settings.model_copy(update={"repeated_motif_factor": 0.5}), features)
    path = settings.home / "answers.parquet"
    with pytest.raises(ContractError, match="local_hour"):
        precompute(settings, path, AskedContext(device="tv"), lambda: AT, features=features)
    with pytest.raises(ContractError, match="no policy"):
        _run(settings.model_copy(update={"policy_url": (settings.home / "none").as_uri()}), features)
