"""Kills a scorer in a process of its own, and looks for what it had acknowledged."""

import json
import signal
import threading
from pathlib import Path

import httpx
import pytest

from models.decision import Decision
from models.event import Impression
from models.segment import find_segments
from serving.event_recovery import recover
from tests.serving.example import logged_events, logged_pages, settings_in, wait_for
from tests.serving.scorer_process import SERVE_WITHOUT_FEAST, scorer_process

_SERVE = "from serving.server import run; from serving.settings import ScorerSettings; run(ScorerSettings())"


def _ask_until_dead(url: str, n_client: int, acknowledged: list[dict[str, str]]) -> None:
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        for n in range(100_000):
            try:
                page = client.post("/v1/pages", json={"profile_id": f"p{n_client}-{n}", "titles": ["t0", "t1", "t2"]})
                assert page.status_code == 200
                acknowledged.extend(page.json()["decisions"])
                seen = {"decision_id": page.json()["decisions"][0]["decision_id"], "seen_at": "2026-11-02T00:00:00Z"}
                if client.post("/v1/events", json={"impressions": [seen]}).status_code == 202:
                    acknowledged.append({"seen": seen["decision_id"]})
            except httpx.TransportError:
                return


@pytest.mark.timeout(180)
def test_nothing_acknowledged_is_lost_when_the_scorer_is_killed(tmp_path: Path) -> None:
    settings_in(tmp_path)
    events = tmp_path / "events"
    acknowledged: list[dict[str, str]] = []
    for _ in range(2):
        with scorer_process(tmp_path, SERVE_WITHOUT_FEAST, MARQUEE_SEGMENT_BYTES="40000") as (process, url):
            assert not _abandoned(events), "a start closes what the crash before it left"
            before = len(acknowledged)
            clients = [threading.Thread(target=_ask_until_dead, args=(url, n, acknowledged)) for n in range(4)]
            for client in clients:
                client.start()
            wait_for(lambda so_far=before: len(acknowledged) > so_far + 400, seconds=60)
            process.send_signal(signal.SIGKILL)
            for client in clients:
                client.join(30)
    recover(events)
    assert not list(events.glob("*.open"))
    decisions = [decision for page in logged_pages(events) for decision in page.decisions]
    logged = {decision.decision_id: decision for decision in decisions}
    assert len(logged) == len(decisions), "no decision twice"
    seen = {event.decision_id for event in logged_events(events) if isinstance(event, Impression)}
    for answer in acknowledged:
        if "seen" in answer:
            assert answer["seen"] in seen
        else:
            _check_same(logged[answer["decision_id"]], answer)


def _check_same(decision: Decision, answer: dict[str, str]) -> None:
    assert (decision.title_id, decision.artwork_id) == (answer["title_id"], answer["artwork_id"])
    assert decision.propensity == 0.25


def _abandoned(events: Path) -> list[Path]:
    return [segment.path for segment in find_segments(events) if segment.closed_at is None]


@pytest.mark.timeout(120)
def test_a_scorer_that_is_told_to_end_closes_its_log_and_logs_json(tmp_path: Path) -> None:
    settings_in(tmp_path)
    with scorer_process(tmp_path, _SERVE) as (process, url):
        hostile = {"profile_id": "\x1b[31m", "titles": ['t0"}\r\n{"event":"forged']}
        assert httpx.post(f"{url}/v1/pages", json=hostile, trust_env=False).status_code == 422
        page = {"profile_id": 'p"}{"event":"forged', "titles": ["t0"]}
        assert httpx.post(f"{url}/v1/pages", json=page, trust_env=False).status_code == 200
        ready = httpx.get(f"{url}/readyz", trust_env=False).json()
        assert ready["ready"]
        assert ready["features"] != "ok", "no feature store was ever applied here, and readiness says so"
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert len(list((tmp_path / "events").glob("*.jsonl"))) == 1
    assert not list((tmp_path / "events").glob("*.open"))
    lines = [json.loads(line) for line in (tmp_path / "stderr.log").read_text().splitlines()]
    assert lines
    assert "forged" not in {line["event"] for line in lines}
    assert any("feature" in line["event"] for line in lines)
