"""The first charts of a report, as plain plotly figures: no titles or legends inside, the page has them around.

Colours are marks in `marker` and `line`; text and grid take theirs from the page, which knows light from dark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from evaluation.interval import Estimate
from evaluation.record import Evaluation, PolicyResult
from evaluation.support import WEIGHT_EDGES

Figure = dict[str, Any]
LOG_COLOUR = "#8a8f98"
TRUTH_COLOUR = "#d1495b"
_PALETTE = ("#2f7ed8", "#e08a1e", "#2a9d6f", "#9b5de5", "#c2488f", "#5b8e1f", "#0fa3b1", "#b5651d")
_LABEL_CHARACTERS = 20
MAX_LINES = 6


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure, its legend as (colour, label) pairs, and what it shows in a sentence for those who cannot see it."""

    figure: Figure
    legend: tuple[tuple[str, str], ...]
    spoken: str


def colour_of(evaluation: Evaluation, name: str) -> str:
    """Give a policy the same colour in every chart."""
    names = [result.name for result in evaluation.policies]
    return _PALETTE[names.index(name) % len(_PALETTE)]


def short(name: str) -> str:
    """Shorten a long name in its middle, and escape it: plotly reads labels as HTML."""
    if len(name) > _LABEL_CHARACTERS:
        half = (_LABEL_CHARACTERS - 1) // 2
        name = f"{name[: half + 1]}…{name[-half:]}"
    return escape(name)


def replay_chart(evaluation: Evaluation, truth: Mapping[str, float]) -> Chart:
    """Draw take fraction by replay with intervals, the lowest at the bottom, and true values where they are known."""
    shown = sorted(
        (result for result in evaluation.policies if result.estimates),
        key=lambda result: result.estimates["replay"].value,
    )
    estimates = [result.estimates["replay"] for result in shown]
    colours = [colour_of(evaluation, result.name) for result in shown]
    rows = list(range(len(shown)))
    digits = 4 if all(abs(estimate.value) < 1 for estimate in estimates) else 3
    data = [
        _point(row, result.name, estimate, colour)
        for row, result, estimate, colour in zip(rows, shown, estimates, colours, strict=True)
    ]
    data.append({
        "type": "scatter",
        "mode": "text",
        "x": [estimate.value for estimate in estimates],
        "y": [row + 0.36 for row in rows],
        "text": [f"{estimate.value:.{digits}f}" for estimate in estimates],
        "cliponaxis": False,
        "hoverinfo": "skip",
    })
    known = [(row, truth[result.name]) for row, result in zip(rows, shown, strict=True) if result.name in truth]
    if known:
        data.append({
            "type": "scatter",
            "mode": "markers",
            "x": [value for _, value in known],
            "y": [row for row, _ in known],
            "marker": {"symbol": "line-ns", "size": 20, "line": {"width": 3, "color": TRUTH_COLOUR}},
            "hovertemplate": "true value %{x:.5f}<extra></extra>",
        })
    layout = {
        "height": 90 + 58 * max(len(shown), 1),
        "margin": {"l": 8, "r": 24, "t": 16, "b": 48},
        "xaxis": {"title": {"text": "take fraction"}, "nticks": 5, "automargin": True},
        "yaxis": {
            "tickvals": rows,
            "ticktext": [short(result.name) for result in shown],
            "range": [-0.5, len(shown) - 0.35],
            "automargin": True,
            "zeroline": False,
        },
    }
    legend = ((LOG_COLOUR, f"● replay with {evaluation.confidence:.0%} interval"),)
    spoken = "Take fraction by replay: " + "; ".join(
        f"{result.name} {estimate.value:.4f}, from {estimate.low:.4f} to {estimate.high:.4f}"
        for result, estimate in zip(shown, estimates, strict=True)
    )
    return Chart(
        {"data": data, "layout": layout}, (*legend, (TRUTH_COLOUR, "┃ true value")) if known else legend, spoken
    )


def weight_chart(evaluation: Evaluation, names: Sequence[str]) -> Chart:
    """Draw, for the first few of `names`, which share of decisions has which importance weight."""
    shown = [evaluation.policy(name) for name in names[:MAX_LINES]]
    n_bins = len(WEIGHT_EDGES) + 1
    used = [place for place in range(n_bins) if any(result.support.weight_counts[place] for result in shown)] or [0]
    places = list(range(used[0], used[-1] + 1))
    labels = [_weight_label(place) for place in places]
    data = [
        {
            "type": "bar",
            "x": places,
            "y": [result.support.weight_counts[place] / max(result.n_decisions, 1) for place in places],
            "customdata": labels,
            "marker": {"color": colour_of(evaluation, result.name)},
            "hovertemplate": f"{escape(result.name)}<br>weight %{{customdata}}: %{{y:.3f}}<extra></extra>",
        }
        for result in shown
    ]
    every = max(1, -(-len(places) // 7))
    layout = {
        "height": 300,
        "barmode": "group",
        "bargap": 0.2,
        "margin": {"l": 8, "r": 12, "t": 16, "b": 48},
        "xaxis": {
            "title": {"text": "importance weight"},
            "tickvals": places[::every],
            "ticktext": labels[::every],
            "tickangle": 0,
            "automargin": True,
        },
        "yaxis": {"title": {"text": "share of decisions"}, "rangemode": "tozero", "nticks": 5, "automargin": True},
    }
    spoken = "Importance weights: " + "; ".join(
        f"{result.name} effective sample size {result.support.effective_sample_size:.0f}" for result in shown
    )
    return Chart({"data": data, "layout": layout}, legend_of(evaluation, shown), spoken)


def _point(row: int, name: str, estimate: Estimate, colour: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [estimate.value],
        "y": [row],
        "marker": {"size": 11, "color": colour},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [estimate.high - estimate.value],
            "arrayminus": [estimate.value - estimate.low],
            "thickness": 2.5,
            "width": 6,
            "color": colour,
        },
        "hovertemplate": f"{escape(name)}<br>%{{x:.5f}}<extra></extra>",
    }


def legend_of(evaluation: Evaluation, shown: Sequence[PolicyResult]) -> tuple[tuple[str, str], ...]:
    """Give the legend of policies that are drawn in their colours."""
    return tuple((colour_of(evaluation, result.name), result.name) for result in shown)


def _weight_label(place: int) -> str:
    """Name a bin of `Support.weight_counts` by where it begins."""
    if place <= 1:
        return ("0", ">0")[place]
    edge = WEIGHT_EDGES[place - 1]
    return f"1/{1 / edge:.0f}" if edge < 1 else f"{edge:.0f}"
