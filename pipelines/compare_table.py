"""What `marquee evaluate` prints for people: a line a policy, and the gate's word."""

from rich.markup import escape
from rich.table import Table

from evaluation.gate import Ruling
from evaluation.interval import Estimate
from pipelines.compare import Compared
from pipelines.presentation import out

_COLOURS = {Ruling.PROMOTE: "green", Ruling.HOLD: "yellow", Ruling.REJECT: "red"}


def ruling_words(ruling: Ruling) -> str:
    """Say what the gate said, in its colour."""
    return f"[{_COLOURS[ruling]}]{ruling.value}[/]"


def show_compared(found: Compared) -> None:
    """Print the comparison to stdout."""
    table = Table(
        title=f"{found.from_at:%Y-%m-%d %H:%M} to {found.to_at:%Y-%m-%d %H:%M} UTC: {found.n_decisions:,} decisions "
        f"whose rewards were known by then, of {found.n_profiles:,} profiles that nobody learns from",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("policy")
    for heading in ("by replay, 95 %", "doubly robust, 95 %", "effective sample", "independent"):
        table.add_column(heading, justify="right")
    roles = {found.candidate: " (candidate)", found.champion: f" ({found.role})"}
    for name, estimates in found.policies.items():
        cells = [
            escape(name + roles.get(name, "")),
            *(estimate_words(estimates.get(each)) for each in ("replay", "dr")),
        ]
        table.add_row(
            *cells, f"{found.effective_sample_sizes[name]:,.0f}", f"{found.independent_sample_sizes[name]:,.0f}"
        )
    out.print(table)
    out.print(f"[bold]{ruling_words(found.decision)}[/]: {escape(found.reason)}", soft_wrap=True)
    if found.report:
        out.print(f"Report: {escape(found.report)}", soft_wrap=True)


def estimate_words(estimate: Estimate | None, n_digits: int = 5) -> str:
    """Say an estimate with its interval, to so many digits after the point."""
    if estimate is None:
        return "–"
    value, low, high = (f"{each:.{n_digits}f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low}–{high})"
