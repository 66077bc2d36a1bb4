"""Find a policy by what people call it: a built-in, a role, a candidate of the newest round, or a bundle's version."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from models.bundle import UNIFORM, read_bundle, read_manifest, read_pointer
from models.error import BundleError, ContractError
from models.manifest import is_plain
from models.policy import Policy, UniformPolicy
from pipelines.registry import Registry
from pipelines.replay import newest_round
from pipelines.settings import Settings
from pipelines.training import FALLBACK

CHAMPION, LIVE = "champion", "live"


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy under the name that tells it from every other: built-ins by theirs, bundles by their version.

    `holdout_share` of the profiles it was kept from: all of them where it has learned from no earlier log.
    """

    name: str
    policy: Policy
    holdout_share: float = 1.0


def find_policy(settings: Settings, name: str, fit_best_artwork: Callable[[], Policy]) -> NamedPolicy:
    """Find a policy.

    Args: name, `uniform` or `best-artwork` (made by `fit_best_artwork` from the log at hand); `champion`, the
    registry's, or `live`, what scorers serve (uniform where nothing is published yet); the name of a candidate of the
    newest round; or the version of a bundle.

    Raises:
        ContractError: naming what there is, if there is none of that name.
        BundleError: if its bundle cannot be trusted.
        MarqueeError: if the registry cannot be used.
    """
    if name == UNIFORM:
        return NamedPolicy(UNIFORM, UniformPolicy())
    if name == FALLBACK:
        return NamedPolicy(FALLBACK, fit_best_artwork())
    version, root = _bundle(settings, name)
    if version == UNIFORM:
        return NamedPolicy(UNIFORM, UniformPolicy())
    bundle = read_bundle(root, version)
    return NamedPolicy(version, bundle.policy, bundle.manifest.holdout_share)


def _bundle(settings: Settings, name: str) -> tuple[str, str]:
    """Find the version and the root of the bundle that a name means."""
    registry = Registry(settings.registry_uri)
    if name == CHAMPION:
        champion = registry.champion()
        if champion is None:
            raise ContractError(f"there is no champion yet in {settings.registry_uri}")
        return champion.bundle_version, champion.bundle_root
    if name == LIVE:
        live = read_pointer(settings.policies_url)
        return UNIFORM if live is None else live.version, settings.policies_url
    newest = newest_round(settings)
    if newest is not None and name in newest.versions:
        return newest.versions[name], newest.candidates_url
    found = registry.find(name) if is_plain(name) else None
    if found is not None:
        return found.bundle_version, found.bundle_root
    if _is_published(settings, name):
        return name, settings.policies_url
    known = list(dict.fromkeys((UNIFORM, FALLBACK, CHAMPION, LIVE, *(sorted(newest.versions) if newest else ()))))
    close = "".join(f": is {each} meant?" for each in get_close_matches(name, known, n=1))
    raise ContractError(f"a policy must be {', '.join(known)} or the version of a bundle, got {name!r}{close}")


def _is_published(settings: Settings, name: str) -> bool:
    """Tell whether a bundle lies where scorers look: one may outlive the registry that knew it."""
    try:
        read_manifest(settings.policies_url, name)
    except BundleError:
        return False
    return True
