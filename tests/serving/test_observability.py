"""What a scorer tells of itself: stages, swaps, lag, request ids, log lines and traces; and nothing of anybody."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from models.error import ContractError
from serving import trace
from serving.features import InMemoryFeatures
from serving.server import build_app, server_config
from serving.stage import Laps, Stage
from tests.serving.example import BrokenPolicy, ListedPolicies, Running, loaded, running, settings_in, wait_for
from tests.serving.scorer_process import SERVE_WITHOUT_FEAST, scorer_process

PAGE = {"profile_id": "p-somebody", "titles": ["t0", "t1"]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(settings_in(tmp_path), policies=ListedPolicies(loaded("v1"))) as found:
        wait_for(lambda: found.service.scorer.policy is not None)
        yield found


def _samples(server: Running) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_every_stage_of_a_page_is_timed_and_together_they_are_most_of_it(server: Running) -> None:
    for _ in range(20):
        assert server.client.post("/v1/pages", json=PAGE).status_code == 200
    found = _samples(server)
    stages = {stage: found["marquee_page_stage_seconds_sum", stage] for stage in Stage}
    assert {found["marquee_page_stage_seconds_count", stage] for stage in Stage} == {20.0}
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) <= found["marquee_request_seconds_sum", "/v1/pages"]
    assert found["marquee_policy_swap_seconds_count",] == 1
    assert found["marquee_log_lag_seconds",] == 0
    assert found["marquee_log_write_seconds_count",] == 20
    assert 0 < found["marquee_log_write_seconds_sum",] < stages[Stage.LOG]
    assert found["marquee_decisions_total", "live"] == 40


def test_the_steps_of_the_ladder_are_counted_and_nobody_is_named(server: Running) -> None:
    policy = loaded("v2")
    object.__setattr__(policy, "policy", BrokenPolicy(float("nan")))
    server.service.scorer.policy = policy
    server.client.post("/v1/pages", json=PAGE | {"titles": ["t0", "t-unheard-of"]})
    found = _samples(server)
    assert found["marquee_decisions_total", "fallback:policy_failed"] == 1
    assert found["marquee_decisions_total", "fallback:unknown_title"] == 1
    text = server.client.get("/metrics").text
    assert "somebody" not in text
    assert "unheard" not in text


def test_a_lap_is_the_time_since_the_one_before() -> None:
    laps = Laps()
    for stage in (Stage.SCORE, Stage.DRAW, Stage.SCORE):
        laps.end(stage)
    assert set(laps.seconds) == {Stage.SCORE, Stage.DRAW}
    assert 0 < laps.seconds[Stage.DRAW] < 1


@pytest.mark.parametrize("told", ["abc-123_X.9", "f" * 64])
def test_a_plain_request_id_is_kept(server: Running, told: str) -> None:
    for path in ("/healthz", "/no-such-path"):
        assert server.client.get(path, headers={"x-request-id": told}).headers["x-request-id"] == told


@pytest.mark.parametrize("told", ["", "a b", "f" * 65, "<script>", '"}{"', "a,b", "%0a"])
def test_any_other_is_replaced_by_one_of_its_own(server: Running, told: str) -> None:
    found = [server.client.get("/healthz", headers={"x-request-id": told}).headers["x-request-id"] for _ in range(2)]
    assert told not in found
    assert len(set(found)) == 2


def test_log_lines_carry_the_request_they_are_about(tmp_path: Path) -> None:
    settings_in(tmp_path)
    with scorer_process(tmp_path, SERVE_WITHOUT_FEAST, MARQUEE_ACCESS_LOG="true") as (_, url):
        for n in range(3):
            httpx.post(f"{url}/v1/pages", json=PAGE, headers={"x-request-id": f"asked-{n}"}, trust_env=False)
        httpx.get(f"{url}/nowhere", headers={"x-request-id": "lost"}, trust_env=False)
    lines = [json.loads(line) for line in (tmp_path / "stderr.log").read_text().splitlines()]
    told = {line["request_id"]: line for line in lines if line["event"] == "request answered"}
    assert {told[f"asked-{n}"]["route"] for n in range(3)} == {"/v1/pages"}
    assert (told["lost"]["route"], told["lost"]["status"]) == ("other", 404)
    assert told["asked-0"]["ms"] > 0
    assert "somebody" not in (tmp_path / "stderr.log").read_text()


def test_a_request_is_a_span_with_its_stages_under_the_callers_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr("serving.server.tracer_provider", lambda _: provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with running(settings_in(tmp_path)) as server:
        headers = {"traceparent": parent, "x-request-id": "asked"}
        assert server.client.post("/v1/pages", json=PAGE, headers=headers).status_code == 200
        assert server.client.get("/nowhere").status_code == 404
    page, lost = exported.get_finished_spans()
    assert page.name == "POST /v1/pages"
    assert page.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert page.attributes is not None
    assert page.attributes["http.response.status_code"] == 200
    assert page.attributes["marquee.request_id"] == "asked"
    assert {f"marquee.seconds.{stage}" for stage in Stage} <= set(page.attributes)
    assert "somebody" not in page.to_json()
    assert lost.name == "GET other"


def test_without_an_endpoint_nothing_is_traced_and_without_packages_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    app = build_app(settings, features=InMemoryFeatures(), policies=ListedPolicies())
    assert trace.tracer_provider(settings) is None
    config: uvicorn.Config = server_config(app, settings)
    assert config.app is app
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ContractError, match=r"marquee\[otel\]"):
        trace.tracer_provider(settings_in(tmp_path, otel_endpoint="http://127.0.0.1:9/v1/traces"))
