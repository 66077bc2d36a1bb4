"""Throws generated bodies at a real server: it may refuse, it may not fail.

`MARQUEE_FUZZ_REQUESTS=10000` asks for as many of each kind, as in `tests.serving.test_schema`.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.example import Running, logged_events, running, settings_in

_FUZZ = settings(
    max_examples=int(os.environ.get("MARQUEE_FUZZ_REQUESTS", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_text = st.text(max_size=12) | st.sampled_from(["t0", "t1-a2", "p", "", "\u2028", "\ud7ff", "🎬"])
_scalar = st.none() | st.booleans() | st.integers() | st.floats() | _text
_anything = st.recursive(_scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4))


def _mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(right, right, right, _anything)


_title = _text | st.fixed_dictionaries(
    {"title_id": _mostly(_text)},
    optional={
        "artworks": _mostly(st.lists(_text, max_size=4)),
        "score": _mostly(st.floats(-1e6, 1e6)),
        "row": _mostly(st.integers(0, 10_000)),
        "column": _mostly(st.integers(0, 10_000)),
    },
)
_context = st.fixed_dictionaries(
    {},
    optional={
        "device": _mostly(_text),
        "country": _mostly(_text),
        "language": _mostly(_text),
        "local_hour": _mostly(st.integers(0, 23)),
        "day_of_week": _mostly(st.integers(0, 6)),
    },
)
_page = st.fixed_dictionaries(
    {"profile_id": _mostly(_text), "titles": _mostly(st.lists(_title, max_size=6))},
    optional={"context": _mostly(_context), "explain": _mostly(st.booleans())},
)
_moment = st.datetimes().map(lambda moment: moment.isoformat() + "Z") | _text
_events = st.fixed_dictionaries(
    {},
    optional={
        "impressions": _mostly(
            st.lists(
                st.fixed_dictionaries(
                    {"decision_id": _mostly(_text), "seen_at": _mostly(_moment)},
                    optional={"delivery": _mostly(st.sampled_from(["fresh", "cached"]))},
                ),
                max_size=4,
            )
        ),
        "plays": _mostly(
            st.lists(
                st.fixed_dictionaries({
                    "play_id": _mostly(_text),
                    "profile_id": _mostly(_text),
                    "title_id": _mostly(_text),
                    "started_at": _mostly(_moment),
                    "minutes": _mostly(st.floats(0, 1e6)),
                    "completion": _mostly(st.floats(0, 1)),
                }),
                max_size=3,
            )
        ),
    },
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # However slow the disk is: a page that is answered unlogged leaves no line.
    found = settings_in(tmp_path_factory.mktemp("home"), log_budget_ms=60_000.0)
    with running(found) as server:
        yield server
        # Every line that any of these bodies left in the log can be read again.
        n_lines = len(logged_events(found.events_dir))
    assert n_lines == len(logged_events(found.events_dir)) > 0


@given(_page)
@_FUZZ
def test_no_page_request_makes_the_scorer_fail(server: Running, body: dict[str, Any]) -> None:
    answer = server.client.post("/v1/pages", content=json.dumps(body))
    assert answer.status_code in {200, 400, 422}, answer.text
    if answer.status_code == 200:
        assert len(answer.json()["decisions"]) == len(body["titles"])


@given(_events)
@_FUZZ
def test_no_report_of_events_makes_the_scorer_fail(server: Running, body: dict[str, Any]) -> None:
    answer = server.client.post("/v1/events", content=json.dumps(body))
    assert answer.status_code in {202, 400, 422}, answer.text


@given(
    st.binary(max_size=200) | _anything.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["pages", "events"]),
)
@_FUZZ
def test_no_bytes_make_the_scorer_fail(server: Running, body: bytes, route: str) -> None:
    answer = server.client.post(f"/v1/{route}", content=body)
    assert answer.status_code in {200, 202, 400, 422}, answer.text


_WHOLE = json.dumps({
    "profile_id": "p",
    "titles": ["t0", {"title_id": "t1", "artworks": ["t1-a0", "x"], "score": 0.5}],
    "context": {"device": "tv", "local_hour": 3},
}).encode()


@given(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255), st.booleans())
@_FUZZ
def test_no_torn_or_altered_body_makes_the_scorer_fail(server: Running, at: int, byte: int, is_torn: bool) -> None:
    body = _WHOLE[:at] if is_torn else _WHOLE[:at] + bytes([byte]) + _WHOLE[at + 1 :]
    answer = server.client.post("/v1/pages", content=body)
    assert answer.status_code in ({400, 422} if is_torn else {200, 400, 422}), answer.text
