"""The doctor asks the server of online rows whether it answers, and says what to do where it does not."""

from pathlib import Path

import pytest

from pipelines.doctor import Finding, examine
from pipelines.settings import Settings
from tests.serving.example import free_port

REPO = Path(__file__).parents[2] / "feature_repo"
SERVER = "online store's server"


def asked(home: Path, file: str) -> Finding:
    settings = Settings(home=home, feature_repo=REPO, feature_store_file=file)
    (found,) = (each for each in examine(settings).findings if each.what == SERVER)
    return found


def test_a_redis_that_answers_is_asked_before_anything_was_applied(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARQUEE_REDIS", redis_address)
    found = asked(tmp_path, "feature_store.redis.yaml")
    assert found == Finding(SERVER, True, "NewestRedisOnlineStore answers")


def test_a_redis_that_is_away_is_told_with_how_to_mend_it_and_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MARQUEE_REDIS", f"127.0.0.1:{port},password=secret")
    found = asked(tmp_path, "feature_store.redis.yaml")
    assert not found.ok
    assert f"127.0.0.1:{port}. Connection refused" in found.detail
    assert "start its server, or set MARQUEE_REDIS to where it is" in found.detail
    assert "secret" not in found.detail
    monkeypatch.setenv("MARQUEE_REDIS", "127.0.0.1:secret")
    assert "the port is a number" in asked(tmp_path, "feature_store.redis.yaml").detail
    monkeypatch.delenv("MARQUEE_REDIS")
    found = asked(tmp_path, "feature_store.redis.yaml")
    assert found.detail.endswith("feature_store.redis.yaml refers to MARQUEE_REDIS: set it in the environment")


def test_a_postgresql_is_asked_too(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = "feature_store.postgres.yaml"
    monkeypatch.setenv("MARQUEE_POSTGRES", postgres_url)
    assert asked(tmp_path, file).ok
    for wrong in (f"postgresql://somebody:secret@127.0.0.1:{free_port()}/x", "somebody:secret@host"):
        monkeypatch.setenv("MARQUEE_POSTGRES", wrong)
        found = asked(tmp_path, file)
        assert not found.ok
        assert "set MARQUEE_POSTGRES to where it is" in found.detail
        assert "secret" not in found.detail


def test_one_machine_needs_no_server(tmp_path: Path) -> None:
    assert asked(tmp_path, "feature_store.yaml") == Finding(SERVER, True, "none needed by feature_store.yaml")
