"""Each way down the ladder, over real HTTP: a page comes back, and what its log says is what was really drawn.

Every propensity is made a second time, from the line in the log and the bundle on disk.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.recompute import recomputed
from models.bundle import POINTER_FILE, read_bundle
from models.decision import Page
from models.error import FeatureUnavailableError
from models.event import decode_line
from models.identity import keys_of
from models.layout import ARTWORK, PROFILE, TITLE
from models.pointer import Pointer
from models.policy import Policy, UniformPolicy
from models.segment import find_segments
from models.storage import Folder
from pipelines.rollback import rollback
from pipelines.settings import Settings
from serving.features import InMemoryFeatures, OnlineFeatures, ProfileFeatures
from serving.policy import LoadedPolicy, PolicySource
from serving.policy_source import BundlePolicySource
from serving.service import Clock, utc_now
from tests.serving.bundle_example import bundle_file, publish, tasteful, write_policy
from tests.serving.example import BrokenPolicy, ListedPolicies, Running, logged_pages, running, settings_in, wait_for
from tests.serving.small_disk import fill, freezable_disk, frozen, small_disk

TITLES = ["t0", {"title_id": "t1", "score": 0.7, "row": 1, "column": 3}, "t2"]
CONTEXT = {"device": "tv", "country": "DE", "language": "de", "local_hour": 20, "day_of_week": 4}
_random = np.random.default_rng(7)
ARTWORKS = {f"t{n}-a{k}": _random.normal(size=len(ARTWORK)).astype(np.float32) for n in range(3) for k in range(4)}


def known_features() -> InMemoryFeatures:
    """A store that knows every title and artwork, and the profile p."""
    generator = np.random.default_rng(8)
    met = np.ones(1, dtype=np.float32)
    row = ProfileFeatures(generator.normal(size=len(PROFILE)).astype(np.float32), keys_of(["t1"]), 30 * met, 4 * met)
    titles = {f"t{n}": generator.normal(size=len(TITLE)).astype(np.float32) for n in range(3)}
    return InMemoryFeatures({"p": (row, datetime.now(UTC))}, titles, ARTWORKS)


class FailingFeatures(InMemoryFeatures):
    """A store whose profiles cannot be read: they raise, or they hang until they are let go."""

    def __init__(self, error: Exception | None = None) -> None:
        known = known_features()
        super().__init__(known._profiles, known._titles, known._artworks)
        self.error = error
        self.gate = threading.Event()

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        if self.error is not None:
            raise self.error
        self.gate.wait(20)
        return super().profile(profile_id, at)


@dataclass(frozen=True, slots=True)
class Ladder:
    """A scorer with a live bundle, and the two policies of it as they lie on disk."""

    server: Running
    version: str
    live: Policy
    best: Policy

    def ask(self, profile_id: str = "p", titles: list[Any] | None = None) -> dict[str, Any]:
        body = {"profile_id": profile_id, "titles": titles or TITLES, "context": CONTEXT, "explain": True}
        answer = self.server.client.post("/v1/pages", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def check(self, policy: Policy, intent: str, version: str = "", titles: list[Any] | None = None) -> Page:
        """Ask for a page, and hold its line in the log against a policy."""
        answer = self.ask(titles=titles)
        (page,) = [
            each for each in logged_pages(self.server.service.settings.events_dir) if each.page_id == answer["page_id"]
        ]
        assert {decision.intent for decision in page.decisions} == {intent}
        assert page.policy_version == (version or self.version)
        chosen, propensities = recomputed(page, policy, ARTWORKS)
        assert [decision.artwork_id for decision in page.decisions] == chosen
        assert [choice["artwork_id"] for choice in answer["decisions"]] == chosen
        np.testing.assert_allclose([decision.propensity for decision in page.decisions], propensities, rtol=1e-12)
        return page


@contextmanager
def ladder(
    settings: Any,
    *,
    features: OnlineFeatures | None = None,
    policies: PolicySource | None = None,
    clock: Clock = utc_now,
) -> Iterator[Ladder]:
    manifest = write_policy(settings.policies_url, "", policy=tasteful(1), day=1)
    publish(settings.policies_url, manifest)
    bundle = read_bundle(settings.policies_url, manifest.version)
    source = policies or BundlePolicySource(settings.policies_url)
    with running(settings, features=features or known_features(), policies=source, clock=clock) as server:
        yield Ladder(server, manifest.version, bundle.policy, bundle.fallback)


def test_the_first_step_is_the_live_policy(tmp_path: Path) -> None:
    with ladder(settings_in(tmp_path)) as found:
        page = found.check(found.live, "live")
        assert page.profile_features, "the profile's row was read"
        assert len({decision.propensity for decision in page.decisions}) == 3, "the policy tells artworks apart"


def test_a_profile_of_the_uniform_cell_is_drawn_uniformly_and_says_so(tmp_path: Path) -> None:
    with ladder(settings_in(tmp_path, uniform_cell_share=1.0)) as found:
        page = found.check(UniformPolicy(), "live", version="uniform")
        assert page.cell == "uniform"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (FeatureUnavailableError("redis is gone"), "features_unavailable"),
        (ConnectionResetError(), "features_unavailable"),
    ],
)
def test_a_store_that_is_gone_costs_the_profile_and_no_page(tmp_path: Path, error: Exception, why: str) -> None:
    with ladder(settings_in(tmp_path, feature_budget_ms=5_000), features=FailingFeatures(error)) as found:
        assert found.check(found.live, f"fallback:{why}").profile_features == b""


def test_a_store_that_is_slow_costs_the_budget_and_the_profile(tmp_path: Path) -> None:
    features = FailingFeatures()
    with ladder(settings_in(tmp_path, feature_budget_ms=30), features=features) as found:
        for _ in range(10):
            assert found.check(found.live, "fallback:features_timeout").profile_features == b""
        features.gate.set()
        wait_for(lambda: found.ask()["decisions"][0]["intent"] == "live")
        found.check(found.live, "live")


def test_a_policy_that_fails_on_a_page_steps_down_to_the_best_artwork(tmp_path: Path) -> None:
    with ladder(settings_in(tmp_path), policies=ListedPolicies()) as found:
        errors = [kind("a bug") for kind in (ValueError, TypeError, AttributeError, MemoryError, RuntimeError)]
        for broken in map(BrokenPolicy, (*errors, float("nan"), 2.0)):
            found.server.service.scorer.policy = LoadedPolicy(found.version, broken, found.best)
            found.check(found.best, "fallback:policy_failed")


def test_when_that_fails_too_each_title_has_its_default(tmp_path: Path) -> None:
    broken = BrokenPolicy(ValueError("a bug"))
    with ladder(settings_in(tmp_path), policies=ListedPolicies()) as found:
        found.server.service.scorer.policy = LoadedPolicy("broken", broken, broken)
        found.ask()
    (page,) = logged_pages(tmp_path / "events")
    assert [decision.artwork_id for decision in page.decisions] == ["t0-a1", "t1-a1", "t2-a1"]
    assert {(decision.propensity, decision.intent) for decision in page.decisions} == {(1.0, "fallback:best_failed")}


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff", b"null", b'{"version":"../../etc"}', b"x" * 100_000])
def test_a_broken_pointer_leaves_the_policy_in_force_and_uniform_to_who_starts_then(
    tmp_path: Path, garbage: bytes
) -> None:
    settings = settings_in(tmp_path)
    with ladder(settings) as found:
        (tmp_path / "policies" / "live.json").write_bytes(garbage)
        wait_for(lambda: "marquee_bundles_refused_total 1.0" in found.server.client.get("/metrics").text)
        found.check(found.live, "live")
        with running(settings, features=known_features(), policies=BundlePolicySource(settings.policies_url)) as other:
            Ladder(other, "uniform", found.live, found.best).check(UniformPolicy(), "live")


@pytest.mark.parametrize("file", ["policy.npz", "fallback.npz", "sample.npz", "manifest.json"])
def test_a_corrupt_bundle_leaves_the_policy_in_force_and_uniform_to_who_starts_then(tmp_path: Path, file: str) -> None:
    settings = settings_in(tmp_path)
    with ladder(settings) as found:
        newer = write_policy(settings.policies_url, "", policy=tasteful(2), day=2)
        publish(settings.policies_url, newer)
        wait_for(lambda: found.ask()["policy_version"] == newer.version)
        corrupt = write_policy(settings.policies_url, "", policy=tasteful(3), day=3)
        path = bundle_file(tmp_path / "policies", corrupt, file)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content)
        # Past the publishing step, which would not point to a manifest that was altered.
        pointer = Pointer.to(corrupt, published_at=utc_now(), previous=None)
        Folder(settings.policies_url).replace(POINTER_FILE, msgspec.json.encode(pointer))
        wait_for(lambda: "bundles_refused_total 1.0" in found.server.client.get("/metrics").text)
        live = read_bundle(settings.policies_url, newer.version)
        Ladder(found.server, newer.version, live.policy, live.fallback).check(live.policy, "live")
        with running(settings, features=known_features(), policies=BundlePolicySource(settings.policies_url)) as other:
            Ladder(other, "uniform", found.live, found.best).check(UniformPolicy(), "live")


def test_a_registry_that_is_gone_keeps_nobody_from_serving_or_from_rolling_back(tmp_path: Path) -> None:
    gone = f"sqlite:///{tmp_path}/no/such/folder/registry.db"
    settings = Settings(home=tmp_path, registry_url=gone, uniform_cell_share=0.0, policy_poll_seconds=1.0)
    settings_in(tmp_path)
    with ladder(settings) as found:
        newer = write_policy(settings.policies_url, "", policy=tasteful(2), day=2)
        publish(settings.policies_url, newer)
        wait_for(lambda: found.ask()["policy_version"] == newer.version, seconds=5)
        (told,) = rollback(settings).not_done
        assert told.startswith(f"the registry still says that {newer.version} is champion: ")
        wait_for(lambda: found.ask()["policy_version"] == found.version, seconds=5)
        found.check(found.live, "live")


def test_without_a_catalogue_titles_have_defaults_and_named_artworks_are_still_chosen_among(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.catalogue_path.unlink()
    with ladder(settings) as found:
        page = found.check(found.live, "fallback:unknown_title")
        assert [(d.artwork_id, d.propensity) for d in page.decisions] == [(f"t{n}:default", 1.0) for n in range(3)]
        named = [{"title_id": "t0", "artworks": ["t0-a0", "t0-a1", "x"]}]
        answer = found.ask(titles=named)
        (page,) = [each for each in logged_pages(settings.events_dir) if each.page_id == answer["page_id"]]
        chosen, propensities = recomputed(page, found.live)  # nothing is known of an artwork without a catalogue
        assert [decision.artwork_id for decision in page.decisions] == chosen
        assert page.decisions[0].propensity == pytest.approx(propensities[0], rel=1e-12)
        assert page.decisions[0].propensity < 1.0


@pytest.mark.parametrize("jump", [timedelta(hours=-30), timedelta(days=-1), timedelta(hours=30), timedelta(days=200)])
def test_a_clock_that_jumps_changes_the_epoch_and_no_segment_lies_about_its_lines(
    tmp_path: Path, jump: timedelta
) -> None:
    ahead = timedelta()

    def clock() -> datetime:
        return utc_now() + ahead

    settings = settings_in(tmp_path, stickiness_hours=24.0)
    with ladder(settings, clock=clock) as found:
        before = found.check(found.live, "live")
        ahead = jump
        after = found.check(found.live, "live")
        ahead = timedelta()
        back = found.check(found.live, "live")
        assert after.epoch != before.epoch == back.epoch
        assert abs(after.decided_at - before.decided_at - jump) < timedelta(minutes=1)
        # A row that is older than its time to live, by this clock, is stale: the profile is cold.
        assert any(after.profile_features) == (jump < timedelta(days=90))
        assert found.server.client.get("/readyz").json()["ready"]
    for segment in find_segments(settings.events_dir):
        assert segment.closed_at is not None
        for page in logged_pages_of(segment.path):
            assert segment.opened_at <= page.decided_at <= segment.closed_at


def logged_pages_of(path: Path) -> list[Page]:
    events = [decode_line(line) for line in path.read_bytes().splitlines()]
    return [event for event in events if isinstance(event, Page)]


def test_a_full_disk_is_answered_by_the_best_artwork_and_never_logged(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with small_disk(settings.events_dir) as disk, ladder(settings) as found:
        ballast = fill(disk)
        answers, status = [], 200
        while status == 200:  # what the segment has room for is logged as ever
            answers.append(found.ask())
            status = found.server.client.get("/readyz").status_code
        ready = found.server.client.get("/readyz").json()
        assert "No space left on device" in ready["log"]
        before = logged_pages(disk)
        unlogged = [found.ask() for _ in range(5)] + answers[-1:]
        for answer in unlogged:
            assert answer["unlogged"] is True
            assert {choice["intent"] for choice in answer["decisions"]} == {"fallback:log_unwritable"}
            assert answer["decisions"][0]["artwork_id"] == "t0-a2", "what the fallback favours"
            assert [choice["propensity"] for choice in answer["decisions"]] == [1.0, 0.25, 0.25]
        event = {"decision_id": "d", "seen_at": "2026-11-02T10:00:00Z"}
        assert found.server.client.post("/v1/events", json={"impressions": [event]}).status_code == 503
        ballast.unlink()
        wait_for(lambda: found.server.client.get("/readyz").status_code == 200)
        page = found.check(found.live, "live")
        logged = {each.page_id for each in logged_pages(disk)}
        assert logged == {each.page_id for each in before} | {page.page_id}
        assert logged >= {answer["page_id"] for answer in answers if "unlogged" not in answer}
        assert not logged & {answer["page_id"] for answer in unlogged}


def test_a_folder_that_becomes_unwritable_turns_readiness_red_and_green_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, segment_seconds=0.1)
    with ladder(settings) as found:
        first = found.check(found.live, "live")
        away = settings.events_dir.rename(tmp_path / "away")
        settings.events_dir.write_text("a file is in the way of the folder")
        wait_for(lambda: found.ask().get("unlogged", False))
        assert found.server.client.get("/readyz").status_code == 503
        settings.events_dir.unlink()
        away.rename(settings.events_dir)
        wait_for(lambda: found.server.client.get("/readyz").status_code == 200)
        found.check(found.live, "live")
    assert first.page_id in {page.page_id for page in logged_pages(settings.events_dir)}


def test_a_disk_that_hangs_costs_a_page_its_budget_and_stops_nobody(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, log_budget_ms=300)
    with freezable_disk(settings.events_dir, tmp_path / "disk.image") as disk, ladder(settings) as found:
        first = found.check(found.live, "live")
        with frozen(disk):
            began = time.monotonic()
            late = [found.ask() for _ in range(5)]
            assert found.server.client.get("/healthz").status_code == 200
            assert found.server.client.get("/readyz").status_code == 503
            assert time.monotonic() - began < 3.0, "one page waits for the budget, and nobody after it"
            metrics = found.server.client.get("/metrics").text
            assert "marquee_log_lag_seconds 0.0" not in metrics
            wait_for(lambda: "marquee_ready 0.0" in found.server.client.get("/metrics").text)
        assert {choice["intent"] for answer in late for choice in answer["decisions"]} == {"fallback:log_unwritable"}
        wait_for(lambda: found.server.client.get("/readyz").status_code == 200)
        last = found.check(found.live, "live")
        logged = {page.page_id for page in logged_pages(disk)}
    assert logged >= {first.page_id, last.page_id}
    assert not logged & {answer["page_id"] for answer in late}
