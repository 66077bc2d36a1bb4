"""One round of the gate as a table: what every policy is worth by replay, and the gate's words."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from evaluation.audit import AuditRecord
from evaluation.record import PolicyResult
from pipelines.compare_table import estimate_words, ruling_words
from pipelines.presentation import out
from pipelines.replay import Round

_MEANING = (
    "Take fraction: quality plays per impression, had the policy chosen; in brackets its 95 % interval. Effective "
    "sample: the decisions that say so."
)


def show_round(found: Round, audit: AuditRecord, report: str, truth: Mapping[str, float] | None = None) -> None:
    """Print a round to stdout. Args: truth, the true take fractions by policy, where a simulator knows them.

    With truth the gate's word is on the policy that it chose alone, and without on every candidate.
    """
    log = found.evaluation.log
    table = Table(
        title=f"Take fraction as of {found.as_of:%Y-%m-%d}: {log.n_decisions:,} decisions of {log.n_profiles:,} "
        "profiles that no candidate learned from",
        title_justify="left",
        title_style="bold",
        caption=_MEANING if truth is None else None,
        caption_justify="left",
    )
    table.add_column("policy")
    headings = ["by replay, 95 %", "doubly robust, 95 %", "true value", "effective sample"]
    for heading in headings if truth is not None else [each for each in headings if each != "true value"]:
        table.add_column(heading, justify="right")
    table.add_column("gate")
    rulings = {verdict.candidate: verdict.decision for verdict in audit.verdicts}
    n_digits = 5 if truth is None else 4  # of a real log, a play may be a matter of thousandths
    worth = truth if truth is not None else {each.name: _by_replay(each) for each in found.evaluation.policies}
    for result in sorted(found.evaluation.policies, key=lambda each: worth.get(each.name, 0.0)):
        cells = [escape(result.name) + (" (champion)" if result.name == found.champion else "")]
        cells += [estimate_words(result.estimates.get(each), n_digits) for each in ("replay", "dr")]
        cells += [f"{truth[result.name]:.4f}"] if truth is not None else []
        ruling = rulings.get(result.name)
        table.add_row(*cells, f"{result.support.effective_sample_size:,.0f}", ruling_words(ruling) if ruling else "")
    out.print(table)
    said = [] if truth is not None else [verdict.reason for verdict in audit.verdicts]
    for reason in said or [audit.reason]:
        out.print(f"[bold]The gate:[/] {escape(reason)}", soft_wrap=True)
    out.print(f"Report: {escape(report)}\n", soft_wrap=True)


def _by_replay(result: PolicyResult) -> float:
    found = result.estimates.get("replay")
    return found.value if found else 0.0
