"""An audit record holds what a verdict rested on."""

from datetime import UTC, datetime

import msgspec
import pytest

from evaluation.audit import audit_record, decode_audit, decode_past
from evaluation.gate import judge
from evaluation.gate_budget import single_look
from evaluation.gate_check import GateRules
from evaluation.record import Evaluation, encode
from models.error import ContractError
from tests.evaluation.gate_case import RULES


def test_the_audit_record_holds_all_that_was_known_and_turns_into_json_and_back(evaluation: Evaluation) -> None:
    verdicts = [judge(evaluation, name, RULES) for name in ("worse", "taste")]
    record = audit_record(
        evaluation,
        verdicts,
        RULES,
        judged_at=datetime(2026, 11, 4, tzinfo=UTC),
        data_version="decisions@7 rewards@9",
        window_start_at=datetime(2026, 11, 1, tzinfo=UTC),
        window_end_at=datetime(2026, 11, 4, tzinfo=UTC),
        rollback_to="v3",
    )
    assert (record.promoted, record.rollback_to, record.reason) == ("taste", "v3", verdicts[1].reason)
    data = encode(record)
    assert decode_audit(data) == record
    assert (record.look, record.is_spent, record.matured_share) == (single_look(2), True, None)
    past = decode_past(data)
    assert (past.rollback_to, past.look, past.is_spent) == ("v3", record.look, True)
    plain = msgspec.json.decode(data)
    assert plain["rules"]["alpha"] == 0.05
    assert plain["verdicts"][0]["decision"] == "reject"
    assert [check["name"] for check in plain["verdicts"][0]["checks"]][:2] == ["overlap", "profiles"]
    assert plain["evaluation"]["policies"][1]["estimates"]["dr"]["value"] > 0
    for decode in (decode_audit, decode_past):
        with pytest.raises(ContractError, match="not an audit record"):
            decode(data[:-20])


def test_a_round_held_for_want_of_profiles_or_of_rewards_is_no_look(evaluation: Evaluation) -> None:
    moment = datetime(2026, 11, 4, tzinfo=UTC)
    times = {"judged_at": moment, "window_start_at": moment, "window_end_at": moment}
    for rules, share, is_spent in (
        (RULES, 1.0, True),
        (RULES, 0.1, False),
        (GateRules(min_profiles=10_000), 1.0, False),
        (GateRules(min_effective_sample=1e9), 1.0, True),  # what the draws say is not known before the look
    ):
        verdicts = [judge(evaluation, name, rules, matured_share=share) for name in ("worse", "taste")]
        record = audit_record(evaluation, verdicts, rules, **times, data_version="x", rollback_to="v3")
        assert record.is_spent is is_spent


def test_an_audit_record_of_a_round_without_promotion_says_why_for_each(evaluation: Evaluation) -> None:
    verdicts = [judge(evaluation, name, RULES) for name in ("worse", "twin")]
    moment = datetime(2026, 11, 4, tzinfo=UTC)
    times = {"judged_at": moment, "window_start_at": moment, "window_end_at": moment}
    record = audit_record(evaluation, verdicts, RULES, **times, data_version="x", rollback_to="v3")
    assert record.promoted is None
    assert record.reason == f"{verdicts[0].reason} {verdicts[1].reason}"
    naive = times | {"judged_at": datetime(2026, 11, 4)}  # noqa: DTZ001
    with pytest.raises(ContractError, match="judged_at must be aware UTC"):
        audit_record(evaluation, verdicts, RULES, **naive, data_version="x", rollback_to="v3")
