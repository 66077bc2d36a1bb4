"""Simple charts as SVG text: lines over time, points with intervals, bars. For the README and the docs.

Each is a whole document that reads on a light and on a dark page: text and grid take the page's colour scheme, marks
have colours that stand out on both. Whatever labels hold is escaped. Lengths are in SVG user units, values in those of
the data.

Example:
    >>> svg = bar_chart([Bar("uniform", 0.2), Bar("best artwork", 0.23)], title="Take fraction")
    >>> svg.startswith("<svg"), svg.count("<rect")
    (True, 2)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from models.error import ContractError

PALETTE: Final = ("#2f7ed8", "#e08a1e", "#2a9d6f", "#9b5de5", "#d1495b", "#5b8e1f", "#0fa3b1", "#b5651d", "#57606a")
_STYLE = (
    "<style>text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#24292f}.t{font-size:15px;"
    "font-weight:600}.m{fill:#57606a}.g{stroke:#8b949e;stroke-opacity:.3}.a{stroke:#8b949e}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.m{fill:#9da7b1}}</style>"
)
_LETTER = 7.4
"""About how wide a letter is."""
_TOP, _LINE = 34.0, 20.0


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points (x, y), with a band from `low` to `high` about it where both are given."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A named value with an interval about it, and a second value to hold it against, such as the truth."""

    label: str
    value: float
    low: float
    high: float
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value of at least 0; bars of one `group` have one colour, and the groups a legend."""

    label: str
    value: float
    group: str = ""


def line_chart(
    lines: Sequence[Line], *, title: str, x_label: str = "", y_label: str = "", width: int = 720, height: int = 360
) -> str:
    """Draw lines over a shared scale, each named at its end; the y axis begins at 0 where that costs little room.

    Raises:
        ContractError: if there is nothing to draw, or a value is not finite.
    """
    xs = _finite(value for line in lines for value in line.x)
    ys = _finite(value for line in lines for part in (line.y, line.low, line.high) for value in part)
    names = 16 + _LETTER * max(len(line.label) for line in lines)
    across = _Scale(min(xs), max(xs), 62.0, width - names)
    up = _Scale(_from_zero(min(ys), max(ys)), max(ys), height - 46.0, _TOP + (18.0 if y_label else 4.0), ticks=True)
    parts = [_grid(across, up), _caption(x_label, (across.start + across.end) / 2, height - 8.0, "middle")]
    parts.append(_caption(y_label, 8.0, _TOP + 4.0))
    ends = _spread_out([up(line.y[-1]) for line in lines], 16.0)
    for place, (line, end) in enumerate(zip(lines, ends, strict=True)):
        colour = PALETTE[place % len(PALETTE)]
        if line.low and line.high:
            there = [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.high, strict=True)]
            back = [f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.low, strict=True)]
            parts.append(f'<polygon points="{" ".join(there + back[::-1])}" fill="{colour}" fill-opacity=".18"/>')
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.2"{dash}/>')
        at = across(line.x[-1]) + 8.0
        parts.append(f'<text x="{at:.1f}" y="{end + 4:.1f}" style="fill:{colour}">{_text(line.label)}</text>')
    return _document(parts, title, width, height)


def interval_chart(
    rows: Sequence[Interval], *, title: str, x_label: str = "", reference_label: str = "", width: int = 720
) -> str:
    """Draw one row a value: a dot with its interval, and a bar across it at the reference.

    Raises:
        ContractError: if there is nothing to draw, or a value is not finite.
    """
    references = [row.reference for row in rows if row.reference is not None]
    values = _finite([*(value for row in rows for value in (row.value, row.low, row.high)), *references])
    left = 20.0 + _LETTER * max(len(row.label) for row in rows)
    height = round(_TOP + 30.0 * len(rows) + (66.0 if x_label else 48.0))
    across = _Scale(min(values), max(values), left, width - 30.0, ticks=True)
    bottom = _TOP + 30.0 * len(rows) + 14.0
    parts = [_upright(across, _TOP, bottom), _caption(x_label, (left + width - 30.0) / 2, bottom + 40.0, "middle")]
    for place, row in enumerate(rows):
        y, colour = _TOP + 30.0 * place + 20.0, PALETTE[place % len(PALETTE)]
        parts.append(f'<text x="{left - 12:.1f}" y="{y + 4:.1f}" text-anchor="end">{_text(row.label)}</text>')
        parts.append(
            f'<path d="M{across(row.low):.1f} {y}H{across(row.high):.1f}" stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{across(row.value):.1f}" cy="{y}" r="5.5" fill="{colour}"/>'
        )
        if row.reference is not None:
            at = across(row.reference)
            parts.append(f'<path d="M{at:.1f} {y - 10}v20" stroke="{PALETTE[4]}" stroke-width="3"/>')
    if references and reference_label:
        parts.append(_legend([(PALETTE[4], reference_label)], width))
    return _document(parts, title, width, height)


def bar_chart(bars: Sequence[Bar], *, title: str, x_label: str = "", digits: int = 3, width: int = 720) -> str:
    """Draw one horizontal bar a value from 0 on, with the value written at its end.

    Raises:
        ContractError: if there is nothing to draw, or a value is below 0 or not finite.
    """
    values = _finite(bar.value for bar in bars)
    if min(values) < 0:
        raise ContractError(f"a bar must be at least 0 long, got {min(values)}")
    groups = list(dict.fromkeys(bar.group for bar in bars))
    left = 20.0 + _LETTER * max(len(bar.label) for bar in bars)
    bottom = _TOP + 28.0 * len(bars) + 12.0
    across = _Scale(0.0, max(values) or 1.0, left, width - 30.0 - _LETTER * (digits + 2))
    parts = [_caption(x_label, left, bottom + 16.0)]
    for place, bar in enumerate(bars):
        y, colour = _TOP + 28.0 * place + 8.0, PALETTE[groups.index(bar.group) % len(PALETTE)]
        length = across(bar.value) - left
        parts.append(f'<text x="{left - 10:.1f}" y="{y + 15:.1f}" text-anchor="end">{_text(bar.label)}</text>')
        parts.append(f'<rect x="{left:.1f}" y="{y:.1f}" width="{length:.1f}" height="20" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{left + length + 7:.1f}" y="{y + 15:.1f}">{bar.value:.{digits}f}</text>')
    if len(groups) > 1:
        parts.append(_legend([(PALETTE[place % len(PALETTE)], name) for place, name in enumerate(groups)], width))
    return _document(parts, title, width, round(bottom + (28.0 if x_label else 8.0)))


class _Scale:
    """A straight map from values to places on the page; with `ticks`, from tick to tick around the values."""

    def __init__(self, low: float, high: float, start: float, end: float, *, ticks: bool = False) -> None:
        if high <= low:
            low, high = (low - 0.5, high + 0.5) if low != 0 else (0.0, 1.0)
        step = _step(high - low)
        first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
        if not ticks:
            first, last = -floor(-low / step + 1e-9), floor(high / step + 1e-9)
        self.ticks = [step * number for number in range(first, last + 1)]
        self.digits = max(0, -floor(log10(step) + 1e-9))
        self.low, self.high = (self.ticks[0], self.ticks[-1]) if ticks else (low, high)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _step(span: float) -> float:
    """Choose the distance of ticks: 1, 2 or 5 times a power of ten, for four to eight of them."""
    rough = span / 5.0
    power: float = 10.0 ** floor(log10(rough))
    return power * min((1.0, 2.0, 5.0, 10.0), key=lambda factor: abs(factor - rough / power))


def _from_zero(low: float, high: float) -> float:
    return 0.0 if 0.0 < low < 0.4 * high else low


def _finite(values: Iterable[float]) -> list[float]:
    found = [float(value) for value in values]
    if not found or not all(map(isfinite, found)):
        raise ContractError("a chart needs values, all of them finite")
    return found


def _grid(across: _Scale, up: _Scale) -> str:
    parts = [_upright(across, up.end, up.start)]
    for tick in up.ticks:
        y = up(tick)
        parts.append(f'<path class="g" d="M{across.start} {y:.1f}H{across.end:.1f}"/>')
        parts.append(
            f'<text class="m" x="{across.start - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.{up.digits}f}</text>'
        )
    return "".join(parts)


def _upright(across: _Scale, top: float, bottom: float) -> str:
    """Draw the axis of x along the bottom, with a grid line at each tick."""
    parts = [f'<path class="a" d="M{across.start:.1f} {bottom:.1f}H{across.end:.1f}"/>']
    for tick in across.ticks:
        x = across(tick)
        parts.append(f'<path class="g" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
        parts.append(
            f'<text class="m" x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{tick:.{across.digits}f}</text>'
        )
    return "".join(parts)


def _spread_out(places: Sequence[float], apart: float) -> list[float]:
    """Move labels down as far as needed to stand `apart` from one another."""
    out = list(places)
    last = float("-inf")
    for place in sorted(range(len(places)), key=lambda one: places[one]):
        out[place] = last = max(places[place], last + apart)
    return out


def _legend(entries: Sequence[tuple[str, str]], width: int) -> str:
    """Write coloured names at the top right."""
    parts, right = [], width - 12.0
    for colour, label in reversed(entries):
        right -= _LETTER * len(label)
        parts.append(f'<text x="{right:.1f}" y="20" style="fill:{colour}">{_text(label)}</text>')
        right -= _LINE
    return "".join(parts)


def _caption(words: str, x: float, y: float, anchor: str = "start") -> str:
    return f'<text class="m" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_text(words)}</text>' if words else ""


def _document(parts: Sequence[str], title: str, width: int, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label={quoteattr(_printable(title))}>{_STYLE}'
        f'<text class="t" x="8" y="20">{_text(title)}</text>'
        f"{''.join(parts)}</svg>\n"
    )


def _text(words: str) -> str:
    return escape(_printable(words))


def _printable(words: str) -> str:
    """Drop what no XML document may hold."""
    return "".join(letter for letter in words if letter.isprintable())
