"""Back to the policy that was live before, or to uniform where there was none."""

from datetime import UTC, datetime

from models.bundle import UNIFORM, Pointer, move_pointer, read_bundle, read_pointer
from models.error import BundleError, MarqueeError
from models.withdrawal import read_withdrawal, withdraw
from pipelines.change import Change, Kind, keep_change
from pipelines.registry import Registry
from pipelines.settings import Settings


def rollback(settings: Settings) -> Pointer:
    """Go one policy back and withdraw the live one: scorers first, because people wait for them, then the registry.

    Before the first policy there was uniform, which scorers then draw. The withdrawn version stays away until a person
    promotes it; versions that were withdrawn earlier are passed over.

    Raises:
        MarqueeError: if nothing is live; or the registry cannot be used, in which case the pointer was moved.
        BundleError: if the bundle to go back to cannot be trusted; nothing is changed.
    """
    root, registry, at = settings.policies_url, Registry(settings.registry_uri), datetime.now(UTC)
    live, before = _live_and_before(settings, registry)
    version, *earlier = [each for each in before if read_withdrawal(root, each) is None] or [UNIFORM]
    pointer = Pointer.to_uniform(published_at=at)
    if version != UNIFORM:
        manifest = read_bundle(root, version).manifest
        previous = earlier[0] if earlier else None
        pointer = Pointer.to(manifest, published_at=at, previous=previous, earlier=tuple(earlier[1:]))
    if live is not None:
        withdraw(root, live, at=at)
    move_pointer(root, pointer, rollback=True)
    keep_change(settings, Change(kind=Kind.ROLLBACK, version=version, replaced=live, at=at, by_hand=True), is_new=True)
    try:
        _restore(registry, version)
    except MarqueeError as error:
        told = f"{version} is live again, but the registry still says {live} is champion: {error}"
        raise MarqueeError(told) from error
    return pointer


def _live_and_before(settings: Settings, registry: Registry) -> tuple[str | None, tuple[str, ...]]:
    """Name the live version and those before it, the newest first; the registry knows where the pointer is garbled."""
    try:
        live = read_pointer(settings.policies_url)
    except BundleError:
        return _champion_and_before(registry)
    if live is None:
        raise MarqueeError(f"nothing was ever published to {settings.policies_url}: there is nothing to roll back")
    if live.is_uniform:
        raise MarqueeError(f"every policy in {settings.policies_url} was withdrawn: there is nothing to roll back")
    return live.version, live.before


def _champion_and_before(registry: Registry) -> tuple[str | None, tuple[str, ...]]:
    chain: list[str] = []
    found = registry.champion()
    while found is not None and found.bundle_version not in chain:
        chain.append(found.bundle_version)
        found = registry.find(found.replaced) if found.replaced else None
    return (chain[0], tuple(chain[1:])) if chain else (None, ())


def _restore(registry: Registry, version: str) -> None:
    if version == UNIFORM:
        registry.vacate()
    else:
        registry.restore(version)
