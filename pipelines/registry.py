"""The one adapter for MLflow's model registry: which bundles there are, and which of them is champion.

The registry is the memory of people, not of scorers: they know only the pointer and its bundle, so that an outage here
never reaches them. MLflow takes seconds to import, and is imported at the first use.
"""

import fcntl
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from models.error import ContractError, MarqueeError
from models.manifest import is_plain
from pipelines.settings import Settings

MODEL = "marquee-policy"
CHAMPION = "champion"
_REPLACED = "replaced"
_SQLITE = "sqlite:///"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven by default: four minutes before an outage is told
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@dataclass(frozen=True, slots=True)
class Registered:
    """One bundle in the registry: where it lies, who made it from which data, and whom it replaced as champion."""

    bundle_version: str
    bundle_root: str
    candidate: str
    as_of: datetime
    learned_through_at: datetime
    replaced: str | None = None


class Registry:
    """MLflow's registry at a tracking URI: SQLite in a home, a server in production.

    Raises, from every method:
        MarqueeError: naming the registry, where it is away or broken.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._made: Any = None

    def register(self, found: Registered) -> None:
        """Register a bundle as a version of the model; a bundle that is there already stays as it is."""
        with self._named() as client:
            if self._lookup(client, found.bundle_version) is None:
                tags = {
                    "bundle_version": found.bundle_version,
                    "candidate": found.candidate,
                    "as_of": found.as_of.isoformat(),
                    "learned_through_at": found.learned_through_at.isoformat(),
                }
                client.create_model_version(MODEL, source=found.bundle_root, tags=tags)

    def find(self, bundle_version: str) -> Registered | None:
        """Look a bundle up by its version; None where it was never registered."""
        with self._named() as client:
            version = self._lookup(client, bundle_version)
        return None if version is None else _registered(version)

    def all(self) -> list[Registered]:
        """List every bundle, in the order in which they were registered."""
        with self._named() as client:
            found, page = [], client.search_model_versions(f"name='{MODEL}'")
            while page:
                found += page
                page = client.search_model_versions(f"name='{MODEL}'", page_token=page.token) if page.token else []
        return [_registered(version) for version in sorted(found, key=lambda version: int(version.version))]

    def champion(self) -> Registered | None:
        """Find the champion; None before the first promotion."""
        with self._named() as client:
            version = _champion(client)
        return None if version is None else _registered(version)

    def crown(self, bundle_version: str) -> Registered:
        """Make a registered bundle champion and note on it whom it replaced; crowning the champion changes nothing.

        Raises:
            ContractError: if no such bundle is registered.
        """
        with self._named() as client:
            version = self._require(client, bundle_version)
            former = _champion(client)
            if former is None or former.version != version.version:
                replaced = "" if former is None else former.tags["bundle_version"]
                client.set_model_version_tag(MODEL, version.version, _REPLACED, replaced)
                client.set_registered_model_alias(MODEL, CHAMPION, version.version)
        return self._found(bundle_version)

    def restore(self, bundle_version: str) -> Registered:
        """Make an earlier champion champion again; whom it replaced in its time is kept, for a further step back."""
        with self._named() as client:
            version = self._require(client, bundle_version)
            client.set_registered_model_alias(MODEL, CHAMPION, version.version)
        return self._found(bundle_version)

    def vacate(self) -> None:
        """Leave the registry without a champion, as before the first promotion."""
        with self._named() as client:
            if _champion(client) is not None:
                client.delete_registered_model_alias(MODEL, CHAMPION)

    def _found(self, bundle_version: str) -> Registered:
        found = self.find(bundle_version)
        if found is None:
            raise ContractError(f"bundle {bundle_version} is not in the registry {self._uri}")
        return found

    def _require(self, client: Any, bundle_version: str) -> Any:
        version = self._lookup(client, bundle_version)
        if version is None:
            raise ContractError(f"bundle {bundle_version} is not in the registry {self._uri}")
        return version

    def _lookup(self, client: Any, bundle_version: str) -> Any:
        if not is_plain(bundle_version):
            raise ContractError(f"a bundle version has letters, digits and ._- only, got {bundle_version!r}")
        found = client.search_model_versions(f"name='{MODEL}' and tags.bundle_version='{bundle_version}'")
        return min(found, key=lambda version: int(version.version), default=None)

    @contextmanager
    def _named(self) -> Iterator[Any]:
        """Lend the client, and name the registry in whatever goes wrong with it."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._made = self._made or _open(self._uri)
            yield self._made
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).splitlines()[0]
            raise MarqueeError(f"registry {self._uri} cannot be used: {reason}") from error


def open_registry(settings: Settings) -> Registry | None:
    """Open the registry for a look: None where the home has none yet, as to open one is to make it."""
    if not settings.registry_url and not (settings.home / "registry.db").exists():
        return None
    return Registry(settings.registry_uri)


def _open(uri: str) -> Any:
    """Connect, and make the model's entry where there is none (3 s for a new SQLite file)."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # MLflow's models, when they are first configured: nothing that who reads a command's output could do.
    warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")
    with _alone(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_registered_models(max_results=1)
    try:
        client.create_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Let one process at a time make the tables of a SQLite registry: candidates are trained side by side."""
    if not uri.startswith(_SQLITE):
        yield
        return
    path = Path(uri.removeprefix(_SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _champion(client: Any) -> Any:
    number = client.get_registered_model(MODEL).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(MODEL, number)


def _registered(version: Any) -> Registered:
    tags = version.tags
    return Registered(
        bundle_version=tags["bundle_version"],
        bundle_root=version.source,
        candidate=tags["candidate"],
        as_of=datetime.fromisoformat(tags["as_of"]),
        learned_through_at=datetime.fromisoformat(tags["learned_through_at"]),
        replaced=tags.get(_REPLACED) or None,
    )
