"""A scorer in a process of its own, and the packages that its image has."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import httpx

from tests.serving.example import free_port, wait_for

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
SERVE_WITHOUT_FEAST = """
from serving.features import InMemoryFeatures
from serving.log_setup import log_to_stderr
from serving.server import ScorerServer, build_app
from serving.settings import ScorerSettings
settings = ScorerSettings()
log_to_stderr()
ScorerServer(build_app(settings, features=InMemoryFeatures()), settings).run()
"""


@contextmanager
def scorer_process(
    home: Path, script: str, *, awaited: bool = True, **changes: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a script that serves on MARQUEE_PORT until the block ends; its stderr goes to `home`/stderr.log.

    Args: awaited, whether the block begins once it serves; changes, of the environment.
    """
    port = free_port()
    # Feast tells children of a process that imported it to share counters in a folder, which may be gone by then.
    inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    environment = {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "MARQUEE_HOME": str(home),
        "MARQUEE_PORT": str(port),
        "MARQUEE_UNIFORM_CELL_SHARE": "0",
        "MARQUEE_START_SECONDS": str(START_SECONDS),  # a busy machine may take longer than production waits
        **changes,
    }
    with (home / "stderr.log").open("ab") as stderr:
        process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=home, stderr=stderr)
    url = f"http://127.0.0.1:{port}"
    try:
        if awaited:
            with httpx.Client(base_url=url, trust_env=False) as client:
                wait_for(lambda: process.poll() is not None or _answers(client), seconds=START_SECONDS)
            assert process.poll() is None, (home / "stderr.log").read_text()
        yield process, url
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def platform_modules() -> set[str]:
    """Name the installed modules that the lock does not give to a scorer: it is installed without any extra."""
    packages = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    wanted: list[tuple[str, tuple[str, ...]]] = [("marquee", ())]
    seen = set(wanted)
    while wanted:
        name, extras = wanted.pop()
        for needed in _needed(packages[name], extras):
            found = (needed["name"], tuple(needed.get("extra", ())))
            if found not in seen:
                seen.add(found)
                wanted.append(found)
    installed = {name for name, _ in seen}
    return {
        module
        for module, distributions in packages_distributions().items()
        if not {distribution.lower().replace("_", "-").replace(".", "-") for distribution in distributions} & installed
    }


def _needed(package: dict[str, Any], extras: tuple[str, ...]) -> list[dict[str, Any]]:
    optional = package.get("optional-dependencies", {})
    return [*package.get("dependencies", ()), *(needed for extra in extras for needed in optional.get(extra, ()))]


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
