"""A round is shown with headings, with what its figures mean, and with the gate's word on every candidate."""

import pytest

from pipelines.promotion import judge_candidates
from pipelines.replay import read_round
from pipelines.round_table import show_round
from pipelines.settings import Settings
from tests.pipelines.promotion_world import NAMES, Rounds


def test_a_round_is_shown_with_headings_and_every_verdict(
    settings: Settings, rounds: Rounds, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_round(rounds[2][0])
    audit = judge_candidates(settings, rounds[2][0]).audit
    show_round(found, audit, "report.html")
    shown = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]
    (heading,) = (line for line in shown.splitlines() if line.startswith("┃"))
    headings = ["policy", "by replay, 95 %", "doubly robust, 95 %", "effective sample", "gate"]
    assert [cell.strip() for cell in heading.split("┃")[1:-1]] == headings
    replay = {each.name: each.estimates["replay"] for each in found.evaluation.policies}
    told = {name.removesuffix(" (champion)"): cells for name, *cells in rows}
    assert set(told) == set(NAMES)
    for name, (by_replay, *_, ruling) in told.items():
        assert by_replay == f"{replay[name].value:.5f} ({replay[name].low:.5f}–{replay[name].high:.5f})"
        assert ruling == {each.candidate: each.decision.value for each in audit.verdicts}.get(name, "")
    assert [replay[name].value for name in told] == sorted(each.value for each in replay.values())
    assert "Take fraction: quality plays per impression" in shown
    assert all(f"The gate: {verdict.reason}\n" in shown for verdict in audit.verdicts)

    show_round(found, audit, "report.html", dict.fromkeys(replay, 0.25))
    shown = capsys.readouterr().out
    assert "true value" in shown
    assert shown.count("0.2500") >= len(NAMES)
    assert shown.count("The gate: ") == 1
