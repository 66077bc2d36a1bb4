"""A scorer with PostgreSQL as the online store, as `feature_store.postgres.yaml` configures it, on a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from models.error import FeatureUnavailableError
from serving.feast_features import FeastFeatures
from tests.serving.example import free_port
from tests.serving.feature_contract import NOW, TTL, check_online_features
from tests.serving.test_feast_features import fill


@pytest.fixture
def postgres_store(
    postgres_url: str, tmp_path: Path, scratch_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A feature store in a project of its own: the server may be somebody's."""
    name = "feature_store.postgres.yaml"
    text = (Path(__file__).parents[2] / "feature_repo" / name).read_text()
    assert "project: marquee\n" in text
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / name).write_text(text.replace("project: marquee\n", f"project: test_{uuid4().hex[:12]}\n"))
    monkeypatch.setenv("MARQUEE_POSTGRES", postgres_url)
    # A look-up that is given up is another test's: this machine may be busy.
    changes = {"feature_repo": tmp_path / "repo", "feature_store_file": name, "feature_budget_ms": 10_000}
    _, store = scratch_store(**changes)
    yield store
    store.teardown()


@pytest.mark.parametrize("by_feast", [False, True], ids=["past-feast", "by-feast"])
def test_postgres_keeps_the_contract_of_online_features(postgres_store, by_feast):
    check_online_features(lambda rows: fill(postgres_store, rows, by_feast=by_feast))


def test_a_postgres_that_is_gone_is_told_apart_from_an_unknown_profile(postgres_store):
    features = FeastFeatures(postgres_store, ttl=TTL)
    assert features.profile("nobody", NOW) is None
    there = postgres_store.config.online_store.connection_string
    vars(postgres_store.provider.online_store._local).clear()
    try:
        postgres_store.config.online_store.connection_string = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
        with pytest.raises(FeatureUnavailableError, match="nobody"):
            features.profile("nobody", NOW)
    finally:
        postgres_store.config.online_store.connection_string = there


def test_a_connection_that_the_server_has_closed_is_opened_anew(postgres_store, postgres_url):
    import psycopg

    features = FeastFeatures(postgres_store, ttl=TTL)
    assert features.profile("nobody", NOW) is None
    held = vars(postgres_store.provider.online_store._local)["hurried"]
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (held.connection.info.backend_pid,))
    assert features.profile("nobody", NOW) is None
