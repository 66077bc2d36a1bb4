import asyncio
import json
import threading
import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import structlog

from models.error import BundleError, ContractError
from serving.event_log import EventLog
from serving.features import InMemoryFeatures, ProfileFeatures
from serving.lookup import BudgetedLookup
from serving.policy_source import BundlePolicySource
from serving.segment_file import SegmentFile
from tests.serving.bundle_example import bundle_file, publish, write_policy
from tests.serving.example import (
    NOW,
    PAGE,
    BrokenPolicy,
    ListedPolicies,
    loaded,
    logged_events,
    logged_pages,
    metric,
    readiness,
    running,
    settings_in,
    wait_for,
)


class SlowFeatures(InMemoryFeatures):
    """A store that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
        self.gate.wait(20)
        return super().profile(profile_id, at)


def test_a_published_bundle_serves_within_five_seconds_and_a_rollback_as_fast(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, policy_poll_seconds=1.0)
    url = settings.policies_url
    with running(settings, policies=BundlePolicySource(url)) as server:
        assert server.client.post("/v1/pages", json=PAGE).json()["policy_version"] == "uniform"
        first, second = write_policy(url, "t0-a0"), write_policy(url, "t0-a3", day=1)
        for manifest, rollback in ((first, False), (second, False), (first, True)):
            publish(url, manifest, rollback=rollback)
            wait_for(lambda expected=manifest.version: readiness(server)[1]["policy_version"] == expected, seconds=5)
            page = server.client.post("/v1/pages", json=PAGE).json()
            assert page["policy_version"] == manifest.version
            favourite = "t0-a0" if manifest is first else "t0-a3"
            found = page["decisions"][0]
            assert found["propensity"] == pytest.approx(0.7 if found["artwork_id"] == favourite else 0.1)
        assert metric(server, "marquee_policy_swaps_total") == 3


def test_a_bad_bundle_is_counted_once_and_the_old_one_keeps_serving(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    url = settings.policies_url
    with running(settings, policies=BundlePolicySource(url)) as server:
        good, bad, better = (write_policy(url, f"t0-a{n}", day=n) for n in range(3))
        publish(url, good)
        wait_for(lambda: readiness(server)[1]["policy_version"] == good.version)
        file = bundle_file(tmp_path / "policies", bad, "policy.npz")
        file.write_bytes(file.read_bytes()[:-7])
        publish(url, bad)
        wait_for(lambda: metric(server, "marquee_bundles_refused_total") == 1)
        time.sleep(settings.policy_poll_seconds * 5)
        assert metric(server, "marquee_bundles_refused_total") == 1
        assert server.client.post("/v1/pages", json=PAGE).json()["policy_version"] == good.version
        publish(url, better)
        wait_for(lambda: readiness(server)[1]["policy_version"] == better.version)


def test_a_bundle_that_loads_but_cannot_score_never_goes_live(tmp_path: Path) -> None:
    bad = loaded("bad")
    object.__setattr__(bad, "policy", BrokenPolicy(float("nan")))
    policies = ListedPolicies(loaded("good"), bad, BundleError("torn"), OSError("unreachable"), loaded("better"))
    with running(settings_in(tmp_path), policies=policies) as server:
        wait_for(lambda: readiness(server)[1]["policy_version"] == "better")
        assert metric(server, "marquee_bundles_refused_total") == 2, server.client.get("/metrics").text
        assert metric(server, "marquee_policy_swaps_total") == 2


def test_pages_under_load_are_each_of_one_version_while_policies_swap(tmp_path: Path) -> None:
    # Version v<tilt> gives artwork k of 4 probability (1 + tilt · k) / (4 + 6 · tilt): a mixed page would show.
    tilts = list(range(1, 41))
    policies = ListedPolicies(*(loaded(f"v{tilt}", float(tilt)) for tilt in tilts))
    settings = settings_in(tmp_path, policy_poll_seconds=0.02)
    answers: list[dict[str, object]] = []
    failures: list[object] = []

    def ask(url: str, n_client: int) -> None:
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
            n = 0
            while policies.outcomes or n < 20:
                answer = client.post("/v1/pages", json={**PAGE, "profile_id": f"p{n_client}-{n}"})
                (answers if answer.status_code == 200 else failures).append(answer.json())
                n += 1

    with running(settings, policies=policies) as server:
        clients = [threading.Thread(target=ask, args=(server.url, n)) for n in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(60)
    assert not failures
    versions = {answer["policy_version"] for answer in answers}
    assert len(versions) > 5, "the load must have met several versions"
    pages = logged_pages(settings.events_dir)
    assert {page.page_id for page in pages} == {answer["page_id"] for answer in answers}
    for page in pages:
        tilt = int(page.policy_version[1:])
        for decision in page.decisions:
            place = int(decision.artwork_id[-1])
            assert decision.propensity == pytest.approx((1 + tilt * place) / (4 + 6 * tilt)), page.policy_version


def test_an_unwritable_log_answers_the_default_turns_readiness_red_and_recovers(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.events_dir.write_text("a file is in the way of the directory")
    with running(settings, policies=ListedPolicies(loaded("v1"))) as server:
        assert readiness(server)[0] == 503
        answer = server.client.post("/v1/pages", json=PAGE)
        assert answer.status_code == 200
        assert answer.json()["unlogged"] is True
        for decision in answer.json()["decisions"]:
            assert decision["intent"] == "fallback:log_unwritable"
            place = int(decision["artwork_id"][-1])
            assert decision["propensity"] == pytest.approx((1 + place / 2) / 7)
        event = {"decision_id": "d", "seen_at": NOW.isoformat()}
        refused = server.client.post("/v1/events", json={"impressions": [event]})
        assert refused.status_code == 503
        assert "event log" in refused.json()["error"]["message"]
        assert metric(server, "marquee_log_failures_total") == 2
        assert metric(server, "marquee_ready") == 0
        settings.events_dir.unlink()
        wait_for(lambda: readiness(server)[0] == 200)
        answer = server.client.post("/v1/pages", json=PAGE).json()
        assert "unlogged" not in answer
        assert [page.page_id for page in logged_pages(settings.events_dir)] == [answer["page_id"]]


def test_readiness_quotes_nothing_that_the_log_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def foreseen(*_: object) -> None:
        raise OSError("postgres://user:secret@host")

    def unforeseen(*_: object) -> None:
        raise ValueError("postgres://user:secret@host")

    with running(settings_in(tmp_path)) as server:
        for fail in (foreseen, unforeseen):
            with monkeypatch.context() as patch:
                patch.setattr(SegmentFile, "write", fail)
                patch.setattr(EventLog, "probe", foreseen)
                assert server.client.post("/v1/pages", json=PAGE).json()["unlogged"] is True
                status, ready = readiness(server)
                assert (status, ready["log"]) == (503, "not writable: the event log failed")
            wait_for(lambda: readiness(server)[0] == 200)


def test_features_that_are_late_cost_the_budget_and_are_named_in_the_log(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, feature_budget_ms=30)
    features = SlowFeatures()
    with running(settings, features=features, policies=ListedPolicies(loaded("v1"))) as server:
        started = time.monotonic()
        answers = [server.client.post("/v1/pages", json=PAGE).json() for _ in range(12)]
        assert time.monotonic() - started < 10, "threads that hang must not hold later requests up"
        features.gate.set()
        assert {answer["policy_version"] for answer in answers} == {"v1"}
        pages = logged_pages(settings.events_dir)
        for page in pages:
            assert page.profile_features == b""
            for decision in page.decisions:
                assert decision.intent == "fallback:features_timeout"
                assert decision.propensity == pytest.approx((1 + int(decision.artwork_id[-1])) / 10)
        assert metric(server, "marquee_decisions_total") == 36


def test_a_lookup_gives_whatever_the_store_raises_a_name() -> None:
    class Raising(InMemoryFeatures):
        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

        def profile(self, profile_id: str, at: datetime) -> ProfileFeatures | None:
            raise self.error

    async def failure(error: Exception) -> str:
        lookup = BudgetedLookup(Raising(error), budget_ms=1_000)
        return (await lookup.look_up("p", NOW)).failure

    assert asyncio.run(failure(ContractError("NaN in the row"))) == "features_invalid"
    assert asyncio.run(failure(ConnectionResetError())) == "features_unavailable"
    assert asyncio.run(failure(RuntimeError("a client library's own"))) == "features_unavailable"


def test_without_a_catalogue_every_title_is_served_its_default(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.catalogue_path.unlink()
    with running(settings) as server:
        assert readiness(server) == (200, {**readiness(server)[1], "n_titles": 0})
        page = server.client.post("/v1/pages", json=PAGE).json()
        assert [decision["artwork_id"] for decision in page["decisions"]] == ["t0:default", "t1:default", "t2:default"]


def test_shutdown_closes_the_segment_and_start_closes_what_a_crash_left(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with running(settings) as server:
        server.client.post("/v1/pages", json=PAGE)
        assert len(list(settings.events_dir.glob("*.open"))) == 1
    assert not list(settings.events_dir.glob("*.open"))
    (closed,) = settings.events_dir.glob("*.jsonl")
    torn = settings.events_dir / "20260101T000000000000Z-crashed.open"
    torn.write_bytes(closed.read_bytes() + b'{"kind":"pa')
    with running(settings):
        assert not torn.exists()
    assert len(logged_events(settings.events_dir)) == 2


def test_a_segment_is_closed_by_age_while_nobody_asks(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, segment_seconds=0.1)
    with running(settings) as server:
        server.client.post("/v1/pages", json=PAGE)
        wait_for(lambda: list(settings.events_dir.glob("*.jsonl")), seconds=10)
        assert not list(settings.events_dir.glob("*.open"))


def test_an_error_of_our_own_is_a_json_answer_without_a_stack_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    # A logger of its own: whatever else ran in this process may have configured structlog for itself.
    processors = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=processors, wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    monkeypatch.setattr("serving.guard._log", logger)
    with running(settings_in(tmp_path)) as server:
        for step in ("choose_all", "choose_default"):
            monkeypatch.setattr(server.service.scorer, step, fail)
        answer = server.client.post("/v1/pages", json=PAGE)
        assert answer.status_code == 500
        assert json.loads(answer.text) == {"error": {"status": 500, "field": "", "message": "internal error"}}
        assert server.client.get("/healthz").status_code == 200
    assert "a bug" in "".join(capsys.readouterr())
