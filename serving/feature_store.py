"""The one door to Feast: open the store of a home, and bring its registry in line with the definitions."""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import prometheus_client  # noqa: F401 - before Feast, which asks it to keep counters in files that all registries share
import yaml

from models.error import ContractError, NotAppliedError
from serving.settings import ScorerSettings

if TYPE_CHECKING:
    from feast import FeatureStore, RepoConfig

_APPLY_CODE = "from serving.feast_apply import main; main()"
"""Not by `-m`: the definitions are found because Python looks in the folder that Feast goes to."""

_APPLY_SECONDS = 300
_NEVER_READ = {"type": "file"}
"""Feast insists on an offline store; this one comes with Feast itself, and whoever opens online only never asks it."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def open_feature_store(settings: ScorerSettings, *, online_only: bool = False) -> "FeatureStore":
    """Open the home's feature store; hold what comes back for the life of the process.

    Args: online_only, whether to do without the configured offline store: a scorer is installed without its packages.

    Raises:
        ContractError: if the configuration cannot be read or Feast refuses it, or the definitions were never applied to
            this home.
    """
    config = feature_store_config(settings)
    if not _marker(settings).is_file():
        how = "`marquee refresh` and `marquee backfill` do it"
        raise NotAppliedError(f"no feature definitions were applied to {settings.home} yet: {how}")
    if online_only:
        config["offline_store"] = dict(_NEVER_READ)
    _quiet()
    from feast import FeatureStore

    opened = repo_config(config, settings.feature_repo.absolute())
    try:
        return FeatureStore(config=opened)
    except Exception as error:
        # The door to Feast: behind it is a registry in a file, a bucket or a database, each with errors of its own.
        path = settings.feature_repo / settings.feature_store_file
        raise ContractError(f"Feast cannot open the store that {path} describes: {error}") from error


def repo_config(config: dict[str, Any], repo: Path) -> "RepoConfig":
    """Have Feast check a configuration. Args: config, filled in; repo, the folder of the feature repository.

    Raises:
        ContractError: naming what Feast refuses, never its value: it may be a password.
    """
    from feast import RepoConfig
    from pydantic import ValidationError

    try:
        made = RepoConfig(**config)
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        )
        # None: pydantic's own words quote the value, and a log that prints what led to this would show them.
        raise ContractError(
            f"Feast refuses the configuration of the store (feature_store.yaml) in {repo}: {'; '.join(faults)}"
        ) from None
    except Exception as error:
        raise ContractError(
            f"Feast refuses the configuration of the store (feature_store.yaml) in {repo}: {error}"
        ) from error
    made.repo_path = repo
    return made


def apply_feature_repo(settings: ScorerSettings) -> bool:
    """Bring registry and online tables in line with the definitions; False where they already are.

    It runs in a process of its own, because Feast executes every module of the repository under its bare name.

    Raises:
        ContractError: if the definitions are refused, ending with what Feast said, or a setting they refer to.
    """
    feature_store_config(settings)
    _check_ttl(settings.profile_ttl_hours)
    fingerprint, marker = _fingerprint(settings), _marker(settings)
    if _is_applied(marker, fingerprint):
        return False
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_applied(marker, fingerprint):
            return False
        _apply(settings)
        partial = marker.with_suffix(".partial")
        partial.write_text(fingerprint)
        partial.replace(marker)
    return True


def _is_applied(marker: Path, fingerprint: str) -> bool:
    return marker.is_file() and marker.read_text() == fingerprint


def _apply(settings: ScorerSettings) -> None:
    repo = settings.feature_repo.absolute()
    ran = subprocess.run(
        [sys.executable, "-c", _APPLY_CODE, str(repo)],
        input=json.dumps(feature_store_config(settings)),
        env=os.environ | _environment(settings),
        capture_output=True,
        text=True,
        timeout=_APPLY_SECONDS,
        check=False,
    )
    if ran.returncode != 0:
        raise ContractError(f"feature definitions in {repo} were refused:\n{(ran.stderr or ran.stdout)[-2000:]}")


def _environment(settings: ScorerSettings) -> dict[str, str]:
    """List what the definitions and the configuration may refer to."""
    root = str(Path(__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    return _own_variables(settings) | {
        "MARQUEE_OFFLINE_STORE": str(feature_store_config(settings).get("offline_store", {}).get("type", "")),
        "FEAST_USAGE": "False",
        "TZ": "UTC",
        "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root,
    }


def _own_variables(settings: ScorerSettings) -> dict[str, str]:
    """List the settings that definitions and configuration may refer to, whether or not the environment has them."""
    return {
        "MARQUEE_HOME": str(settings.home.absolute()),
        "MARQUEE_PROFILE_TTL_HOURS": repr(settings.profile_ttl_hours),
        "MARQUEE_JOIN_MEMORY": settings.join_memory,
        "MARQUEE_FEATURE_BUDGET_MS": repr(settings.feature_budget_ms),
    }


def feature_store_config(settings: ScorerSettings) -> dict[str, Any]:
    """Read Feast's configuration, with the home and environment variables filled in.

    Raises:
        ContractError: naming a file that cannot be read or is no mapping, or a variable in it that is not set.
    """
    path = settings.feature_repo / settings.feature_store_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ContractError(f"cannot read the feature store's configuration {path}: {error}") from error
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        raise ContractError(
            f"not YAML: {path}{where}: {getattr(error, 'problem', None) or 'it cannot be read'}"
        ) from None
    if not isinstance(config, dict):
        raise ContractError(f"expected a mapping in {path}, got {type(config).__name__}")
    known, missing = os.environ | _own_variables(settings), set[str]()
    filled: dict[str, Any] = _filled(config, known, missing)
    if missing:
        raise ContractError(f"{path} refers to {', '.join(sorted(missing))}: set it in the environment")
    return filled


def referred_variables(path: Path) -> set[str]:
    """List the environment variables that a configuration of Feast refers to; of one that cannot be read, none."""
    try:
        return set(_VARIABLE.findall(path.read_text(errors="replace")))
    except OSError:
        return set()


def _filled(value: Any, known: Mapping[str, str], missing: set[str]) -> Any:
    """Fill variables into what was read, not into its text: a value may hold what has a meaning in YAML."""
    if isinstance(value, dict):
        return {key: _filled(each, known, missing) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, known, missing) for each in value]
    if not isinstance(value, str):
        return value
    missing.update(name for name in _VARIABLE.findall(value) if name not in known)
    return _VARIABLE.sub(lambda found: known.get(found[1], ""), value)


def _fingerprint(settings: ScorerSettings) -> str:
    """Hash all that `apply` depends on: definitions, configuration, home and the settings they refer to."""
    digest = sha256()
    files = [*sorted(settings.feature_repo.glob("*.py")), settings.feature_repo / settings.feature_store_file]
    for path in files:
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    digest.update(f"{settings.home.absolute()}\0{timedelta(hours=settings.profile_ttl_hours)}".encode())
    return digest.hexdigest()


def _check_ttl(hours: float) -> None:
    """Refuse a time to live of mixed units: Feast's DuckDB join takes whole days or whole seconds below one."""
    whole = hours * 3600 == int(hours * 3600)
    if not whole or (hours > 24 and hours % 24 != 0):
        raise ContractError(f"profile_ttl_hours must be whole seconds up to a day, or whole days, got {hours} hours")


def _marker(settings: ScorerSettings) -> Path:
    return settings.home / "feast" / "applied"


def _quiet() -> None:
    """Keep Feast from telephoning home; it reads this once, when it is first imported."""
    os.environ.setdefault("FEAST_USAGE", "False")
