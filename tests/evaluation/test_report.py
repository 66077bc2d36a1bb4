"""The report is one complete file that shows the figures and cannot be led astray by a name."""

import json
import re
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from evaluation.evaluation import evaluate
from evaluation.gate import Verdict, judge
from evaluation.gate_check import GateRules
from evaluation.record import Evaluation
from evaluation.report import render_report
from models.policy import UniformPolicy
from tests.evaluation.world import Fixed, TasteFirst, make_world

HOSTILE = "<script>alert('1')</script><a href=\"http://example.com/x\">"


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    world = make_world(np.random.default_rng(3), n_profiles=600, ragged=True)
    batch = world.logged.batch
    never = np.ones(len(batch.artwork_keys))
    never[world.logged.chosen] = 0
    never /= np.add.reduceat(never, batch.offsets[:-1])[batch.owner]
    policies = {
        "uniform": UniformPolicy(),
        "best artwork": TasteFirst(0.7),
        HOSTILE: TasteFirst(0.1),
        "worse": TasteFirst(0.2, -1.0),
        "never": Fixed(never),
    }
    return evaluate(policies, lambda: iter([world.logged]), champion="best artwork")


@pytest.fixture(scope="module")
def verdicts(evaluation: Evaluation) -> list[Verdict]:
    return [judge(evaluation, name, GateRules()) for name in ("worse", "never", HOSTILE)]


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, verdicts: list[Verdict]) -> str:
    return render_report(evaluation, verdicts, truth={"uniform": 0.1234567, HOSTILE: 0.31})


class Reader(HTMLParser):
    """Collects elements, and whether every one that was opened is closed in turn."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def test_the_page_is_well_formed_and_loads_nothing_from_anywhere(page: str, read: Reader) -> None:
    assert read.open == []
    for tag, attributes in read.found:
        assert not {"src", "href", "srcset", "data", "action"} & set(attributes), tag
        assert tag not in {"link", "iframe", "img", "object", "embed", "a"}
    policy = next(attributes for tag, attributes in read.found if "http-equiv" in attributes)
    assert policy["content"] is not None
    assert policy["content"].startswith("default-src 'none'")
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    assert page.count("<script") == 3


def test_the_chart_library_is_inside_once(page: str) -> None:
    assert page.count("plotly.js v") == 1


def test_the_verdict_stands_on_top_in_words(read: Reader, verdicts: list[Verdict]) -> None:
    text = " ".join(read.text)
    assert text.index("Verdict:") < text.index("Take fraction by replay")
    assert f"{HOSTILE} takes the place of best artwork." in text
    for verdict in verdicts:
        assert verdict.reason in text
    # the chosen candidate is the first of the list
    assert text.index(verdicts[2].reason) < text.index(verdicts[0].reason)


def test_without_a_promotion_the_champion_stays(evaluation: Evaluation, verdicts: list[Verdict]) -> None:
    assert "best artwork stays." in render_report(evaluation, verdicts[:2])
    assert "No candidate was put before the gate." in render_report(evaluation, [])


def test_names_are_escaped_everywhere(page: str, read: Reader) -> None:
    assert HOSTILE not in page
    assert escape(HOSTILE) in page
    assert [tag for tag, _ in read.found].count("script") == 3


def test_every_figure_of_the_estimators_is_in_the_table(evaluation: Evaluation, read: Reader) -> None:
    text = " ".join(read.text)
    for result in evaluation.policies:
        for estimate in result.estimates.values():
            assert f"{estimate.value:.5f}" in text
            assert f"{estimate.low:.5f} … {estimate.high:.5f}" in text
        assert f"{result.support.effective_sample_size:,.1f}" in text
        assert f"{result.support.independent_sample_size:,.1f}" in text
    assert "0.12346" in text
    assert "never is left out: no overlap" in text


def test_a_difference_stands_beside_the_bounds_that_are_its_own(read: Reader, verdicts: list[Verdict]) -> None:
    text = " ".join(" ".join(read.text).split())
    told = [verdict for verdict in verdicts if verdict.bounds is not None]
    assert told
    for verdict in told:
        found, by_decisions = verdict.bounds, verdict.difference
        assert found is not None
        assert by_decisions is not None
        bounds = f"{found.lower:+.5f} … {found.upper:+.5f} level {verdict.level:.3g}"
        assert f"{verdict.candidate} {found.difference:+.5f} {bounds} {by_decisions.value:+.5f}" in text


def figures(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_the_picture_shows_replay_with_intervals_and_the_truth(page: str, evaluation: Evaluation) -> None:
    replay = figures(page)["replay"]
    order = replay["layout"]["yaxis"]["ticktext"]
    assert order[0] == "worse"
    assert "uniform" in order
    assert "never" not in order
    points = [trace for trace in replay["data"] if "error_x" in trace]
    drawn = {(point["x"][0], point["error_x"]["array"][0]) for point in points}
    estimates = [result.estimates["replay"] for result in evaluation.policies if result.estimates]
    assert drawn == {(estimate.value, estimate.high - estimate.value) for estimate in estimates}
    assert [point["x"][0] for point in points] == sorted(point["x"][0] for point in points)
    assert sorted(replay["data"][-1]["x"]) == [0.1234567, 0.31]


def test_the_other_charts_show_days_and_weights(page: str, evaluation: Evaluation) -> None:
    charts = figures(page)
    assert charts["days"]["data"][0]["y"] == [day.take_fraction for day in evaluation.log.days]
    assert charts["days"]["data"][0]["customdata"] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    first = charts["days"]["data"][0]
    highs = [value + up for value, up in zip(first["y"], first["error_y"]["array"], strict=True)]
    assert highs == pytest.approx([day.high for day in evaluation.log.days])
    for trace in charts["weights"]["data"]:
        assert sum(trace["y"]) == pytest.approx(1)


def test_the_same_evaluation_gives_the_same_page(evaluation: Evaluation, verdicts: list[Verdict]) -> None:
    assert render_report(evaluation, verdicts) == render_report(evaluation, verdicts)


def test_a_page_fits_a_phone_and_follows_the_readers_colours(page: str) -> None:
    assert 'content="width=device-width, initial-scale=1"' in page
    assert "prefers-color-scheme: dark" in page
