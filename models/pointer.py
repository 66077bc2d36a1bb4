"""The one pointer that says which bundle is live: small, moved atomically, never to older data by accident."""

from datetime import UTC, datetime
from typing import Final, Self

import msgspec

from models.error import BundleError, ContractError, StaleModelError
from models.manifest import BundleManifest, is_plain, read_manifest
from models.storage import Folder

POINTER_FILE: Final = "live.json"
UNIFORM: Final = "uniform"
"""What the pointer says where scorers are to draw uniformly: no bundle has this name."""

_LEARNED_NOTHING_AT: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_EARLIER: Final = 100


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which bundle is live, since when, and which ones were before.

    `previous` was live before this one, and `earlier` before that, the newest first: what rollbacks go back to.
    """

    version: str
    manifest_sha256: str
    learned_through_at: datetime
    published_at: datetime
    previous: str | None = None
    earlier: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(is_plain(name) for name in (self.version, *self.before)):
            raise ContractError(f"version and those before must name bundles, got {self.version!r}, {self.before}")
        if self.learned_through_at.tzinfo is None or self.published_at.tzinfo is None:
            raise ContractError(f"learned_through_at and published_at must be aware UTC (version={self.version})")

    @property
    def is_uniform(self) -> bool:
        """Whether scorers are to draw uniformly, without a bundle."""
        return self.version == UNIFORM

    @property
    def before(self) -> tuple[str, ...]:
        """The versions that were live before, the newest first."""
        return (self.previous, *self.earlier) if self.previous else ()

    @classmethod
    def to(
        cls, manifest: BundleManifest, *, published_at: datetime, previous: str | None, earlier: tuple[str, ...] = ()
    ) -> Self:
        """Point to a bundle."""
        return cls(
            version=manifest.version,
            manifest_sha256=manifest.sha256,
            learned_through_at=manifest.learned_through_at,
            published_at=published_at,
            previous=previous,
            earlier=earlier[:_MOST_EARLIER],
        )

    @classmethod
    def to_uniform(cls, *, published_at: datetime) -> Self:
        """Point to no bundle: whatever is published next has learned from newer data."""
        return cls(
            version=UNIFORM, manifest_sha256="", learned_through_at=_LEARNED_NOTHING_AT, published_at=published_at
        )


def read_pointer(root_url: str) -> Pointer | None:
    """Read which bundle is live; None where nothing was ever published.

    Raises:
        BundleError: if the pointer is there but cannot be read.
    """
    text = Folder(root_url).read(POINTER_FILE)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Pointer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"pointer {root_url}/{POINTER_FILE} cannot be read: {error}") from error


def move_pointer(root_url: str, pointer: Pointer, *, rollback: bool = False) -> None:
    """Make a bundle the live one, atomically. A rollback may go to older data, and mends a pointer that is garbled.

    Raises:
        StaleModelError: if the live policy learned from newer data and this is no rollback.
        BundleError: if the bundle pointed to is not there, or the present pointer cannot be read.
    """
    if not rollback:
        refuse_older(read_pointer(root_url), pointer)
    if not pointer.is_uniform:
        _refuse_other(root_url, pointer)
    Folder(root_url).replace(POINTER_FILE, msgspec.json.encode(pointer))


def refuse_older(live: Pointer | None, pointer: Pointer) -> None:
    """Refuse to replace a live policy by one that learned from older data.

    Raises:
        StaleModelError: saying how far each has learned.
    """
    if live is not None and pointer.learned_through_at < live.learned_through_at:
        learned = f"{pointer.version} learned through {pointer.learned_through_at.isoformat()}"
        raise StaleModelError(f"{learned}, live {live.version} through {live.learned_through_at.isoformat()}")


def _refuse_other(root_url: str, pointer: Pointer) -> None:
    manifest = read_manifest(root_url, pointer.version)
    if manifest.sha256 != pointer.manifest_sha256 or manifest.learned_through_at != pointer.learned_through_at:
        raise BundleError(f"bundle {pointer.version!r}: its manifest is not the one that the pointer names")
