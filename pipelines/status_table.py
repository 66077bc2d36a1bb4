"""What `marquee status` prints for people: the home's fields, and the features that drifted or moved most."""

from msgspec import structs
from rich.markup import escape
from rich.table import Table

from pipelines.drift import ViewHealth
from pipelines.presentation import out, show
from pipelines.status import Status


def show_status(found: Status, drift_warning: float) -> None:
    """Print the status to stdout. Args: drift_warning, the PSI above which a feature is said to have drifted."""
    show({name: value for name, value in structs.asdict(found).items() if name != "views"}, as_json=False)
    if not found.views:
        return
    table = Table(
        title="Features that drifted, then those whose newest interval differs most from those before it, by "
        "population stability index (PSI)",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("view", "rows", "newest (UTC)", "age", "feature"):
        table.add_column(heading)
    for heading in ("PSI", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for view, health in found.views.items():
        about = (escape(view), f"{health.n_rows:,}", f"{health.newest_at:%Y-%m-%d %H:%M}", f"{health.age_hours:,.1f} h")
        for place, (name, psi) in enumerate(health.psi.items() or [("", None)]):
            first = about if place == 0 else ("",) * len(about)
            cells = _cells(health, name, psi, drift_warning) if psi is not None else ("", "", "nothing to compare")
            table.add_row(*first, escape(name), *cells)
    out.print(table)


def _cells(health: ViewHealth, name: str, psi: float, drift_warning: float) -> tuple[str, str, str]:
    if name in health.exempt:
        return f"{psi:.3f}", "none", "grows with time by itself"
    if name in health.drifted:
        return f"{psi:.3f}", f"{drift_warning:g}", "[yellow]drifted[/]"
    return f"{psi:.3f}", f"{drift_warning:g}", "chance, of so few rows" if psi > drift_warning else ""
