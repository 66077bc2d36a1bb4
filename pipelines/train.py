"""`marquee train`: the training DAG in this process, and what came of it in words."""

from datetime import datetime
from typing import Any

import msgspec
from rich.markup import escape

from evaluation.audit import AuditRecord, decode_audit
from evaluation.report import render_report
from models.bundle import UNIFORM, read_pointer
from models.error import ContractError
from pipelines.account import AUDIT_FILE
from pipelines.airflow_run import Progress, run_dag
from pipelines.part import write_whole
from pipelines.presentation import out
from pipelines.promotion import REPORT_FILE
from pipelines.replay import Round, read_round, report_dir, round_uri
from pipelines.round_table import show_round
from pipelines.settings import Settings
from pipelines.training import choose_as_of


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate said of one round: the candidate that it promotes, if any, and a sentence on each."""

    as_of: datetime
    champion: str
    promoted: str | None
    version: str | None
    reasons: dict[str, str]
    take_fractions: dict[str, Any]
    report: str


def train(settings: Settings, as_of: datetime | None = None, progress: Progress | None = None) -> Outcome:
    """Run `train_and_promote` as of a moment, all that is refreshed if none is given.

    Raises:
        NotReadyError: if nothing has been refreshed as far as that.
        MarqueeError: naming the task that failed.
    """
    moment = choose_as_of(settings, as_of)
    run_dag(settings, "train_and_promote", as_of=moment, progress=progress)
    return _outcome(settings, read_round(round_uri(settings, moment)), read_audit(settings, moment))


def read_audit(settings: Settings, as_of: datetime) -> AuditRecord:
    """Read the audit record of a round.

    Raises:
        ContractError: if there is none, or it is not one.
    """
    path = report_dir(settings, as_of) / AUDIT_FILE
    try:
        return decode_audit(path.read_bytes())
    except OSError as error:
        raise ContractError(f"no audit record of {as_of.isoformat()}: {path}: {error}") from error


def write_report(settings: Settings, found: Round, audit: AuditRecord, truth: dict[str, float] | None = None) -> str:
    """Write the round's report beside its audit record; returns the path."""
    path = report_dir(settings, found.as_of) / REPORT_FILE
    write_whole(path, render_report(found.evaluation, audit.verdicts, truth=truth).encode())
    return str(path)


def show_trained(settings: Settings, outcome: Outcome) -> None:
    """Print a round that was trained, with its report, and what is live by now."""
    found, audit = read_round(round_uri(settings, outcome.as_of)), read_audit(settings, outcome.as_of)
    show_round(found, audit, outcome.report)
    live = read_pointer(settings.policies_url)
    out.print(f"Live: {escape(live.version if live else UNIFORM)}", soft_wrap=True)


def _outcome(settings: Settings, found: Round, audit: AuditRecord) -> Outcome:
    replay = {result.name: result.estimates["replay"] for result in found.evaluation.policies if result.estimates}
    return Outcome(
        as_of=found.as_of,
        champion=found.champion,
        promoted=audit.promoted,
        version=found.versions[audit.promoted] if audit.promoted else None,
        reasons={verdict.candidate: verdict.reason for verdict in audit.verdicts},
        take_fractions={name: (each.low, each.value, each.high) for name, each in replay.items()},
        report=str(report_dir(settings, found.as_of) / REPORT_FILE),
    )
