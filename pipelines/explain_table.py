"""What `marquee explain` prints for people: a line an artwork, the chosen one in green; then the scores' parts."""

from rich.markup import escape
from rich.table import Table

from models.identity import is_anonymous
from pipelines.explain import ExplainedArtwork, Explanation
from pipelines.presentation import out

_MOST_SPLIT = 6
"""Artworks whose scores are split for people, the most probable ones; `--json` tells all."""


def show_explanation(found: Explanation) -> None:
    """Print the decision taken apart to stdout."""
    ranked = sorted(found.candidates, key=lambda each: -each.probability)
    out.print(_drawn(found, ranked))
    if ranked[0].parts:
        out.print(_split(found, ranked[:_MOST_SPLIT]))
    chosen = f"[bold green]{escape(found.artwork_id)}[/] has the greatest log p + noise and is shown"
    out.print(f"{chosen}, with propensity {found.propensity:.6g}.", soft_wrap=True)
    if found.profile_is_known is False:
        out.print(f"Unknown profile: {_unknown(found.profile_id)}.", soft_wrap=True)
    if found.features != "ok":
        out.print(f"Features: {escape(found.features)}", soft_wrap=True)


def _unknown(profile_id: str) -> str:
    if is_anonymous(profile_id):
        return f"{escape(profile_id)} is anonymous, of whom no row is kept; it is decided for as for anybody"
    return (
        f"the feature store has no row of {escape(profile_id)}, or none within its time to live; it is decided for as "
        "for somebody new"
    )


def _drawn(found: Explanation, ranked: list[ExplainedArtwork]) -> Table:
    table = Table(
        title=f"{escape(found.title_id)} for {escape(found.profile_id)} at {found.at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{escape(found.policy_version)}, {found.cell} cell, {found.intent}, epoch {found.epoch}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("artwork")
    for heading in ("probability", "score", "noise", "log p + noise"):
        table.add_column(heading, justify="right")
    for each in ranked:
        cells = (f"{each.probability:.4f}", _number(each.score), _number(each.noise), _number(each.keyed))
        table.add_row(escape(each.artwork_id), *cells, style=_style(found, each))
    return table


def _split(found: Explanation, ranked: list[ExplainedArtwork]) -> Table:
    table = Table(title="What the scores are made of", title_justify="left", title_style="bold")
    table.add_column("features")
    for each in ranked:
        table.add_column(escape(each.artwork_id), justify="right", style=_style(found, each))
    for group in ranked[0].parts:
        table.add_row(group, *(_number(each.parts[group]) for each in ranked))
    return table


def _style(found: Explanation, each: ExplainedArtwork) -> str:
    return "green" if each.artwork_id == found.artwork_id else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"
