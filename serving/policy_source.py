"""Published policies out of bundles: looked for by the pointer, believed only when every check holds."""

import time
from collections.abc import Callable

from models.bundle import UNIFORM, read_bundle, read_pointer
from models.error import BundleError
from models.policy import UniformPolicy
from serving.policy import LoadedPolicy

_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 60.0


class BundlePolicySource:
    """The policies published below a URL.

    A bundle that is refused is told once, and tried again ever more rarely: its store may have been half reachable. So
    is one that could not be put in force.
    """

    def __init__(self, root_url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._root_url = root_url
        self._monotonic = monotonic
        self._live: tuple[str, str] | None = None
        self._refused: tuple[str, str] | None = None
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS

    def poll(self) -> LoadedPolicy | None:
        """Load the live policy if another one is live than at the last call that gave one; else None.

        Raises:
            BundleError: once for every pointer or bundle that cannot be trusted.
            OSError: if the store does not answer.
        """
        try:
            pointer = read_pointer(self._root_url)
        except BundleError as error:
            self._refuse(("", str(error)), error)
            return None
        if pointer is None:
            return None
        key = (pointer.version, pointer.manifest_sha256)
        if key == self._live:
            self._refused = None
            return None
        if key == self._refused and self._monotonic() < self._retry_at:
            return None
        try:
            loaded = self._load(*key)
        except BundleError as error:
            self._refuse(key, error)
            return None
        self._live = key
        return loaded

    def take_back(self) -> None:
        """Give what `poll` gave last again, later: it could not be put in force."""
        if self._live is not None:
            self._back_off(self._live)
            self._live = None

    def _load(self, version: str, manifest_sha256: str) -> LoadedPolicy:
        if version == UNIFORM:
            return LoadedPolicy(version, UniformPolicy(), UniformPolicy())
        bundle = read_bundle(self._root_url, version)
        if bundle.manifest.sha256 != manifest_sha256:
            raise BundleError(f"bundle {version!r}: its manifest is not the one that the pointer names")
        return LoadedPolicy(bundle.manifest.version, bundle.policy, bundle.fallback)

    def _refuse(self, key: tuple[str, str], error: BundleError) -> None:
        if self._back_off(key):
            raise error

    def _back_off(self, key: tuple[str, str]) -> bool:
        """Leave it alone for a while, longer each time; tells whether it was not left alone before."""
        is_new = key != self._refused
        self._retry_seconds = _FIRST_RETRY_SECONDS if is_new else min(self._retry_seconds * 2, _LAST_RETRY_SECONDS)
        self._retry_at = self._monotonic() + self._retry_seconds
        self._refused = key
        return is_new
