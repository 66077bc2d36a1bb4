"""The doctor finds what is wrong before work begins, and says how to mend it."""

import os
import re
from pathlib import Path

import pytest

from pipelines.doctor import Finding, examine
from pipelines.settings import Settings, environment_of

ROOT = Path(__file__).parents[2]


def finding(what: str, **told: object) -> Finding:
    settings = Settings(**{"feature_repo": ROOT / "feature_repo"} | told)  # type: ignore[arg-type]
    (found,) = (each for each in examine(settings).findings if each.what == what)
    return found


def test_a_home_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    found = finding("home", home=home)
    assert (found.ok, found.detail) == (True, f"{home}, made when it is first needed")
    assert not list(tmp_path.iterdir())
    home.mkdir(parents=True)
    assert finding("home", home=home) == Finding("home", True, str(home))
    assert not list(home.iterdir())


def test_a_home_that_cannot_be_made_or_written_is_told_with_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    mend = ": let this user write there, or set MARQUEE_HOME to a folder where it may"
    for home, told in {
        tmp_path / "file" / "home": f"cannot make {tmp_path / 'file' / 'home'} in {tmp_path / 'file'}: Not a directory",
        tmp_path / "file": f"cannot write to {tmp_path / 'file'}: Not a directory",
        tmp_path / "nowhere": f"cannot write to {tmp_path / 'nowhere'}: No such file or directory",
    }.items():
        assert finding("home", home=home) == Finding("home", False, told + mend)
    if Path("/proc").is_dir():  # where even root writes nothing
        assert not finding("home", home=Path("/proc/marquee")).ok


def test_a_misspelled_variable_is_named_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MARQUEE_")]:
        monkeypatch.delenv(name)
    assert finding("environment") == Finding("environment", True, "no variable is unknown")
    monkeypatch.setenv("MARQUEE_HOEM", "/tmp")
    monkeypatch.setenv("MARQUEE_REDDIS", "localhost")
    monkeypatch.setenv("MARQUEE_XYZZY", "1")
    assert finding("environment") == Finding(
        "environment",
        False,
        "MARQUEE_HOEM is read by nothing: is MARQUEE_HOME meant?; MARQUEE_REDDIS is read by nothing: is MARQUEE_REDIS "
        "meant?; MARQUEE_XYZZY is read by nothing",
    )


def test_whatever_is_read_anywhere_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = set(re.findall(r"MARQUEE_[A-Z_]+[A-Z]", (ROOT / "docker-compose.yml").read_text()))
    assert {"MARQUEE_REDIS", "MARQUEE_HOME"} <= compose
    tests = {"MARQUEE_REQUIRE_SERVICES", "MARQUEE_BACKFILL_DAYS", "MARQUEE_SHARED_DATA", "marquee_access_log"}
    for name in compose | tests | {"MARQUEE_POSTGRES", *environment_of(Settings())}:
        monkeypatch.setenv(name, "1")
    told = Settings.model_construct(feature_repo=ROOT / "feature_repo")
    assert [each.ok for each in examine(told).findings if each.what == "environment"] == [True]
