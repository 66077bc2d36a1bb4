"""The report: one HTML file that opens offline, with the verdict on top and the charts below it."""

import json
from collections.abc import Mapping, Sequence
from html import escape

from plotly.offline import get_plotlyjs

from evaluation.chart import Chart, replay_chart, weight_chart
from evaluation.chart_part import day_chart, has_tastes, segment_chart, taste_chart
from evaluation.gate import Verdict, choose
from evaluation.record import Evaluation
from evaluation.report_page import POLICY, SCRIPT, STYLE
from evaluation.report_table import (
    difference_table,
    drawn,
    estimator_table,
    log_table,
    section,
    segment_table,
    support_table,
    table,
    word,
    words,
)


def render_report(
    evaluation: Evaluation,
    verdicts: Sequence[Verdict],
    *,
    truth: Mapping[str, float] | None = None,
    title: str = "Marquee: evaluation by replay",
    role: str = "champion",
) -> str:
    """Write the whole page.

    Args:
        evaluation: what was found.
        verdicts: the gate's, one a candidate; the chosen one comes first.
        truth: true take fractions by policy, where a simulator knows them.
        title: of the page.
        role: what the policy is that the candidates are held against.
    """
    names = _order(evaluation, verdicts)
    charts = {
        "replay": replay_chart(evaluation, truth or {}),
        "weights": weight_chart(evaluation, names),
        "days": day_chart(evaluation, names),
        **_part_charts(evaluation, names),
    }
    figures = json.dumps({name: chart.figure for name, chart in charts.items()}, allow_nan=False)
    body = "\n".join((
        _heading(evaluation, title, role),
        _verdict_section(verdicts),
        section("Take fraction by replay", _replay_words(evaluation), drawn("replay", charts["replay"])),
        section("Every estimator", _ESTIMATOR_NOTE, estimator_table(evaluation, truth or {})),
        section(
            f"Against {evaluation.champion}",
            _difference_note(evaluation.champion),
            difference_table(evaluation, verdicts),
        ),
        _segment_section(evaluation, names, charts),
        _taste_section(charts),
        section("Day by day", _DAY_NOTE, drawn("days", charts["days"])),
        section(
            "Importance weights", _WEIGHT_NOTE, drawn("weights", charts["weights"]), support_table(evaluation, names)
        ),
        section("The log", "", log_table(evaluation)),
    ))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f'<script type="application/json" id="charts">{_inert(figures)}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


_ESTIMATOR_NOTE = (
    "All estimate the same: takes per impression if the policy had decided. Replay weighs each logged decision by how "
    "likely the policy shows the same artwork; averaged over the draws of a policy that draws, it is SNIPS by another "
    "way. The gate decides by doubly robust differences in which profiles vote (below)."
)
_WEIGHT_NOTE = (
    "A weight is how much more often the policy does what the log did. The effective sample size says how many equally "
    "weighted decisions the estimate is worth, a sticky draw counted as often as it was seen. The gate asks for "
    "independent ones: what is left when repeats count for nothing."
)
_DAY_NOTE = (
    "Replay of each UTC day, with an interval for each day by itself. Days with few matches jump about: that alone "
    "says nothing."
)
_TASTE_NOTE = (
    "What is shown to whom: each row is a profile's strongest taste, each column an artwork's strongest style, each "
    "cell the share of the row's decisions that show such an artwork."
)


def _order(evaluation: Evaluation, verdicts: Sequence[Verdict]) -> list[str]:
    """Name the policies: chosen first, then the champion, then the rest by their lower bound."""
    chosen = choose(verdicts)
    bounds = {verdict.candidate: verdict.lower for verdict in verdicts if verdict.lower is not None}
    first = [chosen.candidate] if chosen else []
    rest = sorted(
        (result.name for result in evaluation.policies if result.name not in {*first, evaluation.champion}),
        key=lambda name: (-bounds.get(name, float("-inf")), name),
    )
    return [*first, evaluation.champion, *rest]


def _leading(evaluation: Evaluation, names: Sequence[str]) -> str | None:
    """Name the candidate that the report takes apart: the first that could be compared with the champion."""
    compared = {each.candidate for each in evaluation.comparisons if each.difference is not None}
    return next((name for name in names if name in compared), None)


def _part_charts(evaluation: Evaluation, names: Sequence[str]) -> dict[str, Chart]:
    leading = _leading(evaluation, names)
    if leading is None:
        return {}
    charts = {"segments": segment_chart(evaluation.comparison(leading))}
    if has_tastes(evaluation):
        pair = (leading, evaluation.champion)
        charts |= {f"tastes-{place}": taste_chart(evaluation, name, pair) for place, name in enumerate(pair)}
    return charts


def _segment_section(evaluation: Evaluation, names: Sequence[str], charts: Mapping[str, Chart]) -> str:
    leading = _leading(evaluation, names)
    if leading is None:
        return ""
    note = (
        f"{leading} less {evaluation.champion}, doubly robust, by segment. The intervals of all segments hold at once "
        f"at {evaluation.confidence:.0%}; that of all decisions by itself."
    )
    parts = segment_table(evaluation.comparison(leading))
    return section("Segments", note, drawn("segments", charts["segments"]), parts)


def _taste_section(charts: Mapping[str, Chart]) -> str:
    parts = [drawn(name, chart) for name, chart in charts.items() if name.startswith("tastes-")]
    return section("Which artworks are chosen for which tastes", _TASTE_NOTE, *parts) if parts else ""


def _difference_note(champion: str) -> str:
    return (
        f"Doubly robust, candidate less {champion}, paired by profile. The gate decides by votes, of which a profile "
        "has one at most, however much it was shown, and by the one-sided bounds of their mean. By decisions, all "
        "count alike."
    )


def _heading(evaluation: Evaluation, title: str, role: str) -> str:
    log = evaluation.log
    return (
        f"<h1>{escape(title)}</h1>\n<p class='soft'>{log.n_decisions:,} decisions of {log.n_profiles:,} profiles, "
        f"{log.first_decided_at:%Y-%m-%d %H:%M} to {log.last_decided_at:%Y-%m-%d %H:%M} UTC; {escape(role)} "
        f"{escape(evaluation.champion)}</p>"
    )


def _verdict_section(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return section("Verdict", "No candidate was put before the gate.")
    chosen = choose(verdicts)
    ordered = sorted(verdicts, key=lambda verdict: (verdict is not chosen, -(verdict.lower or -1e9), verdict.candidate))
    head = (
        f"{escape(chosen.candidate)} takes the place of {escape(chosen.champion)}."
        if chosen
        else f"{escape(ordered[0].champion)} stays."
    )
    items = "".join(
        f"<details{' open' if place == 0 else ''}><summary>{word(verdict)} {escape(verdict.candidate)}</summary>"
        f"<p>{escape(verdict.reason)}</p>{_checks(verdict)}</details>"
        for place, verdict in enumerate(ordered)
    )
    return f"<section id='verdict'><h2>Verdict: {head}</h2>{items}</section>"


def _checks(verdict: Verdict) -> str:
    n_passed = sum(check.passed for check in verdict.checks)
    rows = (
        (escape(check.name.replace("_", " ")), "passed" if check.passed else "<b>failed</b>", words(check.detail))
        for check in verdict.checks
    )
    summary = f"{n_passed} of {len(verdict.checks)} checks passed"
    return f"<details><summary>{summary}</summary>{table(('check', '', words('what was seen')), rows)}</details>"


def _replay_words(evaluation: Evaluation) -> str:
    left_out = [result for result in evaluation.policies if not result.estimates]
    note = "What came of the logged decisions in which the policy shows the same artwork as the log did."
    return " ".join((note, *(f"{result.name} is left out: {result.problem}." for result in left_out)))


def _inert(figures: str) -> str:
    """Keep JSON from ending its own script element."""
    return figures.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
