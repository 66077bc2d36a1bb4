"""A person sees which policies there are and promotes one by name: what the gate let through, and nothing else."""

import json
import re
import sys

import pytest
from typer.testing import CliRunner

from evaluation.gate import Ruling
from models.error import ContractError, NotApprovedError
from pipelines.change import Kind, changes
from pipelines.cli import app, main
from pipelines.known_policy import KnownPolicy, known_policies
from pipelines.promotion import judge_candidates, promote_by_hand, publish_champion
from pipelines.registry import Registry
from pipelines.rollback import rollback
from pipelines.settings import Settings, environment_of
from tests.pipelines.feature_world import day
from tests.pipelines.promotion_world import NAMES, Rounds, go_live, let_through


@pytest.fixture(autouse=True)
def unjudged(settings: Settings, rounds: Rounds) -> None:
    """Two rounds that the gate was never asked about, and no champion."""
    for path in settings.reports_dir.glob("*/audit*.json"):
        path.unlink()
    Registry(settings.registry_uri).vacate()


def known(settings: Settings, version: str) -> KnownPolicy:
    (found,) = (each for each in known_policies(settings, 9).versions if each.version == version)
    return found


def test_versions_are_listed_with_what_the_gate_said_and_which_is_live(settings: Settings, rounds: Rounds) -> None:
    first = go_live(settings, rounds, 1, "best-artwork")
    found = known_policies(settings, 9)
    assert (found.live, found.champion, found.n_older) == (first, first, 0)
    assert [each.as_of for each in found.versions] == [day(2).end_at] * 3 + [day(1).end_at] * 3
    by_version = {each.version: each for each in found.versions}
    assert set(by_version) == {version for _, versions in rounds.values() for version in versions.values()}
    assert [each.version for each in found.versions if each.is_live and each.is_champion] == [first]
    assert (by_version[first].decision, by_version[first].reason) == (Ruling.PROMOTE, "It may pass.")
    assert {each.decision for each in found.versions if each.version != first} == {None}

    go_live(settings, rounds, 2, "vw-epsilon")
    rollback(settings)
    withdrawn = known(settings, rounds[2][1]["vw-epsilon"])
    assert withdrawn.withdrawn_at is not None
    assert (withdrawn.decision, withdrawn.is_live, withdrawn.is_champion) == (Ruling.PROMOTE, False, False)
    newest = known_policies(settings, 1)
    assert {each.version for each in newest.versions} == {*rounds[2][1].values(), first}, "the live one is always there"
    assert newest.n_older == 2


def test_before_the_first_training_there_is_nothing_and_looking_makes_nothing(tmp_path) -> None:
    environment = {"MARQUEE_HOME": str(tmp_path / "new")}
    shown = CliRunner().invoke(app, ["policies"], env=environment)
    assert (shown.exit_code, shown.stdout) == (0, "0 versions. Champion: none. Live: uniform.\n")
    assert not list(tmp_path.iterdir())


def test_a_candidate_of_the_newest_round_is_promoted_by_its_name(settings: Settings, rounds: Rounds) -> None:
    evaluation, versions = rounds[2]
    let_through(settings, evaluation, "vw-epsilon")
    assert promote_by_hand(settings, "vw-epsilon").champion == versions["vw-epsilon"]
    assert publish_champion(settings).version == versions["vw-epsilon"]
    last = changes(settings)[-1]
    assert (last.kind, last.version, last.by_hand) == (Kind.PUBLICATION, versions["vw-epsilon"], True)
    assert known(settings, versions["vw-epsilon"]).is_live


def test_what_no_verdict_promotes_is_not_promoted_by_hand_either(settings: Settings, rounds: Rounds) -> None:
    evaluation, versions = rounds[2]
    version = versions["vw-epsilon"]
    with pytest.raises(NotApprovedError, match=f"{version} can be promoted once .*: the gate was never asked"):
        promote_by_hand(settings, "vw-epsilon")
    let_through(settings, evaluation, "best-artwork")
    with pytest.raises(NotApprovedError, match="never asked"):
        promote_by_hand(settings, version)
    judged = judge_candidates(settings.model_copy(update={"gate_min_profiles": 10_000}), evaluation)
    (reason,) = (each.reason for each in judged.audit.verdicts if each.candidate == "vw-epsilon")
    with pytest.raises(NotApprovedError, match=re.escape(reason)):
        promote_by_hand(settings, version)
    assert Registry(settings.registry_uri).champion() is None
    promote_by_hand(settings, "best-artwork")  # a later look at its round holds it; one let it through


def test_a_person_may_answer_for_what_no_verdict_promotes_and_the_record_says_so(
    settings: Settings, rounds: Rounds
) -> None:
    evaluation, versions = rounds[2]
    assert promote_by_hand(settings, "vw-epsilon", unproven=True).champion == versions["vw-epsilon"]
    last = changes(settings)[-1]
    assert (last.version, last.by_hand, last.unproven) == (versions["vw-epsilon"], True, True)
    let_through(settings, evaluation, "best-artwork")
    promote_by_hand(settings, "best-artwork", unproven=True)
    last = changes(settings)[-1]
    assert (last.version, last.by_hand, last.unproven) == (versions["best-artwork"], True, False), "it was let through"


def test_an_unknown_name_is_answered_by_the_names_there_are(settings: Settings, rounds: Rounds) -> None:
    for name in ("thompson", "../vw-epsilon", "vw-epsilon' or name='x"):
        with pytest.raises(ContractError, match="expected a candidate of the newest round") as told:
            promote_by_hand(settings, name)
        assert all(f"{each} ({rounds[2][1][each]})" in str(told.value) for each in NAMES)
        assert repr(name) in str(told.value)


def test_the_command_lists_and_promotes_and_ends_with_1_where_the_gate_refused(
    settings: Settings, rounds: Rounds, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation, versions = rounds[2]
    let_through(settings, evaluation, "best-artwork")
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["marquee", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    code, said, told = run("promote", "vw-epsilon")
    assert (code, said) == (1, "")
    assert told.startswith(f"marquee: {versions['vw-epsilon']} can be promoted once the gate lets it through")
    code, said, told = run("promote", "thompson")
    assert (code, said) == (2, "")
    assert "`marquee policies` lists" in told
    code, said, _ = run("promote", "best-artwork", "--json")
    assert (code, json.loads(said)) == (0, {"champion": versions["best-artwork"]})
    code, said, _ = run("policies", "--rounds", "1")
    assert code == 0
    (line,) = (each for each in said.splitlines() if versions["best-artwork"] in each and "│" in each)
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        versions["best-artwork"], "2026-11-04 00:00", "promote", "champion",
    ]  # fmt: skip
    last = said.splitlines()[-1]
    assert last == f"3 versions, and 3 older ones (--rounds). Champion: {versions['best-artwork']}. Live: uniform."
    code, said, _ = run("policies", "--json")
    assert [each["version"] for each in json.loads(said)["versions"] if each["is_champion"]] == [
        versions["best-artwork"]
    ]
