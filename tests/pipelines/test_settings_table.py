"""Every setting can be found, with what it is here; secrets cannot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.settings import Settings
from pipelines.settings_table import all_settings

REPO = Path(__file__).parents[2] / "feature_repo"
TOKEN = "abcdefghijklmnop-token"


def test_every_setting_has_a_variable_a_default_and_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARQUEE_REDIS", raising=False)
    found = {each.variable: each for each in all_settings(Settings.model_construct(feature_repo=REPO))}
    for name in Settings.model_fields:
        each = found[f"MARQUEE_{name.upper()}"]
        assert each.meaning, f"{each.variable} needs a description"
        assert each.is_default or name == "feature_repo"
    assert found["MARQUEE_PORT"].value == "8080"
    assert found["MARQUEE_FIRST_INTERVAL_AT"].value == ""
    assert (found["MARQUEE_REDIS"].value, found["MARQUEE_REDIS"].is_default) == ("", True)
    assert "feature_store.redis.yaml" in found["MARQUEE_REDIS"].meaning


@pytest.mark.parametrize("words", [["settings"], ["settings", "--json"]])
def test_what_was_chosen_is_shown_and_no_secret(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("MARQUEE_FEATURE_REPO", str(REPO))
    monkeypatch.setenv("MARQUEE_PORT", "9123")
    monkeypatch.setenv("MARQUEE_PAGE_TOKENS", TOKEN)
    monkeypatch.setenv("MARQUEE_REGISTRY_URL", f"postgresql://somebody:{TOKEN}@host/registry")
    monkeypatch.setenv("MARQUEE_REDIS", f"127.0.0.1:6379,password={TOKEN}")
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert TOKEN not in shown.stdout
    assert "9123" in shown.stdout
    if "--json" in words:
        found = {each["variable"]: each for each in json.loads(shown.stdout)}
        for name in ("MARQUEE_PAGE_TOKENS", "MARQUEE_REDIS", "MARQUEE_REGISTRY_URL"):
            assert (found[name]["value"], found[name]["is_default"]) == ("(set, not shown)", False)
        assert not found["MARQUEE_PORT"]["is_default"]
