"""Pages and their decisions."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import Cell, Decision, Page, RequestContext
from models.error import ContractError
from models.event import decode_line, encode_lines

DECISION: dict[str, Any] = {
    "decision_id": "d-1",
    "title_id": "t-1",
    "artwork_id": "a-2",
    "actions": ("a-1", "a-2"),
    "propensity": 0.25,
}
PAGE: dict[str, Any] = {
    "page_id": "p-1",
    "decided_at": datetime(2026, 11, 1, 12, tzinfo=UTC),
    "profile_id": "who",
    "policy_version": "uniform",
    "cell": Cell.LIVE,
    "epoch": 20_758,
    "feature_service": "artwork_ranker_v1",
    "context": RequestContext(device="tv", local_hour=20),
    "decisions": (Decision(**DECISION),),
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"propensity": 0.0}, "propensity must be in (0, 1], got 0.0"),
        ({"propensity": -0.1}, "propensity"),
        ({"propensity": 1.0000001}, "propensity"),
        ({"propensity": float("nan")}, "propensity"),
        ({"artwork_id": "a-3"}, "one of actions, got 'a-3'"),
        ({"actions": ("a-2", "a-2")}, "repeat"),
        ({"actions": ()}, "one of actions"),
        ({"title_id": ""}, "title_id"),
        ({"decision_id": ""}, "decision_id"),
        ({"score": float("inf")}, "score"),
        ({"row": -1}, "row"),
        ({"column": -1}, "column"),
    ],
)
def test_a_decision_that_cannot_be_is_refused_by_id(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError) as caught:
        Decision(**{**DECISION, **change})
    assert said in str(caught.value)
    assert f"decision_id={change.get('decision_id', 'd-1')}" in str(caught.value)


@pytest.mark.parametrize("change", [{"decided_at": datetime(2026, 11, 1)}, {"profile_id": ""}])  # noqa: DTZ001
def test_a_page_that_cannot_be_is_refused_by_id(change: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=r"page_id=p-1"):
        Page(**{**PAGE, **change})


@pytest.mark.parametrize("change", [{"local_hour": 24}, {"local_hour": -1}, {"day_of_week": 7}, {"day_of_week": -1}])
def test_a_time_of_day_or_week_that_does_not_exist_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ContractError, match=next(iter(change))):
        RequestContext(**change)


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    actions = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    return Decision(
        decision_id=draw(IDS),
        title_id=draw(IDS),
        artwork_id=draw(st.sampled_from(actions)),
        actions=tuple(actions),
        propensity=draw(st.floats(0, 1, exclude_min=True)),
        intent=draw(st.sampled_from(["live", "fallback:no-policy"])),
        row=draw(st.integers(0, 100)),
        column=draw(st.integers(0, 100)),
        score=draw(st.floats(allow_nan=False, allow_infinity=False)),
        features=draw(st.binary(max_size=40)),
    )


@given(
    made=st.lists(decisions(), max_size=3),
    decided_at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    profile_id=IDS,
    vector=st.binary(max_size=40),
)
def test_a_page_is_read_from_the_log_as_it_was_written(
    made: list[Decision], decided_at: datetime, profile_id: str, vector: bytes
) -> None:
    changes = {"decisions": tuple(made), "decided_at": decided_at, "profile_id": profile_id, "profile_features": vector}
    page = Page(**{**PAGE, **changes})
    lines = encode_lines([page])
    assert lines.count(b"\n") == 1
    assert decode_line(lines) == page


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Decision(**DECISION).propensity = 1.0  # type: ignore[misc]


def test_a_propensity_is_logged_to_the_last_bit() -> None:
    for propensity in (1 / 3, 0.1 + 0.2, 5e-324, 1.0):
        page = Page(**{**PAGE, "decisions": (msgspec.structs.replace(Decision(**DECISION), propensity=propensity),)})
        again = decode_line(encode_lines([page]))
        assert isinstance(again, Page)
        assert again.decisions[0].propensity == propensity
