"""The audit record: everything a verdict rested on, as JSON that can be read years later.

Audit records are also where the gate keeps its account: which looks of a champion's reign were taken. Nothing else is
remembered between looks.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, TypeVar

import msgspec

from evaluation.gate import Verdict, choose
from evaluation.gate_budget import PLANNED_LOOKS, Look, next_look, single_look
from evaluation.gate_check import COUNTING, Check, GateRules
from evaluation.record import Evaluation
from models.error import ContractError

_Record = TypeVar("_Record")


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One round of the gate.

    `look` is how much of the error budget it had, and `is_spent` whether it could have used any: a round of which
    everything was held for want of profiles or of mature rewards was no look, and the next one has its number.
    `matured_share` is the share of the window's rewards that were known, where that was told. `data_version` names the
    data that was judged on (lake versions, or any stable name) and the window bounds the decisions. `promoted` is the
    chosen candidate, None if all were held or rejected. `rollback_to` is the policy version that was live before: where
    `marquee rollback` goes back to.
    """

    format: Literal["marquee-audit-1"] = "marquee-audit-1"
    judged_at: datetime
    data_version: str
    window_start_at: datetime
    window_end_at: datetime
    rules: GateRules
    look: Look
    is_spent: bool
    matured_share: float | None
    promoted: str | None
    rollback_to: str
    reason: str
    verdicts: tuple[Verdict, ...]
    evaluation: Evaluation

    def __post_init__(self) -> None:
        for name in ("judged_at", "window_start_at", "window_end_at"):
            if getattr(self, name).tzinfo is None:
                raise ContractError(f"{name} must be aware UTC, got {getattr(self, name)}")


def audit_record(
    evaluation: Evaluation,
    verdicts: Sequence[Verdict],
    rules: GateRules,
    *,
    judged_at: datetime,
    data_version: str,
    window_start_at: datetime,
    window_end_at: datetime,
    rollback_to: str,
    look: Look | None = None,
    matured_share: float | None = None,
) -> AuditRecord:
    """Write down one round of the gate; `promoted` and `reason` follow from the verdicts (`gate.choose`)."""
    chosen = choose(verdicts)
    reason = chosen.reason if chosen else " ".join(verdict.reason for verdict in verdicts) or "There was no candidate."
    return AuditRecord(
        judged_at=judged_at,
        data_version=data_version,
        window_start_at=window_start_at,
        window_end_at=window_end_at,
        rules=rules,
        look=look or single_look(len(verdicts)),
        is_spent=any(_is_look(verdict.checks) for verdict in verdicts),
        matured_share=matured_share,
        promoted=chosen.candidate if chosen else None,
        rollback_to=rollback_to,
        reason=reason,
        verdicts=tuple(verdicts),
        evaluation=evaluation,
    )


class PastLook(msgspec.Struct, frozen=True, kw_only=True):
    """What an account needs of an audit record; `rollback_to` is the champion of the reign."""

    rollback_to: str
    look: Look
    is_spent: bool


def plan_look(
    past: Iterable[PastLook],
    champion: str,
    n_candidates: int,
    *,
    n_planned: int = PLANNED_LOOKS,
    again: Look | None = None,
) -> Look:
    """Give a round its place in the account of a champion's reign.

    Records of one number are one look, judged again under other rules. A reign keeps the plan that it began with: two
    plans together would spend more than there is.

    Args: past, all other rounds ever judged; n_planned, how many looks a reign that begins now is planned for; again,
    the look that this round was when it was judged before: it keeps its number if that is still its own.
    """
    taken = {each.look.number: each.look for each in past if each.rollback_to == champion and each.is_spent}
    number = max(taken, default=0) + 1 if again is None or again.number in taken else again.number
    first = taken[min(taken)] if taken else again
    return next_look(number, n_candidates, first.n_planned if first else n_planned)


def decode_audit(data: bytes) -> AuditRecord:
    """Turn JSON (`record.encode`) back into an audit record.

    Raises:
        ContractError: naming the field, if it is not one.
    """
    return _decode(data, AuditRecord)


def decode_past(data: bytes) -> PastLook:
    """Read of an audit record only what the account of its reign needs.

    Raises:
        ContractError: naming the field, if it is not one.
    """
    return _decode(data, PastLook)


def _decode(data: bytes, kind: type[_Record]) -> _Record:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ContractError(f"not an audit record: {error}") from error


def _is_look(checks: Sequence[Check]) -> bool:
    return all(check.passed for check in checks if check.name in COUNTING)
