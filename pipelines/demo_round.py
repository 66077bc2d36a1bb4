"""One round of the demo as a table: estimates by replay beside the simulator's true values, and the gate's words."""

from collections.abc import Mapping

import numpy as np
from rich.markup import escape
from rich.table import Table

from evaluation.audit import AuditRecord
from pipelines.compare_table import ruling_words
from pipelines.presentation import out
from pipelines.replay import Round, policies_of
from pipelines.settings import Settings
from pipelines.training_set import Side, iter_training_batches
from pipelines.truth import read_truth


def true_values(settings: Settings, found: Round) -> dict[str, float]:
    """Ask the simulator for the exact take fraction of every policy of a round, over the decisions it was judged on."""
    policies = policies_of(settings, found.candidates_url, found.versions, found.champion)
    sums, n = dict.fromkeys(policies, 0.0), 0
    for logged in iter_training_batches(found.training_uri, Side.JUDGE, holdout_share=found.holdout_share):
        _, chances = read_truth(settings, logged.decision_ids.tolist())
        n += len(logged)
        for name, policy in policies.items():
            sums[name] += float(np.dot(policy.pmf(logged.batch), chances))
    return {name: total / n for name, total in sums.items()}


def show_round(found: Round, audit: AuditRecord, truth: Mapping[str, float], report: str) -> None:
    """Print the round to stdout."""
    log = found.evaluation.log
    table = Table(
        title=f"Take fraction as of {found.as_of:%Y-%m-%d}: {log.n_decisions:,} decisions of {log.n_profiles:,} "
        "profiles that no candidate learned from",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("policy")
    for heading in ("by replay, 95 %", "doubly robust, 95 %", "true value", "effective sample"):
        table.add_column(heading, justify="right")
    table.add_column("gate")
    rulings = {verdict.candidate: verdict.decision for verdict in audit.verdicts}
    for result in sorted(found.evaluation.policies, key=lambda each: truth.get(each.name, 0.0)):
        cells = [escape(result.name) + (" (champion)" if result.name == found.champion else "")]
        for estimator in ("replay", "dr"):
            estimate = result.estimates.get(estimator)
            cells.append(f"{estimate.value:.4f} ({estimate.low:.4f}–{estimate.high:.4f})" if estimate else "–")
        cells += [f"{truth[result.name]:.4f}", f"{result.support.effective_sample_size:,.0f}"]
        ruling = rulings.get(result.name)
        table.add_row(*cells, ruling_words(ruling) if ruling else "")
    out.print(table)
    out.print(f"[bold]The gate:[/] {escape(audit.reason)}", soft_wrap=True)
    out.print(f"Report: {escape(report)}\n", soft_wrap=True)
