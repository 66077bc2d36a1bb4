import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.error import ContractError
from pipelines.content import content_hash
from pipelines.lake import Lake, Written
from pipelines.table import DECISIONS, PLAYS, QUARANTINE, TABLES
from tests.pipelines.lake_plays import DAY, NEXT, all_of, plays


def test_what_is_written_is_read_back_sorted_whatever_the_order_it_came_in(lake: Lake) -> None:
    rows = plays(DAY, 100)
    assert lake.overwrite(PLAYS, DAY, rows.take(list(reversed(range(100))))) == Written(100, 100)
    assert all_of(lake).equals(rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_never_written_reads_as_empty_with_its_schema(lake: Lake, table: object) -> None:
    for name in TABLES:
        assert lake.read(name, DAY.start_at, DAY.end_at).equals(name.schema.empty_table())
        assert lake.reader(name, DAY.start_at, DAY.end_at).read_all().schema == name.schema
        assert (lake.version(name), lake.intervals(name)) == (-1, [])


def test_an_identical_overwrite_commits_nothing(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 10))
    version, digest = lake.version(PLAYS), lake.content_hash(PLAYS, DAY)
    assert lake.overwrite(PLAYS, DAY, plays(DAY, 10)) == Written(10, 0)
    assert (lake.version(PLAYS), lake.content_hash(PLAYS, DAY)) == (version, digest)


def test_changed_rows_count_once_as_removed_and_once_as_added(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 10))
    changed = pa.concat_tables([plays(DAY, 4), plays(DAY, 10, minutes=6.0).slice(4, 3)])
    assert lake.overwrite(PLAYS, DAY, changed) == Written(7, 6 + 3)
    assert all_of(lake).equals(changed)


def test_an_overwrite_leaves_other_intervals_alone(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 3))
    lake.overwrite(PLAYS, NEXT, plays(NEXT, 3))
    before = lake.content_hash(PLAYS, DAY)
    lake.overwrite(PLAYS, NEXT, plays(NEXT, 5))
    assert lake.content_hash(PLAYS, DAY) == before
    assert all_of(lake).equals(pa.concat_tables([plays(DAY, 3), plays(NEXT, 5)]))


def test_reading_takes_the_intervals_that_start_in_the_stretch(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 3))
    lake.overwrite(PLAYS, NEXT, plays(NEXT, 4))
    moment = timedelta(microseconds=1)
    assert lake.read(PLAYS, DAY.start_at, NEXT.start_at).num_rows == 3
    assert lake.read(PLAYS, DAY.start_at, NEXT.start_at + moment).num_rows == 7
    assert lake.read(PLAYS, DAY.start_at + moment, NEXT.end_at).num_rows == 4
    assert lake.read(PLAYS, NEXT.end_at, NEXT.end_at + timedelta(days=9)).num_rows == 0


def test_columns_and_rows_can_be_selected_and_stay_sorted(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 9))
    where = pc.field("started_at") >= pa.scalar(DAY.start_at + timedelta(microseconds=5), PLAYS.schema.field(3).type)
    chosen = lake.read(PLAYS, DAY.start_at, DAY.end_at, columns=["minutes", "play_id"], where=where)
    assert chosen.column_names == ["minutes", "play_id"]
    assert chosen["play_id"].to_pylist() == [f"{DAY.key}-{row}" for row in range(5, 9)]
    streamed = lake.reader(PLAYS, DAY.start_at, DAY.end_at, columns=["play_id"], where=where).read_all()
    assert sorted(streamed["play_id"].to_pylist()) == chosen["play_id"].to_pylist()
    with pytest.raises(ContractError, match="plays has no column 'nonsense'"):
        lake.read(PLAYS, DAY.start_at, DAY.end_at, columns=["nonsense"])


def test_an_interval_without_rows_is_known_as_written(lake: Lake) -> None:
    assert lake.overwrite(PLAYS, DAY, plays(DAY, 0)) == Written(0, 0)
    assert lake.intervals(PLAYS) == [DAY.key]
    version = lake.version(PLAYS)
    assert lake.overwrite(PLAYS, DAY, plays(DAY, 0)) == Written(0, 0)
    assert lake.version(PLAYS) == version
    lake.overwrite(PLAYS, NEXT, plays(NEXT, 2))
    assert lake.overwrite(PLAYS, NEXT, plays(NEXT, 0)) == Written(0, 2)
    assert (lake.intervals(PLAYS), all_of(lake).num_rows) == ([DAY.key, NEXT.key], 0)


def test_written_intervals_are_known_beyond_a_checkpoint_of_the_log(lake: Lake) -> None:
    hours = list(DAY.split(hours=0.2))  # 120 commits: delta-rs writes a checkpoint after each 100
    for hour in hours:
        lake.overwrite(PLAYS, hour, plays(hour, 0))
    assert lake.intervals(PLAYS) == [hour.key for hour in hours]
    assert list(Path(lake.root).rglob("*.checkpoint.parquet"))
    for commit in sorted(Path(lake.root).rglob("*.json"))[:50]:
        commit.unlink()
    assert lake.intervals(PLAYS) == [hour.key for hour in hours]


def test_a_null_in_a_key_is_refused_by_table_column_and_other_keys(lake: Lake) -> None:
    rows = plays(DAY, 3).set_column(0, "play_id", pa.array(["a", None, "c"]))
    with pytest.raises(ContractError, match=r"plays\.play_id must not be null, got null in row 1"):
        lake.overwrite(PLAYS, DAY, rows)
    line = {"source": ["a.jsonl"], "line": [None], "kind": [""], "reason": [""], "raw": [""]}
    with pytest.raises(ContractError, match=r"quarantine\.line must not be null.*a\.jsonl"):
        lake.overwrite(QUARANTINE, DAY, pa.table(line, schema=QUARANTINE.schema))
    assert (lake.version(PLAYS), lake.version(QUARANTINE)) == (-1, -1)


def test_a_repeated_key_is_refused_by_table_column_and_id(lake: Lake) -> None:
    rows = pa.concat_tables([plays(DAY, 3), plays(DAY, 1, minutes=1.0)])
    with pytest.raises(
        ContractError, match=f"plays: key .*play_id.* must be unique, got 2 rows of play_id={DAY.key}-0"
    ):
        lake.overwrite(PLAYS, DAY, rows)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("minutes", pa.array(["x", "y"]), r"plays\.minutes must be double, got string.*Failed to parse"),
        ("started_at", pa.array([1, 2], pa.timestamp("us")), r"plays\.started_at must be aware UTC"),
        ("started_at", pa.array([1, 2], pa.timestamp("ns", tz="UTC")), r"plays\.started_at must be timestamp\[us"),
    ],
)
def test_a_column_of_another_kind_is_refused_by_name(lake: Lake, column: str, values: pa.Array, message: str) -> None:
    rows = plays(DAY, 2).set_column(PLAYS.schema.names.index(column), column, values)
    with pytest.raises(ContractError, match=message):
        lake.overwrite(PLAYS, DAY, rows)


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("minutes", -1.0, "greater_than_or_equal_to(0.0), got -1.0"),
        ("minutes", float("nan"), "not_nullable, got nan"),
        ("completion", 1.5, "less_than_or_equal_to(1.0), got 1.5"),
        ("profile_id", None, "not_nullable, got None"),
    ],
)
def test_a_value_that_breaks_a_contract_is_named_with_its_row_before_anything_is_written(
    lake: Lake, column: str, value: object, rule: str
) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 9))
    version, place = lake.version(PLAYS), PLAYS.schema.names.index(column)
    values = plays(DAY, 9)[column].to_pylist()
    values[5] = value
    bad = plays(DAY, 9).set_column(place, PLAYS.schema.field(place), pa.array(values, PLAYS.schema.field(place).type))
    with pytest.raises(ContractError, match=re.escape(f"plays.{column} must be {rule} (play_id={DAY.key}-5)")):
        lake.overwrite(PLAYS, DAY, bad)
    assert (lake.version(PLAYS), all_of(lake)) == (version, plays(DAY, 9))
    assert len(list(Path(lake.root).rglob("*.parquet"))) == 1


def test_a_stream_that_does_not_rise_in_the_tables_order_is_refused_across_its_batches(lake: Lake) -> None:
    rows = plays(DAY, 6)
    for parts in ([rows.slice(3), rows.slice(0, 3)], [rows.slice(0, 3), rows.slice(2)]):
        with pytest.raises(ContractError, match=r"plays must rise in the order .* got started_at=.* play_id="):
            lake.replace(PLAYS, DAY, [batch for part in parts for batch in part.to_batches()])
    assert (lake.version(PLAYS), list(Path(lake.root).rglob("*.parquet"))) == (-1, [])


def test_the_same_rows_are_the_same_bytes_however_they_were_chunked(tmp_path: Path) -> None:
    rows = plays(DAY, 1_000)
    found = []
    for chunk in (1_000, 7):
        lake = Lake(tmp_path / str(chunk))
        assert lake.replace(PLAYS, DAY, rows.to_batches(chunk)) == Written(1_000, 1_000)
        (file,) = Path(lake.root).rglob("part-*.parquet")
        found.append(file.read_bytes())
    assert found[0] == found[1]


def test_missing_and_unknown_columns_are_refused_by_name(lake: Lake) -> None:
    with pytest.raises(ContractError, match=r"missing=.'minutes'"):
        lake.overwrite(PLAYS, DAY, plays(DAY, 2).drop_columns(["minutes"]))
    with pytest.raises(ContractError, match=r"unknown=.'extra'"):
        lake.overwrite(PLAYS, DAY, plays(DAY, 2).append_column("extra", pa.array([1, 2])))


def test_a_lake_refuses_intervals_of_another_length(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 2))
    hour = next(iter(DAY.split(hours=1)))
    with pytest.raises(ContractError, match=r"kept in intervals of 86400\.0 seconds, got one of 3600\.0"):
        lake.overwrite(PLAYS, hour, plays(hour, 1))
    assert all_of(lake).equals(plays(DAY, 2))


def test_a_url_names_the_same_lake_as_its_path(tmp_path: Path) -> None:
    Lake((tmp_path / "lake").as_uri()).overwrite(PLAYS, DAY, plays(DAY, 2))
    assert all_of(Lake(tmp_path / "lake")).equals(plays(DAY, 2))
    assert Lake((tmp_path / "lake").as_uri()).intervals(PLAYS) == [DAY.key]


@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_a_truncated_data_file_is_named_and_nothing_is_changed(lake: Lake, keep: float) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 50))
    lake.overwrite(PLAYS, NEXT, plays(NEXT, 50))
    (file,) = Path(lake.root).rglob(f"*{DAY.key}/*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    with pytest.raises(ContractError, match=file.name):
        all_of(lake)
    with pytest.raises(ContractError, match=file.name):
        lake.overwrite(PLAYS, DAY, plays(DAY, 1))
    assert lake.read(PLAYS, NEXT.start_at, NEXT.end_at).num_rows == 50
    file.write_bytes(whole)
    assert all_of(lake).num_rows == 100


@pytest.mark.parametrize("content", [b"", b"nonsense", b'{"add":{"path":"interval_ke'])
def test_a_broken_commit_in_the_log_is_named(lake: Lake, content: bytes) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 5))
    lake.overwrite(PLAYS, NEXT, plays(NEXT, 5))
    commit = sorted(Path(lake.root).rglob("*.json"))[-1]
    commit.write_bytes(content)
    for attempt in (lambda: all_of(lake), lambda: lake.overwrite(PLAYS, DAY, plays(DAY, 1))):
        with pytest.raises(ContractError, match=commit.name):
            attempt()


def test_a_content_hash_sees_values_and_not_how_they_are_held(lake: Lake) -> None:
    rows = plays(DAY, 300)
    pieces = pa.concat_tables([rows.slice(0, 7), rows.slice(7, 200), rows.slice(207)])
    assert content_hash(pieces) == content_hash(rows)
    lake.overwrite(PLAYS, DAY, pieces)
    assert lake.content_hash(PLAYS, DAY) == content_hash(rows)
    assert content_hash(rows.slice(1)) != content_hash(rows)
    assert content_hash(plays(DAY, 300, minutes=5.000000001)) != content_hash(rows)


def test_a_content_hash_tells_null_from_empty_and_where_lists_end() -> None:
    def decision(**changed: object) -> pa.Table:
        plain = dict.fromkeys(DECISIONS.schema.names) | {"decision_id": "d", "actions": ["a", "b"]}
        return pa.Table.from_pylist([plain | changed] * 2, schema=DECISIONS.schema)

    variants = [
        decision(),
        decision(actions=["ab"]),
        decision(actions=["a", None]),
        decision(actions=[]),
        decision(actions=None),
        decision(features=b""),
        decision(features=b"\x00"),
        decision(row=0),
        decision(device=""),
        decision(decided_at=datetime(1970, 1, 1, tzinfo=UTC)),
    ]
    assert len({content_hash(variant) for variant in variants}) == len(variants)
