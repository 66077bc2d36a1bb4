"""Rounds of a small world with real features, learner and registry, and verdicts that let through what a test asks."""

import shutil
from pathlib import Path

import pytest

from evaluation.audit import audit_record
from evaluation.gate import Ruling, Verdict
from pipelines.account import gate_rules, keep_audit
from pipelines.promotion import promote, publish
from pipelines.replay import evaluate_candidates, read_round, report_dir
from pipelines.settings import Settings
from pipelines.training import train_candidate
from pipelines.training_set import build_training_set
from tests.pipelines.feature_world import day

NAMES = ("best-artwork", "uniform", "vw-epsilon")


@pytest.fixture(scope="module", name="world")
def made_world(feast_world: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The shared features, with reports, registry and policies of this module's own."""
    shutil.rmtree(feast_world.reports_dir, ignore_errors=True)  # the home is shared: other tests' rounds go first
    registry = tmp_path_factory.mktemp("registry") / "registry.db"
    return feast_world.model_copy(
        update={"registry_url": f"sqlite:///{registry}", "gate_min_profiles": 2, "candidates": NAMES}
    )


@pytest.fixture(scope="module", name="rounds")
def made_rounds(world: Settings) -> dict[int, tuple[str, dict[str, str]]]:
    """Evaluations as of the ends of two days, with the versions by candidate."""
    made = {}
    for number in (1, 2):
        training = build_training_set(world, day(number).end_at)
        versions = {name: train_candidate(world, training.uri, name) for name in NAMES}
        made[number] = (evaluate_candidates(world, training.uri, list(versions.values())), versions)
    return made


@pytest.fixture(name="settings")
def unpublished(world: Settings, tmp_path: Path) -> Settings:
    """A registry-sharing home in which nothing is published yet."""
    return world.model_copy(update={"policy_url": (tmp_path / "policies").as_uri()})


Rounds = dict[int, tuple[str, dict[str, str]]]


def go_live(settings: Settings, rounds: Rounds, number: int, name: str) -> str:
    """Put a version live; it is held against what is live by then, as a run of the DAG does."""
    first, versions = rounds[number]
    evaluation = evaluate_candidates(settings, read_round(first).training_uri, list(versions.values()))
    let_through(settings, evaluation, name)
    promote(settings, evaluation, versions[name])
    publish(settings, evaluation, versions[name])
    return versions[name]


def let_through(settings: Settings, evaluation_uri: str, name: str) -> None:
    """Keep an audit record of the round in which the gate promotes a candidate, whatever it is worth."""
    found, rules = read_round(evaluation_uri), gate_rules(settings)
    verdict = Verdict(name, found.champion, Ruling.PROMOTE, "It may pass.", (), 0.05, lower=1.0)
    audit = audit_record(
        found.evaluation,
        [verdict],
        rules,
        judged_at=found.as_of,
        data_version=found.data_version,
        window_start_at=found.learned_from_at,
        window_end_at=found.learned_through_at,
        rollback_to=found.champion,
    )
    keep_audit(report_dir(settings, found.as_of), audit)
