"""Versions that a rollback took out of service: no run brings them back, only a person does.

They are noted in <root>/withdrawn/<version>.json, beside the pointer, so that it holds wherever the policies do.
"""

from datetime import datetime

import msgspec

from models.error import BundleError, WithdrawnModelError
from models.manifest import is_plain
from models.storage import Folder


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A version was taken out of service, and perhaps let in again by hand."""

    version: str
    withdrawn_at: datetime
    lifted_at: datetime | None = None


def withdraw(root_url: str, version: str, *, at: datetime) -> None:
    """Take a version out of service; a pointer that names it is not touched."""
    _write(root_url, Withdrawal(version=version, withdrawn_at=at))


def lift(root_url: str, version: str, *, at: datetime) -> None:
    """Let a version in again; one that was never withdrawn stays as it is."""
    found = read_withdrawal(root_url, version)
    if found is not None:
        _write(root_url, msgspec.structs.replace(found, lifted_at=at))


def read_withdrawal(root_url: str, version: str) -> Withdrawal | None:
    """Tell when a version was withdrawn; None where it never was, or was let in again.

    Raises:
        BundleError: if that cannot be read.
    """
    found = last_withdrawal(root_url, version)
    return found if found is not None and found.lifted_at is None else None


def last_withdrawal(root_url: str, version: str) -> Withdrawal | None:
    """Tell when a version was last withdrawn, though it may have been let in again; None where it never was.

    Raises:
        BundleError: if that cannot be read.
    """
    if not is_plain(version):
        raise BundleError(f"not the version of a bundle: {version!r}")
    text = Folder(root_url).read(_path(version))
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Withdrawal)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"withdrawal {root_url}/{_path(version)} cannot be read: {error}") from error


def refuse_withdrawn(root_url: str, version: str) -> None:
    """Refuse a version that a rollback took out of service.

    Raises:
        WithdrawnModelError: saying since when, and how it comes back.
    """
    if found := read_withdrawal(root_url, version):
        raise WithdrawnModelError(why_withdrawn(found))


def why_withdrawn(found: Withdrawal) -> str:
    """Say since when a version is withdrawn, and how it comes back."""
    since = found.withdrawn_at.isoformat(timespec="seconds")
    return f"{found.version} was withdrawn by a rollback at {since}; `marquee promote {found.version}` lets it in again"


def _path(version: str) -> str:
    return f"withdrawn/{version}.json"


def _write(root_url: str, found: Withdrawal) -> None:
    Folder(root_url).replace(_path(found.version), msgspec.json.encode(found))
