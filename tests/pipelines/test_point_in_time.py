"""The join by steps gives what Feast gives for every row, and never what was not known yet."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.error import ContractError
from pipelines.column import TIME
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import view_path
from pipelines.point_in_time import PointInTime

VIEW = "title_profile"
START = datetime(2026, 11, 1, tzinfo=UTC)
TTL = timedelta(hours=20)


def put(settings, rows: list[tuple[str, float, datetime, datetime]], part: str = "0") -> None:
    """Write rows of (key, value, event time, created time)."""
    keys, values, events, created = zip(*rows, strict=True)
    columns = [pa.array(keys), pa.array([[value] for value in values], pa.list_(pa.float32()))]
    table = pa.table([*columns, pa.array(events, TIME), pa.array(created, TIME)], schema=VIEWS[VIEW])
    path = view_path(settings, VIEW, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def hours(number: float) -> datetime:
    return START + timedelta(hours=number)


def values_at(settings, store, key: str, moments: list[datetime]) -> list[float | None]:
    at = np.array([moment.replace(tzinfo=None) for moment in moments], "datetime64[us]")
    joined = PointInTime(settings, store, VIEW).join(pa.array([key] * len(at)), at)
    vectors = [row[0] for row in joined.features["vector"].to_pylist()]
    return [vectors[place] if place >= 0 else None for place in joined.place]


def test_a_value_is_known_from_its_created_time_and_not_before(scratch_store):
    settings, store = scratch_store()
    put(settings, [("k", 1.0, hours(0), hours(0)), ("k", 2.0, hours(24), hours(30))])
    moments = [hours(-1), hours(0), hours(24), hours(30) - timedelta(microseconds=1), hours(30), hours(99)]
    assert values_at(settings, store, "k", moments) == [None, 1.0, 1.0, 1.0, 2.0, 2.0]


def test_a_value_backfilled_after_the_decision_is_not_joined(scratch_store):
    settings, store = scratch_store()
    put(settings, [("k", 1.0, hours(0), hours(0)), ("k", 7.0, hours(0), hours(50))])
    assert values_at(settings, store, "k", [hours(49), hours(50)]) == [1.0, 7.0]


def test_a_value_counts_up_to_its_time_to_live_and_not_a_microsecond_longer(scratch_store):
    settings, store = scratch_store(TTL)
    put(settings, [("k", 1.0, hours(0), hours(0))])
    moments = [START + TTL, START + TTL + timedelta(microseconds=1)]
    assert values_at(settings, store, "k", moments) == [1.0, None]


def test_an_expired_newer_value_does_not_bring_an_older_one_back(scratch_store):
    settings, store = scratch_store(TTL)
    put(settings, [("k", 1.0, hours(0), hours(19)), ("k", 2.0, hours(1), hours(1))])
    assert values_at(settings, store, "k", [hours(1), hours(19), hours(21), hours(21.1)]) == [2.0, 2.0, 2.0, None]


@pytest.mark.parametrize("ttl", [TTL, timedelta(days=3650)])
def test_the_join_by_steps_equals_asking_feast_for_every_row(scratch_store, ttl):
    settings, store = scratch_store(ttl)
    rng = np.random.default_rng(11)
    keys, n_versions = [f"k{number}" for number in range(7)], 12
    for part in range(n_versions):
        rows = []
        for key in keys:
            if rng.random() < 0.6:
                late = float(rng.choice([0, 0, 1, 7, 40]))
                event = hours(12 * (part // 2))
                rows.append((key, float(rng.normal()), event, event + timedelta(hours=late, microseconds=part)))
        put(settings, rows or [("none", 0.0, START, START)], str(part))
    grid = rng.integers(-10, 150, size=300).astype("timedelta64[h]") + rng.integers(-1, 13, size=300).astype(
        "timedelta64[us]"
    )
    at = np.datetime64(START.replace(tzinfo=None), "us") + grid
    names = pa.array(rng.choice([*keys, "unknown"], size=300))
    view = PointInTime(settings, store, VIEW)
    joined, asked = view.join(names, at), view.ask(names, at)
    vectors = joined.features["vector"].to_pylist()
    found = [vectors[place] if place >= 0 else None for place in joined.place]
    expected = asked["vector"].to_pylist()
    assert found == expected
    assert 50 < sum(value is not None for value in expected) < 290
    assert len({str(value) for value in expected}) > 15


def test_no_rows_are_no_question(scratch_store):
    settings, store = scratch_store()
    put(settings, [("k", 1.0, hours(0), hours(0))])
    joined = PointInTime(settings, store, VIEW).join(pa.array([], pa.string()), np.empty(0, "datetime64[us]"))
    assert len(joined.place) == len(joined.features) == 0


@pytest.mark.parametrize("first", [0, 4])
def test_a_broken_part_is_named_as_breaking_its_contract(scratch_store, first):
    settings, store = scratch_store()
    put(settings, [("k", float(number), hours(number), hours(number)) for number in range(40)])
    path = view_path(settings, VIEW, "0")
    content = path.read_bytes()
    broken = content[:60] if not first else content[:4] + bytes(byte ^ 255 for byte in content[4:400]) + content[400:]
    at = np.array([START.replace(tzinfo=None)], "datetime64[us]")
    view = PointInTime(settings, store, VIEW)
    path.write_bytes(broken)
    with pytest.raises(ContractError, match=re.escape(str(path))):
        view.ask(pa.array(["k"]), at)
    with pytest.raises(ContractError, match=re.escape(str(path))):
        PointInTime(settings, store, VIEW).join(pa.array(["k"]), at)
