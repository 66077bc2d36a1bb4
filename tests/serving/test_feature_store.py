"""The door to Feast refuses what cannot work, by name, and applies definitions only when they changed."""

import re
import shutil
from pathlib import Path

import pytest

from models.error import ContractError
from pipelines.settings import Settings
from serving.catalogue_file import write_catalogue
from serving.feast_features import open_features
from serving.feature_store import apply_feature_repo, feature_store_config, open_feature_store
from serving.late_features import LateFeatures
from serving.settings import ScorerSettings
from serving.status import StoreState
from tests.serving.captured import captured_logs
from tests.serving.example import example_catalogue, free_port, running


def test_definitions_are_applied_once(applied_settings):
    assert not apply_feature_repo(applied_settings)


def test_a_home_without_definitions_is_refused(applied_settings, tmp_path):
    with pytest.raises(ContractError, match=str(tmp_path)):
        open_feature_store(applied_settings.model_copy(update={"home": tmp_path}))


def test_a_configuration_that_is_missing_or_no_mapping_is_named(tmp_path):
    settings = ScorerSettings(home=tmp_path, feature_repo=tmp_path)
    with pytest.raises(ContractError, match=r"feature_store\.yaml"):
        feature_store_config(settings)
    (tmp_path / "feature_store.yaml").write_text("- a\n- list\n")
    with pytest.raises(ContractError, match="mapping"):
        apply_feature_repo(settings)


def test_a_configuration_that_is_not_utf_8_is_named_and_not_quoted(tmp_path):
    (tmp_path / "feature_store.yaml").write_bytes("project: märquee\npassword: secret\n".encode("latin-1"))
    with pytest.raises(ContractError, match=r"feature_store\.yaml: 'utf-8' codec") as raised:
        feature_store_config(ScorerSettings(home=tmp_path, feature_repo=tmp_path))
    assert "secret" not in str(raised.value)


def _with_configuration(settings: Settings, home: Path, text: str) -> Settings:
    """Point a home to which definitions seem to have been applied at another configuration."""
    repo = home / "repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(text)
    (home / "feast").mkdir()
    (home / "feast" / "applied").write_text("")
    return settings.model_copy(update={"home": home, "feature_repo": repo})


_STORE = """
project: marquee
provider: local
registry: {registry_type: file, path: "${MARQUEE_HOME}/feast/registry.db"}
offline_store: {type: OFFLINE}
online_store: {type: ONLINE}
entity_key_serialization_version: 3
"""


@pytest.mark.parametrize(
    ("offline", "online"), [("nowhere.NoOfflineStore", "sqlite"), ("file", "nowhere.NoOnlineStore")]
)
def test_a_store_that_feast_cannot_import_is_refused_with_its_file(applied_settings, tmp_path, offline, online):
    text = _STORE.replace("OFFLINE", offline).replace("ONLINE", online)
    settings = _with_configuration(applied_settings, tmp_path, text)
    with pytest.raises(ContractError, match=r"feature_store\.yaml"):
        open_feature_store(settings)


def test_what_only_reads_online_needs_no_offline_store(applied_settings, tmp_path):
    text = _STORE.replace("OFFLINE", "nowhere.NoOfflineStore").replace("ONLINE", "sqlite")
    settings = _with_configuration(applied_settings, tmp_path, text)
    assert open_feature_store(settings, online_only=True).config.online_store.type == "sqlite"


def test_a_variable_that_is_not_set_is_named(applied_settings, monkeypatch):
    settings = applied_settings.model_copy(update={"feature_store_file": "feature_store.redis.yaml"})
    monkeypatch.delenv("MARQUEE_REDIS", raising=False)
    with pytest.raises(ContractError, match="MARQUEE_REDIS"):
        feature_store_config(settings)
    monkeypatch.setenv("MARQUEE_REDIS", "redis:6379")
    assert feature_store_config(settings)["online_store"]["connection_string"] == "redis:6379"


@pytest.mark.parametrize("registry", [b"this is no registry", None])
def test_a_registry_that_is_broken_or_gone_is_told_to_the_scorer(applied_settings, tmp_path, registry):
    text = _STORE.replace("OFFLINE", "file").replace("ONLINE", "sqlite")
    settings = _with_configuration(applied_settings, tmp_path, text)
    if registry is not None:
        (tmp_path / "feast" / "registry.db").write_bytes(registry)
    features = LateFeatures(lambda: open_features(settings))
    features.try_open()
    assert features.state is StoreState.REFUSED
    assert "registry" in features.detail or "artwork_ranker" in features.detail


_SECRET = 'hunter"2\\secret # ${HOME}: ['


@pytest.mark.parametrize("broken", ["nonsense: ", "lookup_timeout_ms: "])
def test_a_password_of_any_letters_is_used_and_told_to_nobody(applied_settings, tmp_path, monkeypatch, broken):
    name = "feature_store.redis.yaml"
    settings = applied_settings.model_copy(update={"feature_store_file": name})
    text = (settings.feature_repo / name).read_text()
    monkeypatch.setenv("MARQUEE_REDIS", f"127.0.0.1:{free_port()},password={_SECRET}")
    assert feature_store_config(settings)["online_store"]["connection_string"].endswith(f"password={_SECRET}")
    assert open_feature_store(settings, online_only=True).config.online_store.connection_string.endswith(_SECRET)
    text = re.sub("lookup_timeout_ms: .*", broken + '"${MARQUEE_REDIS}"', text)
    settings = _with_configuration(settings, tmp_path, text).model_copy(
        update={"feature_store_file": "feature_store.yaml"}
    )
    write_catalogue(example_catalogue(), settings.catalogue_path)
    with captured_logs() as lines, running(settings, features=LateFeatures(lambda: open_features(settings))) as server:
        ready = server.client.get("/readyz")
        assert ready.json()["features"] == StoreState.REFUSED
    assert "secret" not in ready.text
    assert "secret" not in str(lines)
    assert broken.partition(":")[0] in str(lines)


def test_a_configuration_that_is_no_yaml_is_told_by_its_line(applied_settings, tmp_path):
    settings = _with_configuration(applied_settings, tmp_path, "project: marquee\npassword: 'hunter'2secret'\n")
    with pytest.raises(ContractError, match=r"feature_store\.yaml, line 2") as raised:
        feature_store_config(settings)
    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_definitions_are_applied_whatever_is_in_a_variable(applied_settings, tmp_path, monkeypatch):
    text = (applied_settings.feature_repo / "feature_store.yaml").read_text()
    repo = tmp_path / "repo"
    shutil.copytree(applied_settings.feature_repo, repo)
    (repo / "feature_store.yaml").write_text(text.replace("/feast/online.db", "/feast/${ONLINE}.db"))
    monkeypatch.setenv("ONLINE", "on\"line's")
    settings = applied_settings.model_copy(update={"home": tmp_path / "home", "feature_repo": repo})
    assert apply_feature_repo(settings)
    assert (settings.home / "feast" / "on\"line's.db").exists()
    assert open_features(settings).titles(["t"]).vectors.shape[0] == 1


def test_the_home_is_filled_in_whatever_is_in_its_name(applied_settings):
    home = Path("/some home: with # signs")
    config = feature_store_config(applied_settings.model_copy(update={"home": home}))
    assert config["online_store"]["path"] == f"{home}/feast/online.db"


@pytest.mark.parametrize("hours", [30.0, 0.00001])
def test_a_time_to_live_that_the_join_cannot_take_is_refused(applied_settings, tmp_path, hours):
    settings = applied_settings.model_copy(update={"home": tmp_path, "profile_ttl_hours": hours})
    with pytest.raises(ContractError, match="profile_ttl_hours"):
        apply_feature_repo(settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_definitions_that_feast_refuses_say_why_and_leave_nothing_applied(applied_settings, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    for path in applied_settings.feature_repo.iterdir():
        if path.is_file():
            (repo / path.name).write_text(path.read_text())
    (repo / "entities.py").write_text("raise RuntimeError('no entities today')")
    settings = applied_settings.model_copy(update={"home": tmp_path / "home", "feature_repo": repo})
    with pytest.raises(ContractError, match="no entities today"):
        apply_feature_repo(settings)
    with pytest.raises(ContractError, match=r"were applied to .* yet: `marquee refresh`"):
        open_feature_store(settings)
