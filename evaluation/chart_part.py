"""The charts of a report that take the log apart: days, segments, tastes."""

from collections.abc import Sequence
from html import escape

from evaluation.chart import LOG_COLOUR, Chart, Figure, colour_of, legend_of, short
from evaluation.record import Comparison, Day, Evaluation, PolicyDay, SegmentResult
from evaluation.taste import UNKNOWN

_MAX_DAY_LINES = 3
_MAX_CELLS = 10
_LOSS_COLOUR, _GAIN_COLOUR, _OPEN_COLOUR = "#d1495b", "#2a9d6f", LOG_COLOUR
_SHARES = [[0.0, "rgba(47,126,216,0.06)"], [0.5, "rgba(47,126,216,0.6)"], [1.0, "rgb(47,126,216)"]]
"""Seen through to the page, and so right on a light and on a dark one."""


def day_chart(evaluation: Evaluation, names: Sequence[str]) -> Chart:
    """Draw the log's take fraction and, for the first few of `names`, the replay of each day, with intervals."""
    shown = [evaluation.policy(name) for name in names[:_MAX_DAY_LINES]]
    lines: list[tuple[str, Sequence[Day | PolicyDay], str, str]] = [
        ("the log itself", evaluation.log.days, LOG_COLOUR, "dot")
    ]
    lines.extend((result.name, result.days, colour_of(evaluation, result.name), "solid") for result in shown)
    n_days = len(evaluation.log.days)
    data = [
        _line(days, name, colour, dash, (place - (len(lines) - 1) / 2) * 2)
        for place, (name, days, colour, dash) in enumerate(lines)
    ]
    layout = {
        "height": 320,
        "margin": {"l": 8, "r": 16, "t": 16, "b": 40},
        "xaxis": {
            "type": "date",
            "tickformat": "%-d %b",
            "tickmode": "array",
            "tickvals": [f"{day.day}T12:00" for day in evaluation.log.days[:: -(-n_days // 6)]],
            "range": [f"{evaluation.log.days[0].day}T00:00", f"{evaluation.log.days[-1].day}T23:59"],
            "automargin": True,
        },
        "yaxis": {"title": {"text": "take fraction"}, "nticks": 5, "automargin": True},
    }
    spoken = f"Take fraction day by day over {n_days} days"
    return Chart({"data": data, "layout": layout}, ((LOG_COLOUR, "the log"), *legend_of(evaluation, shown)), spoken)


def segment_chart(comparison: Comparison) -> Chart:
    """Draw a forest: candidate less champion over all, then in each segment with its simultaneous interval."""
    labels, rows = ["<b>all decisions</b>"], [comparison.difference and _Row.whole(comparison)]
    for place, result in enumerate(comparison.segments):
        if not place or comparison.segments[place - 1].dimension != result.dimension:
            labels.append(f"<b>{escape(result.dimension)}</b>")
            rows.append(None)
        labels.append(short(result.name) + ("" if result.difference else " (too few)"))
        rows.append(_Row.part(result))
    data = [row.trace(place) for place, row in enumerate(rows) if row]
    layout = {
        "height": 80 + 24 * len(rows),
        "margin": {"l": 8, "r": 16, "t": 8, "b": 48},
        "xaxis": {
            "title": {"text": "difference"},
            "nticks": 4,
            "tickformat": "+.3~f",
            "tickangle": 0,
            "rangemode": "tozero",
            "zeroline": True,
            "zerolinewidth": 2,
            "automargin": True,
        },
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": labels,
            "range": [len(rows) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        },
    }
    legend = ((_GAIN_COLOUR, "gains for sure"), (_OPEN_COLOUR, "not settled"), (_LOSS_COLOUR, "loses for sure"))
    spoken = f"{comparison.candidate} less {comparison.champion} in {len(comparison.segments)} segments"
    return Chart({"data": data, "layout": layout}, legend, spoken)


def taste_chart(evaluation: Evaluation, name: str, others: Sequence[str]) -> Chart:
    """Draw a heat map of what `name` shows: profiles' strongest taste by artworks' strongest style.

    Tastes and styles are those that matter most in `others` and `name` together, so that their charts can be compared.
    """
    tables = [evaluation.policy(each).tastes for each in dict.fromkeys((*others, name))]
    tastes = sorted((mix.taste for mix in tables[0]), key=UNKNOWN.__eq__)[:_MAX_CELLS]
    weight: dict[str, float] = {}
    for table in tables:
        for mix in table:
            for style, share in mix.shares.items():
                weight[style] = weight.get(style, 0.0) + share * mix.n_decisions
    commonest = sorted(weight, key=lambda style: (style == UNKNOWN, -weight[style], style))[:_MAX_CELLS]
    styles = [taste for taste in tastes if taste in commonest and taste != UNKNOWN]
    styles += [style for style in commonest if style not in styles]
    highest = max(
        (mix.shares.get(style, 0.0) for table in tables for mix in table for style in styles if style != UNKNOWN),
        default=1.0,
    )
    mixes = {mix.taste: mix for mix in evaluation.policy(name).tastes}
    shares = [[mixes[taste].shares.get(style, 0.0) for style in styles] for taste in tastes]
    data = [
        {
            "type": "heatmap",
            "x": styles,
            "y": tastes,
            "z": shares,
            "zmin": 0,
            "zmax": highest,
            "colorscale": _SHARES,
            "showscale": False,
            "xgap": 1,
            "ygap": 1,
            "text": [[f"{share:.2f}"[1:] if 0.095 <= share < 0.995 else "" for share in row] for row in shares],
            "texttemplate": "%{text}",
            "textfont": {"size": 10},
            "hovertemplate": "taste %{y}, style %{x}: %{z:.3f} of what is shown<extra></extra>",
        }
    ]
    layout = {
        "height": 130 + 28 * len(tastes),
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": {"title": {"text": "style of the artwork"}, "tickangle": -45, "showgrid": False, "automargin": True},
        "yaxis": {"autorange": "reversed", "showgrid": False, "automargin": True},
    }
    best = ", ".join(f"{taste}: {max(mixes[taste].shares.items(), key=lambda each: each[1])[0]}" for taste in tastes)
    return Chart({"data": data, "layout": layout}, ((colour_of(evaluation, name), name),), f"Most shown: {best}")


def has_tastes(evaluation: Evaluation) -> bool:
    """Tell whether there is more than one taste or style to draw."""
    return any(len(mix.shares) > 1 or len(evaluation.policies[0].tastes) > 1 for mix in evaluation.policies[0].tastes)


class _Row:
    """A point of the forest with its interval."""

    def __init__(self, label: str, value: float, low: float, high: float, symbol: str) -> None:
        self._label, self._value, self._low, self._high, self._symbol = label, value, low, high, symbol

    @classmethod
    def whole(cls, comparison: Comparison) -> "_Row":
        whole = comparison.difference
        assert whole is not None  # noqa: S101 - asked before; told to mypy
        return cls("all decisions", whole.value, whole.low, whole.high, "diamond")

    @classmethod
    def part(cls, result: SegmentResult) -> "_Row | None":
        if result.difference is None or result.low is None or result.high is None:
            return None
        label = f"{result.dimension}: {result.name}, {result.n_profiles:,} profiles"
        return cls(label, result.difference.value, result.low, result.high, "circle")

    def trace(self, place: int) -> Figure:
        colour = _GAIN_COLOUR if self._low > 0 else _LOSS_COLOUR if self._high < 0 else _OPEN_COLOUR
        return {
            "type": "scatter",
            "mode": "markers",
            "x": [self._value],
            "y": [place],
            "marker": {"size": 12 if self._symbol == "diamond" else 8, "color": colour, "symbol": self._symbol},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [self._high - self._value],
                "arrayminus": [self._value - self._low],
                "thickness": 2,
                "width": 4,
                "color": colour,
            },
            "hovertemplate": f"{escape(self._label)}<br>%{{x:+.5f}}<extra></extra>",
        }


def _line(days: Sequence[Day | PolicyDay], name: str, colour: str, dash: str, hours: float) -> Figure:
    """Draw one line a few hours beside its days, so that intervals of several lines can be told apart."""
    ends = [(day.take_fraction if end is None else end) for day in days for end in (day.low, day.high)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [f"{day.day}T{12 + hours:02.0f}:00" for day in days],
        "y": [day.take_fraction for day in days],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - day.take_fraction for day, high in zip(days, ends[1::2], strict=True)],
            "arrayminus": [day.take_fraction - low for day, low in zip(days, ends[::2], strict=True)],
            "thickness": 1.2,
            "width": 2,
            "color": colour,
        },
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"size": 6, "color": colour},
        "customdata": [day.day for day in days],
        "hovertemplate": f"{escape(name)}<br>%{{customdata}}: %{{y:.5f}}<extra></extra>",
    }
