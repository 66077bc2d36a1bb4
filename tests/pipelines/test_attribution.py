from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from models.reward import QUALITY_RULES
from pipelines.attribution import attribution
from pipelines.table import IMPRESSIONS, PLAYS, REWARDS
from tests.pipelines.event_log import at

RULE = QUALITY_RULES["quality-play-1"]
WINDOW, GRACE = timedelta(hours=48), timedelta(hours=6)
MATURITY = WINDOW + GRACE


@dataclass(frozen=True)
class Seen:
    decision_id: str
    seen_at: datetime
    received_at: datetime
    profile_id: str = "p"
    title_id: str = "t"

    def row(self) -> dict[str, object]:
        decided_at = at(-24 * 30)
        return {name: getattr(self, name, None) for name in IMPRESSIONS.schema.names} | {
            "artwork_id": f"art-{self.decision_id}",
            "decided_at": decided_at,
        }


@dataclass(frozen=True)
class Played:
    play_id: str
    started_at: datetime
    received_at: datetime
    minutes: float = 1.0
    completion: float = 0.0
    profile_id: str = "p"
    title_id: str = "t"

    def row(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in PLAYS.schema.names}


def seen(decision_id: str, hour: float, received: float | None = None) -> Seen:
    return Seen(decision_id, at(hour), at(hour if received is None else received))


def played(play_id: str, hour: float, received: float | None = None, minutes: float = 10.0) -> Played:
    return Played(play_id, at(hour), at(hour if received is None else received), minutes)


@pytest.fixture(scope="module")
def sql() -> str:
    return str(ibis.to_sql(_expression(), dialect="duckdb"))


def _expression() -> ibis.Table:
    tables = (ibis.table(ibis.Schema.from_pyarrow(one.schema), name=one.name) for one in (IMPRESSIONS, PLAYS))
    return attribution(*tables, window=WINDOW, grace=GRACE, rule=RULE)


def rewards(sql: str, exposures: list[Seen], plays: list[Played]) -> dict[str, dict[str, object]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("impressions", pa.Table.from_pylist([one.row() for one in exposures], IMPRESSIONS.schema))
        connection.register("plays", pa.Table.from_pylist([one.row() for one in plays], PLAYS.schema))
        rows = connection.sql(sql).to_arrow_table().cast(REWARDS.schema).to_pylist()
    found = {row["decision_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def obvious(exposures: list[Seen], plays: list[Played]) -> dict[str, tuple[datetime, float, float, str | None]]:
    """The same rewards, one play at a time: (first seen, reward, minutes, play) of each decision."""
    in_time = [one for one in exposures if one.received_at <= one.seen_at + MATURITY]
    first = {one.decision_id: min(x.seen_at for x in in_time if x.decision_id == one.decision_id) for one in in_time}
    credited: dict[str, list[Played]] = {name: [] for name in first}
    for name in {one.play_id for one in plays}:
        reports = [one for one in plays if one.play_id == name]
        play = min(reports, key=lambda one: (one.received_at, one.started_at, one.minutes, one.completion))
        touches = []
        for one in in_time:
            # Of a repeated report of one (decision, moment), the first decides when it was known.
            known_at = min(
                x.received_at for x in in_time if (x.decision_id, x.seen_at) == (one.decision_id, one.seen_at)
            )
            if (
                (one.profile_id, one.title_id) == (play.profile_id, play.title_id)
                and one.seen_at <= play.started_at < first[one.decision_id] + WINDOW
                and known_at <= max(play.received_at, play.started_at + GRACE)
            ):
                touches.append((one.seen_at, one.decision_id))
        if touches:
            winner = max(touches)[1]
            if play.received_at <= first[winner] + MATURITY:
                credited[winner].append(play)
    found = {}
    for name, started in first.items():
        ranked = sorted(credited[name], key=lambda one: (not _is_quality(one), one.started_at, one.play_id))
        reward = 1.0 if ranked and _is_quality(ranked[0]) else 0.0
        minutes = sum(one.minutes for one in credited[name])
        found[name] = (started, reward, minutes, ranked[0].play_id if ranked else None)
    return found


def _is_quality(play: Played) -> bool:
    return play.minutes >= RULE.minutes or play.completion >= RULE.completion


def earned(found: dict[str, dict[str, object]]) -> dict[str, tuple[object, object]]:
    return {name: (row["reward"], row["minutes"]) for name, row in found.items()}


CASES = {
    "no play is 0": ([seen("d", 0)], [], {"d": (0.0, 0.0)}),
    "a quality play in the window is 1": ([seen("d", 0)], [played("y", 1)], {"d": (1.0, 10.0)}),
    "a short play is 0 with its minutes": ([seen("d", 0)], [played("y", 1, minutes=2)], {"d": (0.0, 2.0)}),
    "short plays do not add up": (
        [seen("d", 0)],
        [played("y", 1, minutes=4), played("z", 2, minutes=4)],
        {"d": (0.0, 8.0)},
    ),
    "a play at the moment it was seen counts": ([seen("d", 1)], [played("y", 1)], {"d": (1.0, 10.0)}),
    "a play before it was seen does not": ([seen("d", 1)], [played("y", 0.999)], {"d": (0.0, 0.0)}),
    "a play at the end of the window does not": ([seen("d", 0)], [played("y", 48)], {"d": (0.0, 0.0)}),
    "a play just inside the window does": ([seen("d", 0)], [played("y", 47.999)], {"d": (1.0, 10.0)}),
    "the last impression gets the play": (
        [seen("d", 0), seen("e", 1)],
        [played("y", 2)],
        {"d": (0.0, 0.0), "e": (1.0, 10.0)},
    ),
    "a repeat from a cache takes it back": (
        [seen("d", 0), seen("e", 1), seen("d", 1.5)],
        [played("y", 2)],
        {"d": (1.0, 10.0), "e": (0.0, 0.0)},
    ),
    "a repeat does not prolong the window": (
        [seen("d", 0), seen("d", 40)],
        [played("y", 50)],
        {"d": (0.0, 0.0)},
    ),
    "a repeat beyond its own window steals nothing": (
        [seen("d", 0), seen("e", 30), seen("d", 49)],
        [played("y", 50)],
        {"d": (0.0, 0.0), "e": (1.0, 10.0)},
    ),
    "ties go to the greater decision_id": (
        [seen("d", 0), seen("e", 0)],
        [played("y", 1)],
        {"d": (0.0, 0.0), "e": (1.0, 10.0)},
    ),
    "an impression reported twice counts once": (
        [seen("d", 0), seen("d", 0, received=9)],
        [played("y", 1), played("y", 1, received=3)],
        {"d": (1.0, 10.0)},
    ),
    "a play reported after maturity does not count": (
        [seen("d", 0)],
        [played("y", 47, received=54.001)],
        {"d": (0.0, 0.0)},
    ),
    "a play reported at maturity does": ([seen("d", 0)], [played("y", 47, received=54)], {"d": (1.0, 10.0)}),
    "an impression reported after its maturity has no row": ([seen("d", 0, received=54.001)], [], {}),
    "an impression reported after the play and grace does not compete": (
        [seen("d", 0), seen("e", 1, received=9)],
        [played("y", 2, received=3)],
        {"d": (1.0, 10.0), "e": (0.0, 0.0)},
    ),
    "an impression and a play that were reported together do": (
        [seen("d", 0, received=30)],
        [played("y", 2, received=30)],
        {"d": (1.0, 10.0)},
    ),
    "a play without end counts for a week": (
        [seen("d", 0)],
        [played("y", 2, minutes=1e300)],
        {"d": (1.0, 7 * 24 * 60.0)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_attribution(sql: str, name: str) -> None:
    exposures, plays, expected = CASES[name]
    assert earned(rewards(sql, exposures, plays)) == expected


def test_another_profile_or_title_gets_nothing(sql: str) -> None:
    others = [Played("y", at(1), at(1), 10.0, 0.0, "other", "t"), Played("z", at(1), at(1), 10.0, 0.0, "p", "other")]
    assert earned(rewards(sql, [seen("d", 0)], others)) == {"d": (0.0, 0.0)}


def test_a_row_tells_all_that_the_reward_rests_on(sql: str) -> None:
    found = rewards(sql, [seen("d", 3), seen("d", 4)], [played("short", 4, minutes=1), played("long", 5)])
    assert found["d"] == {
        "decision_id": "d",
        "profile_id": "p",
        "title_id": "t",
        "artwork_id": "art-d",
        "decided_at": at(-24 * 30),
        "seen_at": at(3),
        "matured_at": at(3) + MATURITY,
        "reward": 1.0,
        "minutes": 11.0,
        "play_id": "long",
        "rule": RULE.version,
    }


_HOURS = st.integers(0, 80).map(float)
_DELAYS = st.one_of(st.just(0.0), st.integers(0, 60).map(float))
_NAMES = st.sampled_from(["p", "q"])


@st.composite
def _exposures(draw: st.DrawFn) -> list[Seen]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        profile, title = draw(_NAMES), draw(_NAMES)
        for hour, delay in draw(st.lists(st.tuples(_HOURS, _DELAYS), min_size=1, max_size=3, unique=True)):
            found.append(Seen(f"d{number}", at(hour), at(hour + delay), profile, title))
    return found


@st.composite
def _plays(draw: st.DrawFn) -> list[Played]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        hour, profile, title = draw(_HOURS), draw(_NAMES), draw(_NAMES)
        minutes, completion = draw(st.sampled_from([0.5, 5.75, 6.0, 90.25])), draw(st.sampled_from([0.0, 0.7, 1.0]))
        delays = draw(st.lists(_DELAYS, min_size=1, max_size=2))
        found += [Played(f"y{number}", at(hour), at(hour + one), minutes, completion, profile, title) for one in delays]
    return found


@budget(max_examples=80, deadline=None)
@given(exposures=_exposures(), plays=_plays(), data=st.data())
def test_attribution_is_what_a_slow_and_obvious_reading_of_the_rules_gives(
    sql: str, exposures: list[Seen], plays: list[Played], data: st.DataObject
) -> None:
    expected = obvious(exposures, plays)
    shuffled = data.draw(st.permutations(exposures)), data.draw(st.permutations(plays))
    found = rewards(sql, list(shuffled[0]), list(shuffled[1]))
    assert {
        name: (row["seen_at"], row["reward"], row["minutes"], row["play_id"]) for name, row in found.items()
    } == expected


def test_the_expression_compiles_for_spark(spark_master: str) -> None:
    assert ibis.pyspark is not None  # which loads the options that its compiler asks for
    compiled = str(ibis.to_sql(_expression(), dialect="pyspark"))
    assert "INNER JOIN" in compiled
    assert "ASOF" not in compiled
