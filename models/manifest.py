"""What a bundle says of itself, and the version that is made of it."""

import re
from datetime import datetime, timedelta
from hashlib import sha256
from math import isfinite
from typing import Final

import msgspec

from models.error import BundleError, ContractError
from models.interval import moment_key
from models.storage import Folder

MANIFEST_FILE: Final = "manifest.json"

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class BundleManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds, and what it was learned from.

    `learned_from_at` and `learned_through_at` bound the decisions that were learned; `n_shared` and `n_artwork` are the
    numbers of feature columns; profiles of `holdout_share` (`models.assignment.is_held_out`) were never learned from;
    `files` maps names to SHA-256 in hex.
    """

    version: str
    candidate: str
    feature_service: str
    n_shared: int
    n_artwork: int
    learned_from_at: datetime
    learned_through_at: datetime
    n_decisions: int
    reward_rule: str
    holdout_share: float
    files: dict[str, str]
    diagnostics: dict[str, float]

    def to_json(self) -> bytes:
        """Write the manifest; equal manifests give equal bytes."""
        return msgspec.json.encode(self, order="deterministic")

    @property
    def sha256(self) -> str:
        """The checksum of the manifest file, by which a pointer names it."""
        return checksum(self.to_json())

    def versioned(self) -> "BundleManifest":
        """Give this manifest the version `<candidate>-<learned through>-<first 10 of its content's SHA-256>`.

        Raises:
            ContractError: if a time is not aware UTC, a name not plain, a share none or a diagnostic not finite.
        """
        for name in (self.candidate, *self.files):
            if not is_plain(name):
                raise ContractError(f"a name in a bundle has letters, digits and ._- only, got {name!r}")
        for moment in (self.learned_from_at, self.learned_through_at):
            if moment.utcoffset() != timedelta(0):
                raise ContractError(f"learned_from_at and learned_through_at must be aware UTC, got {moment!r}")
        if not 0 < self.holdout_share < 1:
            raise ContractError(f"holdout_share must be in (0, 1), got {self.holdout_share!r}")
        for name, value in self.diagnostics.items():
            if not isfinite(value):
                raise ContractError(f"diagnostic {name} must be finite, got {value!r}")
        content = checksum(msgspec.structs.replace(self, version="").to_json())
        key = moment_key(self.learned_through_at)
        return msgspec.structs.replace(self, version=f"{self.candidate}-{key}-{content[:10]}")


def read_manifest(root_url: str, version: str) -> BundleManifest:
    """Read what a bundle says of itself.

    Raises:
        BundleError: if there is no such bundle, or its manifest is not the one that this version was made of.
    """
    where = f"bundle {version!r}: {MANIFEST_FILE}"
    if not is_plain(version):
        raise BundleError(f"{where}: not the version of a bundle")
    text = Folder(root_url).read(path_of(version, MANIFEST_FILE))
    if text is None:
        raise BundleError(f"{where} is missing below {root_url}")
    try:
        manifest = msgspec.json.decode(text, type=BundleManifest)
        genuine = manifest.version == version == manifest.versioned().version and manifest.to_json() == text
    except (msgspec.MsgspecError, UnicodeDecodeError, ContractError) as error:
        raise BundleError(f"{where} cannot be read: {error}") from error
    if not genuine:
        raise BundleError(f"{where} was altered: it is not what this version was made of")
    return manifest


def path_of(version: str, name: str) -> str:
    """Where a bundle's file lies, below the root."""
    return f"bundles/{version}/{name}"


def is_plain(name: str) -> bool:
    """Tell whether a name can stand in a path and mean nothing else."""
    return _PLAIN_NAME.fullmatch(name) is not None


def checksum(content: bytes) -> str:
    """Give the SHA-256 in hex."""
    return sha256(content).hexdigest()
