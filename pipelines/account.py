"""The gate's account: which looks were taken at the candidates of each champion's reign.

It is kept nowhere but in the audit records HOME/reports/<as_of>/audit-<content>.json, none of which is ever lost, so
that it cannot disagree with them: a run that was killed and repeated finds its own record and has the same place, and
every other round counts once.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from evaluation.audit import AuditRecord, decode_audit, decode_past, plan_look
from evaluation.gate import Verdict
from evaluation.gate_budget import Look
from evaluation.gate_check import GateRules
from evaluation.record import encode
from models.error import ContractError
from pipelines.part import digest, write_whole
from pipelines.replay import Round, report_dir, rounds_of
from pipelines.settings import Settings

AUDIT_FILE = "audit.json"
"""The latest of a round's audit records; it is one of those that are kept."""

_KEPT = "audit-{name}.json"

Record = TypeVar("Record")


def gate_rules(settings: Settings) -> GateRules:
    """Say what the gate puts up with here."""
    return GateRules(
        alpha=settings.gate_alpha,
        min_profiles=settings.gate_min_profiles,
        min_effective_sample=settings.gate_min_effective_sample,
        min_matured_share=settings.gate_min_matured_share,
        max_segment_loss=settings.gate_max_segment_loss,
        max_changed_share=settings.gate_max_changed_share,
    )


def look_of(settings: Settings, found: Round, n_candidates: int) -> Look:
    """Find which look of the champion's reign a round is; one that was judged before keeps its number.

    Raises:
        ContractError: naming an audit record that cannot be read.
    """
    own = own_audits(settings, found)
    paths = set(settings.reports_dir.glob(f"*/{_KEPT.format(name='*')}")) - own.keys()
    again = max(own.values(), key=lambda each: each.judged_at).look if own else None
    past = (_read(path, decode_past) for path in sorted(paths))
    # Each interval sets off a look.
    n_planned = max(round(settings.gate_planned_days * 24 / settings.interval_hours), 1)
    return plan_look(past, found.champion, n_candidates, n_planned=n_planned, again=again)


def own_audits(settings: Settings, found: Round) -> dict[Path, AuditRecord]:
    """Read the records of all verdicts on a round, under whichever rules.

    Raises:
        ContractError: naming a record as of the same moment that cannot be read.
    """
    paths = report_dir(settings, found.as_of).glob(_KEPT.format(name="*"))
    read = {path: _read(path, decode_audit) for path in paths}
    asked = (found.champion, found.evaluation)
    return {path: record for path, record in read.items() if (record.rollback_to, record.evaluation) == asked}


def verdicts_of(settings: Settings, as_of: datetime) -> dict[str, list[Verdict]]:
    """Read what the gate said of each version in all rounds as of a moment, the newest word first.

    Raises:
        ContractError: naming a record that cannot be read.
    """
    said = [
        (audit.judged_at, found.versions[verdict.candidate], verdict)
        for found in rounds_of(settings, as_of).values()
        for audit in own_audits(settings, found).values()
        for verdict in audit.verdicts
    ]
    by_version: dict[str, list[Verdict]] = {}
    for _, version, verdict in sorted(said, key=lambda each: each[0], reverse=True):
        by_version.setdefault(version, []).append(verdict)
    return by_version


def keep_audit(directory: Path, audit: AuditRecord) -> tuple[AuditRecord, Path]:
    """Keep a round's audit record under the name of its content for good, and show it as the latest.

    A verdict that was reached before, on the same grounds, keeps its record and the time at which it was reached.

    Raises:
        ContractError: naming a record that cannot be read.
    """
    name = digest(encode(msgspec.structs.replace(audit, judged_at=audit.window_end_at)))
    path = directory / _KEPT.format(name=name[:12])
    if path.is_file():
        audit = _read(path, decode_audit)
    write_whole(path, encode(audit))
    write_whole(directory / AUDIT_FILE, encode(audit))
    return audit, path


def _read(path: Path, decode: Callable[[bytes], Record]) -> Record:
    try:
        return decode(path.read_bytes())
    except ContractError as error:
        raise ContractError(f"{error} ({path})") from error
