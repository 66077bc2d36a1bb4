"""The tables of a report, and the few pieces of HTML that it is put together from."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from evaluation.chart import Chart
from evaluation.estimator import ESTIMATOR_WORDS
from evaluation.gate import Verdict
from evaluation.interval import Estimate
from evaluation.log_check import DrawTest
from evaluation.record import Comparison, Evaluation, PolicyResult
from evaluation.title_draw import TitleTest

_WORDS = "\0"  # begins a cell of prose, which may break into lines


def estimator_table(evaluation: Evaluation, truth: Mapping[str, float]) -> str:
    """Lay out every estimator of every policy, with its interval."""
    head = ["policy", *ESTIMATOR_WORDS.values()] + (["true value"] if truth else [])
    rows = []
    for result in evaluation.policies:
        cells = [escape(result.name)]
        cells += [_estimate(result.estimates.get(name)) for name in ESTIMATOR_WORDS]
        if truth:
            cells.append(f"{truth[result.name]:.5f}" if result.name in truth else "–")
        rows.append(cells)
    return table(head, rows)


def difference_table(evaluation: Evaluation, verdicts: Sequence[Verdict]) -> str:
    """Lay out what every candidate differs from the champion, and the gate's word on it."""
    said = {verdict.candidate: verdict for verdict in verdicts}
    rows = []
    for comparison in evaluation.comparisons:
        verdict = said.get(comparison.candidate)
        votes = bounds = "–"
        if verdict is not None and verdict.bounds is not None:
            votes = f"{verdict.bounds.difference:+.5f}"
            bounds = (
                f"{verdict.bounds.lower:+.5f} … {verdict.bounds.upper:+.5f}<small>level {verdict.level:.3g}</small>"
            )
        intervals = (_estimate(each, "+") for each in (comparison.difference, comparison.bootstrap))
        cells = [escape(comparison.candidate), votes, bounds, *intervals]
        cells.append(word(verdict) if verdict else "not judged")
        rows.append(cells)
    share = f"{evaluation.confidence:.0%}"
    by_decisions = (f"by decisions, {share}", f"the same by bootstrap, {share}")
    head = ("candidate", "by votes", "its one-sided bounds", *by_decisions, "verdict")
    return table(head, rows)


def segment_table(comparison: Comparison) -> str:
    """Lay out all segments of a comparison, folded away until somebody asks for it."""
    rows = []
    for part in comparison.segments:
        bounds = "too few profiles" if part.low is None or part.high is None else f"{part.low:+.5f} … {part.high:+.5f}"
        cells = [escape(f"{part.dimension}: {part.name}"), f"{part.n_decisions:,}", f"{part.n_profiles:,}"]
        rows.append([*cells, f"{part.difference.value:+.5f}" if part.difference else "–", bounds])
    head = ("segment", "decisions", "profiles", "difference", "simultaneous interval")
    return f"<details><summary>As a table</summary>{table(head, rows)}</details>"


def support_table(evaluation: Evaluation, names: Sequence[str]) -> str:
    """Lay out how much of the log speaks for each of `names`."""
    head = ("policy", "effective sample", "independent", "mean weight", "largest", "zero", "matched", "changed share")
    return table(head, (_support_cells(evaluation.policy(name)) for name in names))


def _support_cells(result: PolicyResult) -> tuple[str, ...]:
    support = result.support
    return (
        escape(result.name),
        f"{support.effective_sample_size:,.1f}",
        f"{support.independent_sample_size:,.1f}",
        f"{support.mean_weight:.4f}<small>± {support.mean_weight_error:.4f}</small>",
        f"{support.max_weight:,.2f}",
        f"{support.n_zero_weight:,}",
        f"{result.n_matched:,.0f}",
        f"{support.changed_share:.3f}",
    )


def log_table(evaluation: Evaluation) -> str:
    """Lay out what is known of the log itself."""
    log, model = evaluation.log, evaluation.reward_model
    rows = (
        ("take fraction of the log", _estimate(log.take_fraction)),
        ("decisions with a reward", f"{log.n_rewarded:,} of {log.n_decisions:,}"),
        ("smallest propensity", f"{evaluation.policies[0].support.min_propensity:.3g}"),
        ("sample ratio of the uniform cell", _test(evaluation.sample_ratio)),
        ("its artworks, title by title", _title_test(evaluation.title_ratio)),
        ("propensities against draws", _test(evaluation.calibration)),
        (
            "reward model, squared error",
            f"{model.error:.5f}<small>{model.baseline_error:.5f} for the mean alone</small>",
        ),
    )
    return table(("", ""), rows)


def _test(test: DrawTest) -> str:
    seen = f"{test.n_decisions:,} decisions" + (f", {test.n_left_out:,} left out" if test.n_left_out else "")
    return f"{'not tested' if test.p_value is None else f'p = {test.p_value:.3g}'}<small>{seen}</small>"


def _title_test(test: TitleTest | None) -> str:
    if test is None or test.p_one is None or test.p_many is None or test.worst is None:
        return "not tested"
    worst = test.worst
    share = f"{worst.share:.3f} of {worst.n_draws:,} for {worst.expected:.3f}"
    seen = f"{test.n_draws:,} draws of {test.n_titles:,} titles; farthest off: {worst.title}, {worst.artwork}, {share}"
    return f"p = {test.p_one:.3g} for one, {test.p_many:.3g} for all<small>{escape(seen)}</small>"


def _estimate(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:{sign}.5f}<small>{estimate.low:{sign}.5f} … {estimate.high:{sign}.5f}</small>"


def words(text: str) -> str:
    """Mark a cell that may break into lines."""
    return f"{_WORDS}{escape(text)}"


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay cells, which are HTML already, out in a table that scrolls by itself where it is too wide."""
    top = "".join(_cell("th", cell) for cell in head)
    body = "".join(f"<tr>{''.join(_cell('td', cell) for cell in row)}</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(tag: str, cell: str) -> str:
    return f"<{tag} class='words'>{cell[1:]}</{tag}>" if cell[:1] == _WORDS else f"<{tag}>{cell}</{tag}>"


def section(name: str, words: str, *parts: str) -> str:
    """Make a section of the page with a heading, a note and its parts, which are HTML already."""
    note = f"<p class='soft'>{escape(words)}</p>" if words else ""
    return f"<section><h2>{escape(name)}</h2>{note}{''.join(parts)}</section>"


def drawn(name: str, chart: Chart) -> str:
    """Make the place of a chart, with its legend above."""
    legend = "".join(f"<li><i style='background:{colour}'></i>{escape(label)}</li>" for colour, label in chart.legend)
    return (
        f"<ul class='legend'>{legend}</ul>"
        f"<div class='chart' id='{name}' role='img' aria-label='{escape(chart.spoken)}'></div>"
    )


def word(verdict: Verdict) -> str:
    """Write a ruling as a coloured word."""
    return f"<span class='word {verdict.decision.value}'>{verdict.decision.value}</span>"
