"""Charts are valid documents that place values where their scale says, whatever labels hold."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chart import Bar, Interval, Line, bar_chart, interval_chart, line_chart
from models.error import ContractError

SVG = "{http://www.w3.org/2000/svg}"
values = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@given(st.lists(st.tuples(st.text(max_size=12), st.lists(values, min_size=2, max_size=5)), min_size=1, max_size=4))
def test_any_lines_make_a_valid_document_within_its_frame(found: list[tuple[str, list[float]]]) -> None:
    svg = line_chart([Line(label, range(len(ys)), ys) for label, ys in found], title="<a & b>")
    root = ElementTree.fromstring(svg)
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 720
            assert 0 <= y <= 360


def test_a_greater_value_lies_higher_and_every_line_is_named() -> None:
    svg = line_chart([Line("up", [0, 1, 2], [1, 2, 3], [0, 1, 2], [2, 3, 4]), Line("flat", [0, 2], [1, 1])], title="t")
    lines = [one.attrib["points"].split() for one in ElementTree.fromstring(svg).iter(f"{SVG}polyline")]
    ys = [float(point.split(",")[1]) for point in lines[0]]
    assert ys == sorted(ys, reverse=True)
    assert {"up", "flat"} <= set(texts(svg))
    assert svg.count("<polygon") == 1


def test_names_at_the_ends_of_lines_do_not_cover_one_another() -> None:
    svg = line_chart([Line(name, [0, 1], [0, 1]) for name in "abcd"], title="t")
    places = [
        float(text.attrib["y"]) for text in ElementTree.fromstring(svg).iter(f"{SVG}text") if text.text in set("abcd")
    ]
    assert all(later - earlier >= 16 for earlier, later in itertools.pairwise(places))


def test_intervals_hold_their_value_and_show_the_reference() -> None:
    svg = interval_chart([Interval("a", 0.2, 0.1, 0.4, reference=0.25)], title="t", reference_label="truth")
    (circle,) = ElementTree.fromstring(svg).iter(f"{SVG}circle")
    path = next(one for one in ElementTree.fromstring(svg).iter(f"{SVG}path") if one.attrib.get("stroke-width") == "3")
    low, high = (float(part.split()[0]) for part in path.attrib["d"].removeprefix("M").split("H"))
    assert low < float(circle.attrib["cx"]) < high
    assert (float(circle.attrib["cx"]) - low) / (high - low) == pytest.approx(1 / 3, abs=0.01)
    assert "truth" in texts(svg)


def test_bars_are_as_long_as_their_values_and_groups_have_colours() -> None:
    svg = bar_chart([Bar("a", 1.0, "real"), Bar("b", 2.0, "simulated"), Bar("c", 0.0, "real")], title="t")
    bars = list(ElementTree.fromstring(svg).iter(f"{SVG}rect"))
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert widths[2] == 0
    assert bars[0].attrib["fill"] == bars[2].attrib["fill"] != bars[1].attrib["fill"]
    assert {"real", "simulated", "2.000"} <= set(texts(svg))


@given(st.text(max_size=30))
def test_no_label_breaks_the_document(label: str) -> None:
    for svg in (
        bar_chart([Bar(label, 1.0, label)], title=label, x_label=label),
        interval_chart([Interval(label, 1.0, 0.0, 2.0, 1.5)], title=label, reference_label=label),
    ):
        ElementTree.fromstring(svg)


def test_nothing_to_draw_and_values_that_are_none_are_refused() -> None:
    for draw in (
        lambda: bar_chart([], title=""),
        lambda: bar_chart([Bar("a", -1.0)], title=""),
        lambda: line_chart([Line("a", [0, 1], [0, float("nan")])], title=""),
        lambda: interval_chart([], title=""),
    ):
        with pytest.raises(ContractError):
            draw()
