import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.decision import Page
from models.event import Delivery, Impression, Play
from tests.serving.example import Running, logged_events, logged_pages, running, settings_in


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Running]:
    with running(settings_in(home)) as found:
        yield found


def _page(server: Running, body: dict[str, Any]) -> dict[str, Any]:
    answer = server.client.post("/v1/pages", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_page_is_answered_and_lies_in_the_log_with_its_propensities(server: Running, home: Path) -> None:
    before = datetime.now(UTC)
    context = {"device": "tv", "country": "DE", "language": "de", "local_hour": 20, "day_of_week": 4}
    titles = [{"title_id": "t1", "score": 0.5, "row": 2, "column": 7}, "t0", {"title_id": "t2"}]
    answer = _page(server, {"profile_id": "p-1", "titles": titles, "context": context})
    assert set(answer) == {"page_id", "policy_version", "cell", "decisions"}
    assert [set(decision) for decision in answer["decisions"]] == [{"title_id", "artwork_id", "decision_id"}] * 3
    (page,) = [page for page in logged_pages(home / "events") if page.page_id == answer["page_id"]]
    assert [
        {"title_id": d.title_id, "artwork_id": d.artwork_id, "decision_id": d.decision_id} for d in page.decisions
    ] == answer["decisions"]
    assert {decision.propensity for decision in page.decisions} == {0.25}
    assert [(d.row, d.column, d.score) for d in page.decisions] == [(2, 7, 0.5), (0, 1, 0.0), (0, 2, 0.0)]
    assert page.profile_id == "p-1"
    assert page.context.country == "DE"
    assert before <= page.decided_at <= datetime.now(UTC)


def test_propensities_are_told_only_when_asked_for(server: Running) -> None:
    answer = _page(server, {"profile_id": "p", "titles": ["t0", "nobody"], "explain": True})
    found = [(decision["propensity"], decision["intent"]) for decision in answer["decisions"]]
    assert found == [(0.25, "live"), (1.0, "fallback:unknown_title")]


@pytest.mark.parametrize(
    "body",
    [
        {"profile_id": "nobody knows me", "titles": ["t0"]},
        {"profile_id": "p", "titles": ["no such title"]},
        {"profile_id": "p", "titles": [{"title_id": "t0", "artworks": ["no such artwork", "t0-a0"]}]},
        {"profile_id": "p", "titles": [{"title_id": "new", "artworks": ["new"]}]},
        {"profile_id": "~", "titles": ["t0"], "context": {"device": "teapot", "country": "🫖", "language": "x" * 64}},
        {"profile_id": "../../etc/passwd", "titles": ["{{7*7}}", "';--", "%00", '"', "\\", "|f x:1"]},
        {"profile_id": "ü" * 128, "titles": [f"title-{n}" for n in range(200)]},
    ],
)
def test_whatever_is_unknown_is_served_and_logged(server: Running, home: Path, body: dict[str, Any]) -> None:
    answer = _page(server, body)
    asked = [title if isinstance(title, str) else title["title_id"] for title in body["titles"]]
    assert [decision["title_id"] for decision in answer["decisions"]] == asked
    (page,) = [page for page in logged_pages(home / "events") if page.page_id == answer["page_id"]]
    assert page.profile_id == body["profile_id"]


_T0 = '"titles":["t0"]'
_BAD_PAGES = [
    ("", 400, ""),
    ("{", 400, ""),
    ('{"profile_id":"p","titles":["t0"]} extra', 400, ""),
    ('{"profile_id":"p","titles":[{"title_id":"t","score":NaN}]}', 400, ""),
    ('{"profile_id":"\\ud800","titles":["t0"]}', 400, ""),
    ('{"x":' + "[" * 100_000, 422, "x"),
    ('{"profile_id":' + '{"a":' * 40_000, 422, "profile_id"),
    ('{"profile_id":"p","titles":' + "[" * 100_000, 422, "titles[0]"),
    ("[" * 100_000, 422, ""),
    ("null", 422, ""),
    ("[]", 422, ""),
    ("{" + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"p"}', 422, "titles"),
    ('{"profile_id":7,' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"a\\nb",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"a\\n",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"a\\u0000",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"a\\u2028b",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"' + "x" * 129 + '",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"p","titles":[]}', 422, "titles"),
    ('{"profile_id":"p","titles":"t0"}', 422, "titles"),
    (json.dumps({"profile_id": "p", "titles": [f"t{n}" for n in range(201)]}), 422, "titles"),
    ('{"profile_id":"p","titles":["t0","t0"]}', 422, "titles"),
    ('{"profile_id":"p","titles":["t0",{"title_id":"t0"}]}', 422, "titles"),
    ('{"profile_id":"p","profile_id":"q",' + _T0 + "}", 422, "profile_id"),
    ('{"profile_id":"p",' + _T0 + ',"\\u0070rofile_id":"q"}', 422, "profile_id"),
    ('{"profile_id":"p","titles":[{"title_id":"t","score":1,"score":1}]}', 422, "score"),
    ('{"profile_id":"p",' + _T0 + ',"context":{"device":"tv"},"context":{}}', 422, "context"),
    ('{"profile_id":"p",' + _T0 + ',"context":{"device":"tv","device":"web"}}', 422, "device"),
    ('{"profile_id":"p","titles":["t0",null]}', 422, "titles[1]"),
    ('{"profile_id":"p","titles":["t0",{"row":1}]}', 422, "titles[1].title_id"),
    ('{"profile_id":"p","titles":[{"title_id":"t","score":1e999}]}', 422, "titles[0].score"),
    ('{"profile_id":"p","titles":[{"title_id":"t","score":1e7}]}', 422, "titles[0].score"),
    ('{"profile_id":"p","titles":[{"title_id":"t","row":-1}]}', 422, "titles[0].row"),
    ('{"profile_id":"p","titles":[{"title_id":"t","column":1.5}]}', 422, "titles[0].column"),
    ('{"profile_id":"p","titles":[{"title_id":"t","artworks":[]}]}', 422, "titles[0].artworks"),
    ('{"profile_id":"p","titles":[{"title_id":"t","artworks":["a","a"]}]}', 422, "titles[0].artworks"),
    ('{"profile_id":"p","titles":[{"title_id":"t","artworks":["a",3]}]}', 422, "titles[0].artworks[1]"),
    ('{"profile_id":"p",' + _T0 + ',"context":{"local_hour":24}}', 422, "context.local_hour"),
    ('{"profile_id":"p",' + _T0 + ',"context":{"day_of_week":"Monday"}}', 422, "context.day_of_week"),
    ('{"profile_id":"p",' + _T0 + ',"context":{"device":"' + "x" * 65 + '"}}', 422, "context.device"),
    ('{"profile_id":"p",' + _T0 + ',"context":[]}', 422, "context"),
    ('{"profile_id":"p",' + _T0 + ',"explain":"yes"}', 422, "explain"),
    ('{"profile_id":"p",' + _T0 + ',"contxt":{"device":"tv"}}', 422, "contxt"),
    ('{"profile_id":"p",' + _T0 + ',"context":{"devise":"tv"}}', 422, "context.devise"),
    ('{"profile_id":"p","titles":["t0",{"title_id":"t","artwork":["a"]}]}', 422, "titles[1].artwork"),
    ('{"profile_id":"p",' + _T0 + ',"a`b\\nc":1}', 422, "a`b\nc"),
    ('{"profile_id":"p",' + _T0 + ',"' + "x" * 1000 + '":1}', 422, "x" * 200),
]


@pytest.mark.parametrize(("body", "status", "field"), _BAD_PAGES)
def test_a_malformed_page_request_is_refused_with_its_field(
    server: Running, home: Path, body: str, status: int, field: str
) -> None:
    before = len(logged_events(home / "events"))
    _check_refused(server.client.post("/v1/pages", content=body), status, field)
    assert len(logged_events(home / "events")) == before


def test_bytes_that_are_no_text_are_refused(server: Running) -> None:
    for body in (b"\xff\xfe", b'{"profile_id":"\xff","titles":["t0"]}', b'\x00{"profile_id":"p"}'):
        _check_refused(server.client.post("/v1/pages", content=body), 400, "")


_SEEN = '{"decision_id":"d","seen_at":"2026-11-02T10:00:00Z"'
_PLAY = (
    '{"play_id":"x","profile_id":"p","title_id":"t","started_at":"2026-11-02T10:00:00Z","minutes":1,"completion":0.5'
)
_BAD_EVENTS = [
    ("not json", 400, ""),
    ("{}", 422, "impressions"),
    ('{"impressions":[],"plays":[]}', 422, "impressions"),
    ('{"impresions":[' + _SEEN + "}]}", 422, "impresions"),
    ('{"impressions":[' + _SEEN + ',"decision_id":"e"}]}', 422, "decision_id"),
    ('{"impressions":[' + _SEEN + ',"delivry":"cached"}]}', 422, "impressions[0].delivry"),
    ('{"plays":[' + _PLAY + ',"title":"t"}]}', 422, "plays[0].title"),
    ('{"impressions":{}}', 422, "impressions"),
    ('{"impressions":[{"seen_at":"2026-11-02T10:00:00Z"}]}', 422, "impressions[0].decision_id"),
    ('{"impressions":[{"decision_id":"d"}]}', 422, "impressions[0].seen_at"),
    ('{"impressions":[{"decision_id":"d","seen_at":"yesterday"}]}', 422, "impressions[0].seen_at"),
    ('{"impressions":[{"decision_id":"d","seen_at":"2026-11-02T10:00:00"}]}', 422, "impressions[0].seen_at"),
    ('{"impressions":[{"decision_id":"d","seen_at":"9999-12-31T23:59:59Z"}]}', 422, "impressions[0].seen_at"),
    ('{"impressions":[{"decision_id":"d","seen_at":"0001-01-01T00:00:00+23:59"}]}', 422, "impressions[0].seen_at"),
    ('{"impressions":[' + _SEEN + ',"delivery":"smoke"}]}', 422, "impressions[0].delivery"),
    ('{"impressions":[' + _SEEN.replace('"d"', '"a\\tb"') + "}]}", 422, "impressions[0].decision_id"),
    ('{"plays":[' + _PLAY.replace('"minutes":1', '"minutes":-1') + "}]}", 422, "plays[0].minutes"),
    ('{"plays":[' + _PLAY.replace("0.5", "1.01") + "}]}", 422, "plays[0].completion"),
    ('{"plays":[' + _PLAY.replace('"p"', '""') + "}]}", 422, "plays[0].profile_id"),
    ('{"plays":[' + _PLAY.replace("2026", "1970") + "}]}", 422, "plays[0].started_at"),
    ('{"impressions":[' + ",".join([_SEEN + "}"] * 1001) + "]}", 422, "impressions"),
]


@pytest.mark.parametrize(("body", "status", "field"), _BAD_EVENTS)
def test_malformed_events_are_refused_with_their_field_and_none_is_logged(
    server: Running, home: Path, body: str, status: int, field: str
) -> None:
    before = len(logged_events(home / "events"))
    _check_refused(server.client.post("/v1/events", content=body), status, field)
    assert len(logged_events(home / "events")) == before


def _check_refused(answer: httpx.Response, status: int, field: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert (error["status"], error["field"]) == (status, field)
    assert error["message"]
    assert "Traceback" not in answer.text


def test_events_are_logged_with_when_they_were_received(server: Running, home: Path) -> None:
    body = {
        "impressions": [
            {"decision_id": "d-1", "seen_at": "2026-11-02T12:00:00+02:00", "delivery": "cached"},
            {"decision_id": "d-2", "seen_at": "2026-11-02T10:00:00.25Z"},
        ],
        "plays": [
            {
                "play_id": "play-1",
                "profile_id": "p",
                "title_id": "t0",
                "started_at": "2026-11-02T10:00:01Z",
                "minutes": 42.5,
                "completion": 1,
            }
        ],
    }
    before = datetime.now(UTC)
    for _ in range(2):  # a client that got no answer sends the same again
        answer = server.client.post("/v1/events", json=body)
        assert (answer.status_code, answer.json()) == (202, {"accepted": 3})
    found = [event for event in logged_events(home / "events") if not isinstance(event, Page)][-6:]
    assert all(before <= event.received_at <= datetime.now(UTC) for event in found)
    first, second, play = found[:3]
    assert isinstance(first, Impression)
    assert isinstance(second, Impression)
    assert isinstance(play, Play)
    assert (first.decision_id, first.seen_at) == ("d-1", datetime(2026, 11, 2, 10, tzinfo=UTC))
    assert (first.delivery, second.delivery) == (Delivery.CACHED, Delivery.FRESH)
    assert (play.play_id, play.minutes, play.completion) == ("play-1", 42.5, 1.0)


@pytest.mark.parametrize("path", ["/v1/pages", "/v1/events"])
def test_a_body_over_256_kib_is_refused_whether_or_not_its_length_is_announced(server: Running, path: str) -> None:
    def in_pieces() -> Iterator[bytes]:
        for _ in range(257):
            yield b" " * 1024

    limit = server.service.settings.max_body_bytes
    _check_refused(server.client.post(path, content=b" " * (limit + 1)), 413, "content-length")
    _check_refused(server.client.post(path, content=in_pieces()), 413, "content-length")
    assert server.client.post(path, content=b" " * limit).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/pages", 405),
        ("PUT", "/v1/events", 405),
        ("POST", "/healthz", 405),
        ("GET", "/", 404),
        ("POST", "/v1/pages/", 404),
        ("GET", "/v1/%ff%00", 404),
        ("GET", "/../etc/passwd", 404),
    ],
)
def test_other_methods_and_paths_are_refused_as_json(server: Running, method: str, path: str, status: int) -> None:
    answer = server.client.request(method, path)
    _check_refused(answer, status, "")
    assert ("allow" in answer.headers) == (status == 405)


def test_other_content_is_refused(server: Running) -> None:
    body = b'{"profile_id":"p","titles":["t0"]}'
    for headers, field in (
        ({"content-type": "text/xml"}, "content-type"),
        ({"content-type": "multipart/form-data"}, "content-type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "content-encoding"),
    ):
        _check_refused(server.client.post("/v1/pages", content=body, headers=headers), 415, field)
    typed = {"content-type": "Application/JSON; charset=utf-8"}
    assert server.client.post("/v1/pages", content=body, headers=typed).status_code == 200


def test_health_readiness_and_metrics_tell_of_the_scorer_and_of_nobody(server: Running) -> None:
    _page(server, {"profile_id": "secret-profile", "titles": ["t0", "secret-title"]})
    assert server.client.get("/healthz").text == "ok\n"
    ready = server.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "log": "ok",
        "features": "ok",
        "catalogue": "ok",
        "policy_version": "uniform",
        "n_titles": 3,
        "n_artworks": 12,
    }
    server.client.get("/secret-path")
    metrics = server.client.get("/metrics").text
    assert 'marquee_requests_total{route="/v1/pages",status="200"}' in metrics
    assert 'marquee_requests_total{route="other",status="404"}' in metrics
    assert 'marquee_decisions_total{intent="fallback:unknown_title"}' in metrics
    assert "marquee_request_seconds_bucket" in metrics
    assert "secret" not in metrics


def test_the_openapi_document_describes_every_route_and_what_it_answers(server: Running) -> None:
    document = server.client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert schemas["PageRequest"]["properties"]["titles"]["maxItems"] == 200
    refs = set(_refs(document))
    assert refs <= {f"#/components/schemas/{name}" for name in schemas}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answer = server.client.request(method, path, json={} if method == "post" else None)
            assert str(answer.status_code) in operation["responses"], path


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)
