"""From a verdict to the live policy: judge, promote, publish. Each leaves a record (the way back is in `rollback`).

HOME/reports/<as_of>/audit-<content>.json have the verdicts and all that they rest on, audit.json and report.html show
the latest; HOME/reports/changes/ has what was done about them (`change`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from evaluation.audit import AuditRecord, audit_record
from evaluation.gate import Ruling, Verdict, judge
from evaluation.report import render_report
from models.bundle import (
    MANIFEST_FILE,
    UNIFORM,
    Pointer,
    move_pointer,
    read_bundle,
    read_manifest,
    read_pointer,
    refuse_older,
)
from models.error import BundleError, ContractError, NotApprovedError, StaleModelError
from models.manifest import is_plain, path_of
from models.storage import Folder
from models.withdrawal import last_withdrawal, lift, read_withdrawal, refuse_withdrawn, why_withdrawn
from pipelines.account import gate_rules, keep_audit, look_of, own_audits, verdicts_of
from pipelines.change import Change, Kind, keep_change
from pipelines.part import write_whole
from pipelines.registry import Registered, Registry
from pipelines.replay import Round, newest_round, read_round, report_dir, round_uri_with
from pipelines.settings import Settings

REPORT_FILE = "report.html"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gate's word: the audit record, where it lies, and the bundle to promote, if any."""

    audit: AuditRecord
    path: Path
    version: str | None


class Promoted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The champion by hand; of one that a rollback withdrew, when it last did, and when a person let it in again."""

    champion: str
    withdrawn_at: datetime | None = None
    lifted_at: datetime | None = None


def judge_candidates(settings: Settings, evaluation_uri: str) -> Judgement:
    """Let the gate judge every candidate of a round, and write the audit record and the report.

    Judging the same round again keeps the record as it is, with the time at which it was first judged and its place in
    the account of the champion's reign. A round that was evaluated anew is another look. No record is ever replaced.
    A candidate that a rollback withdrew is held.

    Raises:
        ContractError: naming an audit record that cannot be read: the account would be wrong without it.
    """
    found = read_round(evaluation_uri)
    rules = gate_rules(settings)
    names = [name for name in found.versions if name != found.champion]
    look = look_of(settings, found, len(names))
    verdicts = [judge(found.evaluation, name, rules, look=look, matured_share=found.matured_share) for name in names]
    verdicts = [_unless_withdrawn(settings, each, found.versions[each.candidate]) for each in verdicts]
    audit = audit_record(
        found.evaluation,
        verdicts,
        rules,
        judged_at=datetime.now(UTC),
        data_version=found.data_version,
        window_start_at=found.learned_from_at,
        window_end_at=found.learned_through_at,
        rollback_to=found.champion,
        look=look,
        matured_share=found.matured_share,
    )
    audit, path = keep_audit(report_dir(settings, found.as_of), audit)
    write_whole(path.with_name(REPORT_FILE), render_report(found.evaluation, verdicts).encode())
    return Judgement(audit, path, found.versions[audit.promoted] if audit.promoted else None)


def promote(
    settings: Settings, evaluation_uri: str, version: str, *, by_hand: bool = False, unproven: bool = False
) -> str:
    """Make a bundle of this round the registry's champion; doing it again changes nothing.

    Args: by_hand, whether a person asks (`promote_by_hand`, which looks for a verdict itself), who may also bring back
    what a rollback withdrew; unproven, for the record, that there is none.

    Raises:
        ContractError: if no verdict on this round promotes it.
        StaleModelError: if the live policy learned from newer data, a rollback withdrew this one, or the gate held it
            against another policy than the one that is live by now.
        MarqueeError: if the registry cannot be used.
    """
    found, at = _round_of(evaluation_uri, version), datetime.now(UTC)
    manifest, live = read_manifest(found.candidates_url, version), read_pointer(settings.policies_url)
    refuse_older(live, Pointer.to(manifest, published_at=at, previous=None))
    withdrawal = last_withdrawal(settings.policies_url, version)
    registry = Registry(settings.registry_uri)
    former = registry.champion()
    if not by_hand:
        refuse_withdrawn(settings.policies_url, version)
        _refuse_unmet(found, UNIFORM if live is None else live.version, version)
        _refuse_unjudged(settings, found, version)
    crowned = registry.crown(version)
    if by_hand:
        lift(settings.policies_url, version, at=at)
    done = Change(
        kind=Kind.PROMOTION,
        version=version,
        replaced=crowned.replaced,
        at=at,
        by_hand=by_hand,
        unproven=unproven,
        withdrawn_at=withdrawal.withdrawn_at if withdrawal else None,
    )
    keep_change(settings, done, is_new=former is None or former.bundle_version != version)
    return version


def publish(settings: Settings, evaluation_uri: str, version: str, *, by_hand: bool = False) -> Pointer:
    """Copy a bundle of this round to where scorers look, prove it there, and move the pointer; the last step of all.

    Publishing the live version again changes nothing. `by_hand`, that a person asks, is what the record says.

    Raises:
        StaleModelError: if the live policy learned from newer data, or a rollback withdrew this one; the pointer stays.
        BundleError: if the bundle cannot be trusted; the pointer stays.
    """
    found = _round_of(evaluation_uri, version)
    live = read_pointer(settings.policies_url)
    manifest = read_manifest(found.candidates_url, version)
    previous, earlier = (live.version, live.before) if live else (None, ())
    pointer = Pointer.to(manifest, published_at=datetime.now(UTC), previous=previous, earlier=earlier)
    refuse_older(live, pointer)
    refuse_withdrawn(settings.policies_url, version)
    _copy_bundle(found.candidates_url, settings.policies_url, version)
    read_bundle(settings.policies_url, version)
    is_new = live is None or live.version != version
    if is_new:
        move_pointer(settings.policies_url, pointer)
    elif live is not None:
        pointer = live
    done = Change(
        kind=Kind.PUBLICATION,
        version=version,
        replaced=pointer.previous or UNIFORM,
        at=pointer.published_at,
        by_hand=by_hand,
    )
    keep_change(settings, done, is_new=is_new)
    return pointer


def promote_by_hand(settings: Settings, name: str, *, unproven: bool = False) -> Promoted:
    """Make a policy that the gate once let through the champion, whether or not it was the best of its round.

    Args: name, a candidate's of the newest round, or a registered version; unproven, whether a person answers for one
    that no verdict promotes, which the record says then.

    Raises:
        NotApprovedError: if no verdict on record promotes it, and nobody answers for it.
        ContractError: naming what there is, if there is none of that name; or if its round is gone.
        StaleModelError: if the live policy learned from newer data.
        BundleError: if it cannot be told whether a rollback withdrew it; the champion stays.
    """
    found = _named(settings, name)
    version = found.bundle_version
    evaluation_uri = round_uri_with(settings, found.as_of, version)
    why = _why_unapproved(settings, found)
    if why and not unproven:
        raise NotApprovedError(f"{version} can be promoted once the gate lets it through: {why}")
    promote(settings, evaluation_uri, version, by_hand=True, unproven=bool(why))
    withdrawal = last_withdrawal(settings.policies_url, version)
    if withdrawal is None:
        return Promoted(champion=version)
    return Promoted(champion=version, withdrawn_at=withdrawal.withdrawn_at, lifted_at=withdrawal.lifted_at)


def publish_champion(settings: Settings) -> Pointer:
    """Publish the registry's champion, by hand.

    Raises:
        ContractError: if there is no champion.
        StaleModelError: if the live policy learned from newer data, or a rollback withdrew the champion.
        BundleError: if its bundle cannot be trusted.
    """
    champion = Registry(settings.registry_uri).champion()
    if champion is None:
        raise ContractError(f"there is no champion to publish in {settings.registry_uri}")
    version = champion.bundle_version
    return publish(settings, round_uri_with(settings, champion.as_of, version), version, by_hand=True)


def _unless_withdrawn(settings: Settings, verdict: Verdict, version: str) -> Verdict:
    """Hold a candidate that a rollback withdrew, whatever the log says of it."""
    found = read_withdrawal(settings.policies_url, version)
    if found is None or verdict.decision is not Ruling.PROMOTE:
        return verdict
    reason = f"Hold {verdict.candidate}: {why_withdrawn(found)}."
    return msgspec.structs.replace(verdict, decision=Ruling.HOLD, reason=reason)


def _refuse_unmet(found: Round, live: str, version: str) -> None:
    """Refuse a verdict about a champion whose place a policy of no such round has taken since."""
    if live not in (found.champion, *found.versions.values()):
        raise StaleModelError(f"{version} was held against {found.champion}, but {live} is live by now: judge it again")


def _refuse_unjudged(settings: Settings, found: Round, version: str) -> None:
    """Refuse what the gate let through by no verdict on this round that is on record."""
    audits = own_audits(settings, found).values()
    if version not in {found.versions.get(audit.promoted or "") for audit in audits}:
        raise ContractError(f"a version must be promoted by a verdict on its round, of which {version!r} has none")


def _why_unapproved(settings: Settings, found: Registered) -> str:
    """Tell why the gate let a version through in no round, empty if it did in one: a later one may hold it again."""
    said = verdicts_of(settings, found.as_of).get(found.bundle_version, [])
    if any(verdict.decision is Ruling.PROMOTE for verdict in said):
        return ""
    return said[0].reason if said else "the gate was never asked."


def _named(settings: Settings, name: str) -> Registered:
    newest, registry = newest_round(settings), Registry(settings.registry_uri)
    named = newest.versions if newest else {}
    version = named.get(name, name)
    found = registry.find(version) if is_plain(version) else None
    if found is None:
        known = ", ".join(f"{each} ({bundle})" for each, bundle in named.items()) or "none yet"
        raise ContractError(
            f"expected a candidate of the newest round ({known}) or a registered version, which `marquee policies` "
            f"lists, got {name!r}"
        )
    return found


def _round_of(evaluation_uri: str, version: str) -> Round:
    found = read_round(evaluation_uri)
    if version not in found.versions.values():
        raise ContractError(f"version must be one of {sorted(found.versions.values())}, got {version!r}")
    return found


def _copy_bundle(from_url: str, to_url: str, version: str) -> None:
    """Copy a bundle file by file, the manifest last: before it is there, there is no bundle."""
    source, target = Folder(from_url), Folder(to_url)
    for name in (*read_manifest(from_url, version).files, MANIFEST_FILE):
        content = source.read(path_of(version, name))
        if content is None:
            raise BundleError(f"bundle {version!r}: {name} is missing below {from_url}")
        if target.read(path_of(version, name)) != content:
            target.replace(path_of(version, name), content)
