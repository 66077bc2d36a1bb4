"""Set-up stays in the checkout: which uv is called, and where it is told to put things."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "cat", "env", "grep", "make", "mkdir", "sh", "touch")
FAKE_UV = """#!/usr/bin/env bash
mkdir -p "$UV_PROJECT_ENVIRONMENT"
for name in UV_CACHE_DIR UV_PROJECT_ENVIRONMENT UV_PYTHON_DOWNLOADS; do echo "$name=${!name}"; done >>told
echo "$0 $*" >>told
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and what it depends on."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder of the few programs that make needs, to be the PATH: no uv is among them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def fake_uv(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uv").write_text(FAKE_UV)
    (folder / "uv").chmod(0o755)
    return folder / "uv"


def set_up(checkout: Path, path: Path, **variables: str) -> tuple[dict[str, str], str]:
    """Set an environment up with a home of its own; give what uv was told by variables, and its command."""
    env = {"PATH": str(path), "HOME": str(checkout.parent / "user"), **variables}
    command = ["make", ".venv/.demo", f"PYTHON={sys.executable}"]
    ran = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    *told, words = (checkout / "told").read_text().splitlines()
    return dict(line.split("=", 1) for line in told), words


@pytest.mark.parametrize("whose", ["the machine's", "our own"])
def test_whichever_uv_is_called_fills_a_cache_in_the_checkout(checkout: Path, path: Path, whose: str) -> None:
    uv = fake_uv(path if whose == "the machine's" else checkout / ".tools" / "uv" / "bin")
    told, words = set_up(checkout, path)
    assert words.startswith(f"{uv} sync --frozen")
    assert told == {
        "UV_CACHE_DIR": str(checkout / ".tools" / "uv-cache"),
        "UV_PROJECT_ENVIRONMENT": ".venv",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    assert not (checkout.parent / "user").exists()


def test_a_cache_that_the_user_names_is_used(checkout: Path, path: Path) -> None:
    fake_uv(path)
    told, _ = set_up(checkout, path, UV_CACHE_DIR="/theirs")
    assert told["UV_CACHE_DIR"] == "/theirs"


def test_what_set_up_brings_is_ignored_by_git_and_taken_away_by_clean(checkout: Path) -> None:
    assert {".tools/", ".venv*/"} <= set((ROOT / ".gitignore").read_text().split())
    (checkout / ".tools" / "uv-cache").mkdir(parents=True)
    env = os.environ | {"UV_CACHE_DIR": "/theirs"}
    subprocess.run(["make", "clean"], cwd=checkout, env=env, check=True, capture_output=True)
    assert not (checkout / ".tools").exists()
