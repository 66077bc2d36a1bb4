"""Every look at a champion's challengers is counted once, whatever is repeated, killed, or evaluated anew."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evaluation.audit import AuditRecord, decode_audit
from evaluation.evaluation import evaluate
from evaluation.gate_budget import look_share
from evaluation.record import Evaluation, encode
from models.error import ContractError
from models.policy import UniformPolicy
from pipelines.account import AUDIT_FILE
from pipelines.promotion import judge_candidates
from pipelines.replay import EVALUATION_FILE, Round, report_dir, round_uri
from pipelines.settings import Settings
from tests.evaluation.world import TasteFirst, make_world

FIRST_AT = datetime(2026, 11, 1, tzinfo=UTC)
POLICIES = {
    "uniform": UniformPolicy(),
    "taste": TasteFirst(0.1),
    "mild": TasteFirst(0.97),
    "worse": TasteFirst(0.5, -1.0),
}


def evaluation_of(seed: int, champion: str = "uniform", per_profile: int = 8) -> Evaluation:
    world = make_world(np.random.default_rng(seed), n_profiles=300, per_profile=per_profile, ragged=True)
    return evaluate(POLICIES, world.batches(), champion=champion)


@pytest.fixture(scope="module")
def evaluations() -> list[Evaluation]:
    return [evaluation_of(seed) for seed in range(4)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def judge_round(settings: Settings, day: int, evaluation: Evaluation, matured_share: float = 0.9) -> AuditRecord:
    as_of = FIRST_AT + timedelta(days=day)
    names = [name for name in POLICIES if name != evaluation.champion]
    found = Round(
        training_uri="file:///training",
        candidates_url="file:///candidates",
        as_of=as_of,
        learned_from_at=FIRST_AT,
        learned_through_at=as_of,
        data_version=f"day-{day}",
        versions={name: f"{name}-{day}" for name in names},
        champion=evaluation.champion,
        holdout_share=settings.holdout_share,
        evaluation=evaluation,
        matured_share=matured_share,
    )
    path = report_dir(settings, as_of) / EVALUATION_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(found))
    return judge_candidates(settings, round_uri(settings, as_of)).audit


def audit_path(settings: Settings, day: int) -> Path:
    return report_dir(settings, FIRST_AT + timedelta(days=day)) / AUDIT_FILE


def test_each_round_is_the_next_look_and_has_its_own_share_alone(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    audits = [judge_round(settings, day, evaluations[day]) for day in range(3)]
    assert [audit.look.number for audit in audits] == [1, 2, 3]
    assert {audit.look.share for audit in audits} == {look_share(1)}
    levels = [verdict.level for audit in audits for verdict in audit.verdicts]
    assert levels == pytest.approx([settings.gate_alpha * look_share(1) / 3] * 9)


def test_looks_are_planned_by_the_interval_and_a_reign_keeps_its_plan(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    hourly = settings.model_copy(update={"interval_hours": 1.0, "gate_planned_days": 10.0})
    first = judge_round(hourly, 0, evaluations[0])
    assert (first.look.n_planned, first.look.share) == (240, look_share(1, 240))
    assert judge_round(settings, 0, evaluations[0]).look == first.look
    assert judge_round(settings, 1, evaluations[1]).look.n_planned == 240


def test_after_a_promotion_and_a_rollback_a_candidate_has_no_higher_level_than_before(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    first = judge_round(settings, 0, evaluation_of(5, per_profile=40))
    assert first.promoted == "taste", first.reason
    judge_round(settings, 1, evaluation_of(9, champion="taste"))  # its own reign, which a rollback ends
    back = judge_round(settings, 2, evaluations[1])
    assert back.look.number == 2
    assert {verdict.level for verdict in back.verdicts} == {verdict.level for verdict in first.verdicts}


def test_judging_a_round_again_changes_nothing_even_after_later_ones(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    for day in range(3):
        judge_round(settings, day, evaluations[day])
    before = {path: path.read_bytes() for path in settings.reports_dir.rglob("*.json")}
    for day in (1, 0, 2):
        judge_round(settings, day, evaluations[day])
    assert {path: path.read_bytes() for path in settings.reports_dir.rglob("*.json")} == before


def test_a_round_judged_after_its_record_was_lost_in_a_kill_is_what_it_would_have_been(
    settings: Settings, evaluations: list[Evaluation], tmp_path: Path
) -> None:
    judge_round(settings, 0, evaluations[0])
    whole = judge_round(settings, 1, evaluations[1])
    audit_path(settings, 1).unlink()
    again = judge_round(settings, 1, evaluations[1])
    assert msgspec.structs.replace(again, judged_at=whole.judged_at) == whole


def test_a_round_evaluated_anew_is_another_look_and_the_first_is_not_forgotten(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    first = judge_round(settings, 0, evaluations[0])
    anew = judge_round(settings, 0, evaluations[1])
    assert (first.look.number, anew.look.number) == (1, 2)
    kept = [decode_audit(path.read_bytes()) for path in audit_path(settings, 0).parent.glob("audit-*.json")]
    assert sorted(kept, key=lambda record: record.look.number) == [first, anew]
    third = judge_round(settings, 1, evaluations[2])
    assert third.look.number == 3
    assert judge_round(settings, 0, evaluations[1]) == anew
    assert len(list(settings.reports_dir.rglob("audit-*.json"))) == 3


def test_a_new_champion_starts_an_account_of_its_own_and_an_old_one_goes_on_with_its_own(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    judge_round(settings, 0, evaluations[0])
    other = judge_round(settings, 1, evaluation_of(9, champion="mild"))
    assert other.look.number == 1
    assert judge_round(settings, 2, evaluations[1]).look.number == 2


def test_a_round_with_too_few_mature_rewards_is_no_look(settings: Settings, evaluations: list[Evaluation]) -> None:
    early = judge_round(settings, 0, evaluations[0], matured_share=0.2)
    assert (early.is_spent, early.promoted) == (False, None)
    assert all("of the window's rewards is known" in verdict.reason for verdict in early.verdicts)
    assert judge_round(settings, 1, evaluations[1]).look.number == 1


def test_an_audit_record_that_cannot_be_read_stops_the_gate_and_is_named(
    settings: Settings, evaluations: list[Evaluation]
) -> None:
    judge_round(settings, 0, evaluations[0])
    (path,) = audit_path(settings, 0).parent.glob("audit-*.json")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ContractError, match=rf"not an audit record.*{path.name}"):
        judge_round(settings, 1, evaluations[1])
    assert not audit_path(settings, 1).exists()


def test_the_rules_are_those_of_the_settings(settings: Settings, evaluations: list[Evaluation]) -> None:
    strict = settings.model_copy(
        update={"gate_alpha": 0.01, "gate_min_matured_share": 0.95, "gate_max_segment_loss": 0.03}
    )
    audit = judge_round(strict, 0, evaluations[0])
    assert (audit.rules.alpha, audit.rules.min_matured_share, audit.rules.max_segment_loss) == (0.01, 0.95, 0.03)
    assert all(not verdict.is_sound for verdict in audit.verdicts)
