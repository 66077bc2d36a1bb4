"""Back to the policy that was live before, or to uniform where there was none."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import structs

from models.bundle import UNIFORM, Pointer, move_pointer, read_bundle, read_pointer
from models.error import BundleError, MarqueeError
from models.withdrawal import read_withdrawal, withdraw
from pipelines.change import Change, Kind, keep_change
from pipelines.registry import Registry
from pipelines.settings import Settings


class RolledBack(Pointer, frozen=True, kw_only=True):
    """The pointer as a rollback left it, and which versions it stepped over on the way, each with why.

    `not_done` says what failed once the pointer had moved: the rollback is done, and another one would go further back.
    """

    passed_over: dict[str, str]
    not_done: tuple[str, ...] = ()


def rollback(settings: Settings) -> RolledBack:
    """Go one policy back and withdraw the live one: scorers first, because people wait for them, then the registry.

    Before the first policy there was uniform, which scorers then draw. The withdrawn version stays away until a person
    promotes it; versions that were withdrawn earlier are passed over, and so are those whose bundle cannot be trusted:
    what is live is taken back whatever became of the one before it. What fails after that is told in the answer, not
    raised: whoever takes a rollback for failed repeats it, and withdraws a good policy.

    Raises:
        MarqueeError: if nothing is live, or what was before it cannot be told; the pointer is as it was.
        OSError: if the bundles' place cannot be written; the pointer is as it was.
    """
    root, registry, at = settings.policies_url, Registry(settings.registry_uri), datetime.now(UTC)
    live, before = _live_and_before(settings, registry)
    passed_over: dict[str, str] = {}
    pointer = _pointer_back(root, _standing(root, before, passed_over), at, passed_over)
    version = pointer.version
    if live is not None:
        withdraw(root, live, at=at)
    move_pointer(root, pointer, rollback=True)
    done = Change(kind=Kind.ROLLBACK, version=version, replaced=live, at=at, by_hand=True, passed_over=passed_over)
    rest: dict[str, Callable[[], object]] = {
        "there is no record of it": lambda: keep_change(settings, done, is_new=True),
        f"the registry still says that {live or 'another'} is champion": lambda: _restore(registry, version),
    }
    return RolledBack(**structs.asdict(pointer), passed_over=passed_over, not_done=tuple(_failures(rest)))


def _failures(steps: Mapping[str, Callable[[], object]]) -> Iterator[str]:
    """Take every step, and say of each that failed what that means, and why it did."""
    for meaning, step in steps.items():
        try:
            step()
        except (MarqueeError, OSError) as error:
            yield f"{meaning}: {error}"


def _standing(root: str, versions: Iterable[str], passed_over: dict[str, str]) -> list[str]:
    """Give the versions that are not withdrawn; one of which that cannot be told is passed over."""
    found = []
    for version in versions:
        try:
            if read_withdrawal(root, version) is None:
                found.append(version)
        except BundleError as error:
            passed_over[version] = str(error)
    return found


def _pointer_back(root: str, versions: Sequence[str], at: datetime, passed_over: dict[str, str]) -> Pointer:
    """Point to the newest of the versions, which comes first, whose bundle can be trusted; to uniform without one."""
    for place, version in enumerate(versions):
        if version == UNIFORM:
            break
        try:
            manifest = read_bundle(root, version).manifest
        except BundleError as error:
            passed_over[version] = str(error)
            continue
        earlier = tuple(versions[place + 1 :])
        return Pointer.to(manifest, published_at=at, previous=earlier[0] if earlier else None, earlier=earlier[1:])
    return Pointer.to_uniform(published_at=at)


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
