"""The doctor asks the server of online rows whether it answers, and says what to do where it does not."""

from pathlib import Path

import pytest

from pipelines import doctor
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
    monkeypatch.setenv("MARQUEE_POSTGRES", f"postgresql://somebody:secret@127.0.0.1:{free_port()}/x")
    found = asked(tmp_path, file)
    assert not found.ok
    assert "set MARQUEE_POSTGRES to where it is" in found.detail
    assert "secret" not in found.detail


@pytest.mark.parametrize(
    "wrong",
    [
        "somebody:secret@host",
        "postgresql://somebody:a%secret@127.0.0.1/x",
        "postgresql://somebody:a@secret@127.0.0.1/x",
        "postgresql://somebody:secret/a@127.0.0.1/x",
        "host=127.0.0.1 password=a secret",
    ],
)
def test_a_password_that_was_not_spelled_for_postgresql_is_told_to_be_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("MARQUEE_POSTGRES", wrong)
    found = asked(tmp_path, "feature_store.postgres.yaml")
    assert not found.ok
    assert "connection_string of PostgreSQL must be" in found.detail
    assert "secret" not in found.detail


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:6379,pasword=secret", "options of its client"),
        (f"{'a' * 64}..b:6379", "start its server, or set MARQUEE_REDIS to where it is"),
    ],
)
def test_an_address_that_is_none_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.setenv("MARQUEE_REDIS", address)
    found = asked(tmp_path, "feature_store.redis.yaml")
    assert not found.ok
    assert told in found.detail
    assert "secret" not in found.detail


@pytest.mark.parametrize("store", ["", "online_store:\n", "online_store: sqlite\n"])
def test_a_configuration_with_a_store_of_feasts_own_is_no_reason_to_fail(tmp_path: Path, store: str) -> None:
    (tmp_path / "plain.yaml").write_text(
        f"project: x\nregistry: {tmp_path}/registry.db\nprovider: local\nentity_key_serialization_version: 3\n{store}"
    )
    settings = Settings(home=tmp_path, feature_repo=tmp_path, feature_store_file="plain.yaml")
    (found,) = (each for each in examine(settings).findings if each.what == SERVER)
    assert found == Finding(SERVER, True, "none needed by plain.yaml")


def test_a_check_that_fails_by_itself_costs_no_other_and_quotes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Settings) -> str:
        raise ValueError("secret")

    monkeypatch.setitem(doctor._CHECKS, "lake", fail)
    found = {each.what: each for each in examine(Settings(home=tmp_path, feature_repo=REPO)).findings}
    assert found["lake"] == Finding("lake", False, "this check failed by itself (ValueError): please report it")
    assert found["home"].ok


def test_one_machine_needs_no_server(tmp_path: Path) -> None:
    assert asked(tmp_path, "feature_store.yaml") == Finding(SERVER, True, "none needed by feature_store.yaml")
