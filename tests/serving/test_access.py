"""Who may do what, over real HTTP; and that nothing is served to others without a token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.error import ContractError
from pipelines.settings import Settings, environment_of
from serving.access import Access, Role, Verdict, is_loopback, refuse_exposed
from tests.serving.example import Running, logged_events, running, settings_in
from tests.serving.scorer_process import ROOT

PAGE, OLD_PAGE, EVENT, ADMIN = (f"{name}-{'x' * 16}" for name in ("page", "old", "event", "admin"))
ROUTES = {"/v1/pages": Role.PAGE, "/v1/events": Role.EVENT, "/metrics": Role.ADMIN}
TOKENS = {Role.PAGE: PAGE, Role.EVENT: EVENT, Role.ADMIN: ADMIN}
BODIES = {
    "/v1/pages": {"profile_id": "p", "titles": ["t0"]},
    "/v1/events": {"impressions": [{"decision_id": "d", "seen_at": "2026-11-02T10:00:00Z"}]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    tokens = {"page_tokens": f"{OLD_PAGE}, {PAGE}", "event_tokens": EVENT, "admin_tokens": ADMIN}
    with running(settings_in(home, **tokens)) as found:
        yield found


def _ask(server: Running, path: str, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    if path in BODIES:
        return server.client.post(path, json=BODIES[path], headers=headers)
    return server.client.get(path, headers=headers)


@pytest.mark.parametrize("path", ROUTES)
def test_a_route_opens_to_a_token_of_its_role_and_to_no_other(server: Running, path: str) -> None:
    for role, token in TOKENS.items():
        status = _ask(server, path, f"Bearer {token}").status_code
        assert status == ({"/v1/events": 202}.get(path, 200) if role is ROUTES[path] else 403), role


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", f"Basic {PAGE}", PAGE, f"Bearer {PAGE}x", f"Bearer {PAGE[:-1]}", "Bearer " + "y" * 512],
)
def test_a_stranger_is_told_what_to_show_and_nothing_is_logged(server: Running, path: str, shown: str | None) -> None:
    before = len(logged_events(server.service.settings.events_dir))
    answer = _ask(server, path, shown)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["field"] == "authorization"
    assert len(logged_events(server.service.settings.events_dir)) == before


def test_two_tokens_of_a_role_are_good_at_once_so_that_one_can_be_replaced(server: Running) -> None:
    for token in (OLD_PAGE, PAGE):
        assert _ask(server, "/v1/pages", f"bearer {token}").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
def test_health_readiness_and_the_document_need_no_token(server: Running, path: str) -> None:
    assert server.client.get(path).status_code == 200


def test_a_role_without_tokens_is_closed_once_another_has_some() -> None:
    access = Access({Role.PAGE: (PAGE,)})
    assert access.judge(Role.PAGE, f"Bearer {PAGE}") is Verdict.ALLOWED
    assert access.judge(Role.ADMIN, f"Bearer {PAGE}") is Verdict.FORBIDDEN
    assert access.judge(Role.EVENT, None) is Verdict.STRANGER
    assert Access({}).judge(Role.ADMIN, None) is Verdict.ALLOWED


def test_every_known_token_is_compared_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access({Role.PAGE: (OLD_PAGE, PAGE), Role.ADMIN: (ADMIN,)})
    compared: list[tuple[int, int]] = []
    real = __import__("hmac").compare_digest

    def counted(shown: bytes, known: bytes) -> bool:
        compared.append((len(shown), len(known)))
        return bool(real(shown, known))

    monkeypatch.setattr("serving.access.hmac.compare_digest", counted)
    for shown in (None, "Bearer x", f"Bearer {OLD_PAGE}", f"Bearer {ADMIN}"):
        compared.clear()
        access.judge(Role.PAGE, shown)
        assert compared == [(32, 32)] * 3, "neither a match nor a length ends the comparison early"


@pytest.mark.parametrize("token", ["short", "with space " * 3, "ümlaut-" * 4, "x" * 513, "line\nbreak-line-break"])
def test_a_token_that_http_cannot_carry_is_refused_without_being_told(tmp_path: Path, token: str) -> None:
    with pytest.raises(ContractError, match="MARQUEE_ADMIN_TOKENS") as refused:
        Access.of(settings_in(tmp_path, admin_tokens=token))
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1")),
        *((host, False) for host in ("0.0.0.0", "::", "", "192.0.2.1", "no-such-host.invalid")),
    ],
)
def test_only_loopback_is_served_without_tokens(tmp_path: Path, host: str, only_here: bool) -> None:
    assert is_loopback(host) == only_here
    refuse_exposed(settings_in(tmp_path, host=host, page_tokens=PAGE))
    if only_here:
        refuse_exposed(settings_in(tmp_path, host=host))
    else:
        with pytest.raises(ContractError, match="MARQUEE_PAGE_TOKENS"):
            refuse_exposed(settings_in(tmp_path, host=host))


def test_the_command_refuses_an_open_host_in_one_sentence(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pipelines", "serve"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "MARQUEE_HOME": str(tmp_path), "MARQUEE_HOST": "0.0.0.0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert "MARQUEE_ADMIN_TOKENS" in ran.stderr
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_settings_hide_their_tokens_from_everything_but_a_process_of_ours(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, page_tokens=PAGE)
    assert PAGE not in repr(settings) + settings.model_dump_json()
    assert environment_of(settings)["MARQUEE_PAGE_TOKENS"] == PAGE
