"""The client against a scorer that runs, that goes away, and that cannot write its log."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.error import ScorerError
from models.event import Impression
from serving.client import ScorerClient
from serving.request import AskedContext, AskedTitle, EventsRequest, PageRequest, SeenImpression
from tests.serving.example import Running, free_port, logged_events, logged_pages, running, settings_in

PAGE = PageRequest(
    profile_id="p", titles=("t0", AskedTitle(title_id="t1", score=0.5)), context=AskedContext(device="tv")
)
TOKEN = "a-token-of-this-test"


def _seen(decision_id: str) -> EventsRequest:
    return EventsRequest(impressions=(SeenImpression(decision_id=decision_id, seen_at=datetime.now(UTC)),))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(settings_in(tmp_path, page_tokens=TOKEN, event_tokens=TOKEN)) as found:
        yield found


def test_pages_and_events_go_over_one_connection_and_lie_in_the_log(server: Running, tmp_path: Path) -> None:
    with ScorerClient(server.url, page_token=TOKEN, event_token=TOKEN, timeout_seconds=20) as client:
        pages = [client.page(PAGE) for _ in range(3)]
        sock = client._connection.sock
        for page in pages:
            assert client.events(_seen(page.decisions[0].decision_id)).accepted == 1
        assert client._connection.sock is sock, "kept"
    assert [page.page_id for page in logged_pages(tmp_path / "events")] == [page.page_id for page in pages]
    assert [choice.title_id for choice in pages[0].decisions] == ["t0", "t1"]
    seen = [event.decision_id for event in logged_events(tmp_path / "events") if isinstance(event, Impression)]
    assert seen == [page.decisions[0].decision_id for page in pages]


def test_a_refusal_names_its_status_and_field_and_is_not_sent_again(server: Running) -> None:
    pauses: list[float] = []
    with ScorerClient(server.url, event_token="x" * 20, timeout_seconds=20, sleep=pauses.append) as client:
        with pytest.raises(ScorerError, match="role page") as refused:
            client.page(PAGE)
        assert (refused.value.status, refused.value.field) == (401, "authorization")
        with pytest.raises(ScorerError) as refused:
            client.events(_seen("d"))
        assert refused.value.status == 401
    assert pauses == []


def test_a_page_is_asked_for_once_and_events_again_while_nobody_answers() -> None:
    pauses: list[float] = []
    with ScorerClient(f"http://127.0.0.1:{free_port()}", sleep=pauses.append) as client:
        with pytest.raises(ScorerError, match="no answer") as failed:
            client.page(PAGE)
        assert (failed.value.status, pauses) == (0, [])
        with pytest.raises(ScorerError, match="no answer"):
            client.events(_seen("d"))
    assert pauses == [0.1, 0.2, 0.4]


def test_events_arrive_once_the_log_can_be_written_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.events_dir.write_text("a file is in the way")
    with running(settings) as server:

        def clear(_: float) -> None:
            settings.events_dir.unlink(missing_ok=True)
            threading.Event().wait(1.5)  # the scorer looks once a second

        with ScorerClient(server.url, timeout_seconds=20, sleep=clear) as client:
            assert client.page(PAGE).unlogged, "a page comes back at once, whatever the log does"
            assert client.events(_seen("d")).accepted == 1


def test_a_scorer_that_does_not_answer_costs_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with ScorerClient(url, timeout_seconds=0.1) as client, pytest.raises(ScorerError, match="timed out"):
            client.page(PAGE)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "http://", "file:///etc/passwd"])
def test_a_url_that_is_no_scorers_is_refused(url: str) -> None:
    with pytest.raises(ScorerError, match="URL"):
        ScorerClient(url)
