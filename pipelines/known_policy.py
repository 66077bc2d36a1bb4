"""`marquee policies`: which versions there are, what the gate said of each, and which of them is live."""

from datetime import datetime

import msgspec
from rich.markup import escape
from rich.table import Table

from evaluation.gate import Ruling, Verdict
from models.bundle import UNIFORM, read_pointer
from models.withdrawal import read_withdrawal
from pipelines.account import verdicts_of
from pipelines.compare_table import ruling_words
from pipelines.presentation import out
from pipelines.registry import Registered, open_registry
from pipelines.settings import Settings


class KnownPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version, as of the moment of its round.

    `decision` and `reason` are the gate's newest word that promotes it, which lets `marquee promote` take it, else its
    newest word; None and empty where it was never asked. `withdrawn_at` is when a rollback took it out of service.
    """

    version: str
    candidate: str
    as_of: datetime
    learned_through_at: datetime
    decision: Ruling | None
    reason: str
    withdrawn_at: datetime | None
    is_champion: bool
    is_live: bool


class KnownPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """What is live (`uniform` where nothing is), the registry's champion, and the versions, the newest round first."""

    live: str
    champion: str | None
    versions: tuple[KnownPolicy, ...]
    n_older: int


def known_policies(settings: Settings, n_rounds: int) -> KnownPolicies:
    """List the versions of the newest rounds, beside them the champion and the live one; changes nothing.

    Args: n_rounds, how many moments of training; `n_older` counts the versions left out.

    Raises:
        ContractError, BundleError, MarqueeError: naming what cannot be read.
    """
    registry, pointer = open_registry(settings), read_pointer(settings.policies_url)
    live = pointer.version if pointer else UNIFORM
    champion = registry.champion() if registry else None
    standing = {live, champion.bundle_version if champion else live}
    found = registry.all() if registry else []
    newest = set(sorted({each.as_of for each in found}, reverse=True)[:n_rounds])
    listed = [each for each in found if each.as_of in newest or each.bundle_version in standing]
    listed.sort(key=lambda each: each.as_of, reverse=True)
    said = {as_of: verdicts_of(settings, as_of) for as_of in {each.as_of for each in listed}}

    def known(each: Registered) -> KnownPolicy:
        word = _deciding(said[each.as_of].get(each.bundle_version, []))
        withdrawal = read_withdrawal(settings.policies_url, each.bundle_version)
        return KnownPolicy(
            version=each.bundle_version,
            candidate=each.candidate,
            as_of=each.as_of,
            learned_through_at=each.learned_through_at,
            decision=word.decision if word else None,
            reason=word.reason if word else "",
            withdrawn_at=withdrawal.withdrawn_at if withdrawal else None,
            is_champion=each == champion,
            is_live=each.bundle_version == live,
        )

    return KnownPolicies(
        live=live,
        champion=champion.bundle_version if champion else None,
        versions=tuple(known(each) for each in listed),
        n_older=len(found) - len(listed),
    )


def show_policies(found: KnownPolicies) -> None:
    """Print the list to stdout."""
    if found.versions:
        table = Table()
        for heading in ("version", "as of (UTC)", "gate", "is"):
            table.add_column(heading)
        for each in found.versions:
            word = ruling_words(each.decision) if each.decision else "not asked"
            table.add_row(escape(each.version), f"{each.as_of:%Y-%m-%d %H:%M}", word, _standing(each))
        out.print(table)
    older = f", and {found.n_older:,} older ones (--rounds)" if found.n_older else ""
    said = f"{len(found.versions):,} versions{older}. Champion: {found.champion or 'none'}. Live: {found.live}."
    out.print(escape(said), soft_wrap=True)


def _deciding(said: list[Verdict]) -> Verdict | None:
    promoting = (verdict for verdict in said if verdict.decision is Ruling.PROMOTE)
    return next(promoting, said[0] if said else None)


def _standing(each: KnownPolicy) -> str:
    words = ["live"] * each.is_live + ["champion"] * each.is_champion
    words += [f"withdrawn {each.withdrawn_at:%Y-%m-%d %H:%M}"] if each.withdrawn_at else []
    return ", ".join(words)
