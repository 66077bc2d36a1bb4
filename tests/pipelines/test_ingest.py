import random
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from models.error import ContractError
from models.event import Event, encode_lines
from models.interval import Interval
from pipelines.event_rows import read_events
from pipelines.event_source import complete_segments
from pipelines.ingest import Ingested, ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, IMPRESSIONS, PLAYS, QUARANTINE, Table
from pipelines.workspace import workspace
from tests.pipelines.event_log import DAY, NEXT, at, impression, page, play, write_raw, write_segment

WRITTEN = (DECISIONS, IMPRESSIONS, PLAYS, QUARANTINE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def hashes(settings: Settings, *intervals: Interval) -> dict[tuple[str, str], str]:
    lake = Lake(settings.lake_dir)
    return {(table.name, one.key): lake.content_hash(table, one) for table in WRITTEN for one in intervals}


def rows_of(settings: Settings, table: object, interval: Interval = DAY) -> list[dict[str, object]]:
    return Lake(settings.lake_dir).read(table, interval.start_at, interval.end_at).to_pylist()  # type: ignore[arg-type]


def clean_day() -> list[Event]:
    pages = [page(at(n / 10), f"d{n}-0", f"d{n}-1", profile_id=f"p{n % 7}", title_id=f"t{n % 3}") for n in range(100)]
    seen = [impression(f"d{n}-0", at(n / 10 + 0.01), at(n / 10 + 0.02)) for n in range(0, 100, 2)]
    plays = [play(f"y{n}", at(n / 10 + 0.05), at(n / 10 + 1), profile_id=f"p{n % 7}") for n in range(0, 100, 5)]
    return [*pages, *seen, *plays]


def test_events_become_rows_and_impressions_know_their_decision(settings: Settings) -> None:
    write_segment(
        settings.events_dir, [page(at(1), "d1", "d2"), impression("d1", at(2), at(3)), play("y", at(4), at(5))]
    )
    assert ingest(settings, DAY) == Ingested(2, 1, 1, n_duplicates=0, n_changed=4, quarantined={})
    decision = rows_of(settings, DECISIONS)[0]
    assert (decision["decision_id"], decision["actions"], decision["propensity"]) == ("d1", ["a0", "a1"], 0.5)
    assert (decision["local_hour"], decision["day_of_week"]) == (1, 6)  # UTC, where the device does not say
    assert decision["features"] == b"\x01"
    assert rows_of(settings, IMPRESSIONS) == [
        {
            "decision_id": "d1",
            "seen_at": at(2),
            "received_at": at(3),
            "delivery": "fresh",
            "profile_id": "p",
            "title_id": "t",
            "artwork_id": "a1",
            "decided_at": at(1),
        }
    ]
    assert [row["play_id"] for row in rows_of(settings, PLAYS)] == ["y"]


def test_lines_go_by_the_time_they_were_logged(settings: Settings) -> None:
    before, after = at(0) - timedelta(microseconds=1), NEXT.start_at
    events = [page(before, "old"), page(at(0), "d"), impression("d", at(1), after), play("y", at(2), after)]
    write_segment(settings.events_dir, events)
    assert ingest(settings, DAY) == Ingested(1, 0, 0, n_duplicates=0, n_changed=1)
    assert ingest(settings, NEXT) == Ingested(0, 1, 1, n_duplicates=0, n_changed=2)


def test_an_interval_without_events_is_written_empty(settings: Settings) -> None:
    assert ingest(settings, DAY) == Ingested(0, 0, 0, n_duplicates=0, n_changed=0)
    assert [Lake(settings.lake_dir).intervals(table) for table in WRITTEN] == [[DAY.key]] * 4


def test_a_second_run_changes_nothing(settings: Settings) -> None:
    write_segment(settings.events_dir, clean_day(), extra=b"nonsense\n")
    first = ingest(settings, DAY)
    lake = Lake(settings.lake_dir)
    versions = [lake.version(table) for table in WRITTEN]
    second = ingest(settings, DAY)
    assert (first.n_changed, second.n_changed) == (271, 0)
    assert [lake.version(table) for table in WRITTEN] == versions


def test_shuffled_and_duplicated_events_give_the_tables_of_clean_ones(tmp_path: Path) -> None:
    clean, messy = Settings(home=tmp_path / "clean"), Settings(home=tmp_path / "messy")
    events = clean_day()
    write_segment(clean.events_dir, events)
    shuffled = events * 2
    random.Random(1).shuffle(shuffled)
    for part in range(5):
        write_segment(messy.events_dir / f"folder-{part % 2}", shuffled[part::5], writer=f"w{part}")
    assert ingest(clean, DAY).n_duplicates == 0
    assert ingest(messy, DAY).n_duplicates == 200 + 50 + 20
    assert hashes(clean, DAY) == hashes(messy, DAY)


def test_of_events_that_contradict_each_other_the_first_stands_whatever_their_order(tmp_path: Path) -> None:
    events = [
        page(at(1), "d"),
        play("y", at(2), at(4), minutes=4.0),
        play("y", at(2), at(3), minutes=3.0),
        play("y", at(2), at(3), minutes=2.0),
        impression("d", at(2), at(5)),
        impression("d", at(2), at(3)),
        page(at(1), "d", profile_id="a-another"),
    ]
    found = []
    for turn in range(6):
        settings = Settings(home=tmp_path / str(turn))
        write_segment(settings.events_dir, events[turn:] + events[:turn])
        assert ingest(settings, DAY).n_duplicates == 4
        found.append(hashes(settings, DAY))
    assert found == [found[0]] * 6
    assert [row["minutes"] for row in rows_of(settings, PLAYS)] == [2.0]
    assert [row["received_at"] for row in rows_of(settings, IMPRESSIONS)] == [at(3)]
    assert [row["profile_id"] for row in rows_of(settings, DECISIONS)] == ["a-another"]


BAD_LINES = {
    "not JSON": (b"{nonsense", "", "malformed: JSON is malformed"),
    "an empty line": (b"", "", "malformed: Input data was truncated"),
    "zeros of a crashed disk": (b"\0" * 4096, "", "malformed: JSON is malformed"),
    "not UTF-8": (b'{"kind":"impression","decision_id":"\xff\xfe"}', "impression", "malformed: "),
    "another kind": (b'{"kind":"banner"}', "banner", "malformed: Invalid value 'banner'"),
    "no kind": (b'{"decision_id":"d"}', "", "malformed: Object missing required field `kind`"),
    "a missing field": (b'{"kind":"play","play_id":"y"}', "play", "malformed: Object missing required field"),
    "nested too deep": (b'{"kind":"play","x":' + b"[" * 100_000, "", "malformed: maximum recursion depth"),
    "a propensity of 0": (
        encode_lines([page(at(1), "d")]).strip().replace(b'"propensity":0.5', b'"propensity":0.0'),
        "page",
        "malformed: propensity must be in (0, 1], got 0.0 (decision_id=d)",
    ),
    "a row beyond 32 bits": (
        encode_lines([page(at(1), "d")]).strip().replace(b'"row":0', b'"row":3000000000'),
        "page",
        "malformed: row must be in 0..2^31-1, got 3000000000 (decision_id=d)",
    ),
    "a naive time": (
        encode_lines([play("y", at(1))]).strip().replace(b"01:00:00Z", b"01:00:00"),
        "play",
        "malformed: started_at and received_at must be aware UTC (play_id=y)",
    ),
    "a decision nobody made": (encode_lines([impression("x", at(1))]).strip(), "impression", "unknown_decision"),
    "seen before it was decided": (
        encode_lines([impression("d5", at(4.9), at(6))]).strip(),
        "impression",
        "clock",
    ),
    "seen after it was received": (
        encode_lines([impression("d5", at(6.1), at(6))]).strip(),
        "impression",
        "clock",
    ),
    "played after it was received": (encode_lines([play("y", at(3), at(2.9))]).strip(), "play", "clock"),
    "played long before": (encode_lines([play("y", at(-200), at(2.9))]).strip(), "play", "late"),
    "played at the beginning of all time": (
        encode_lines([play("y", at(1), at(2))]).strip().replace(b"2026-11-01T01:00:00Z", b"0001-01-01T00:00:00+23:00"),
        "play",
        "late",
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_quarantined_with_its_reason_and_costs_no_other(settings: Settings, name: str) -> None:
    line, kind, reason = BAD_LINES[name]
    content = encode_lines([page(at(5), "d5")]) + line + b"\n" + encode_lines([play("good", at(6))])
    path = write_raw(settings.events_dir / "folder", content, at(1), at(7))
    done = ingest(settings, DAY)
    assert (done.n_decisions, done.n_plays, done.quarantined) == (1, 1, {reason.partition(":")[0]: 1})
    (row,) = rows_of(settings, QUARANTINE)
    assert (row["source"], row["line"], row["kind"]) == (f"folder/{path.name}", 2, kind)
    assert str(row["reason"]).startswith(reason)
    assert row["raw"] == line.decode("utf-8", errors="replace")[:2000]


def test_a_torn_tail_is_one_quarantined_line(settings: Settings) -> None:
    content = encode_lines([page(at(5), "d5"), play("y", at(6))])
    write_raw(settings.events_dir, content[:-20], at(5), at(6))
    done = ingest(settings, DAY)
    assert (done.n_decisions, done.n_plays, done.quarantined) == (1, 0, {"malformed": 1})


def test_a_bad_line_is_quarantined_by_one_interval_only(settings: Settings) -> None:
    write_segment(settings.events_dir, [page(at(23), "d"), page(at(25), "e")], extra=b"nonsense\n")
    assert ingest(settings, DAY).quarantined == {"malformed": 1}
    assert ingest(settings, NEXT).quarantined == {}


def test_an_impression_from_a_cache_finds_its_decision_of_days_ago(settings: Settings) -> None:
    decided_at = at(1) - timedelta(days=6)
    first_day = Interval.containing(decided_at, 24)
    write_segment(settings.events_dir, [page(decided_at, "d"), impression("d", at(1)), impression("d", at(1, NEXT))])
    ingest(settings, first_day)
    assert ingest(settings, DAY).n_impressions == 1
    later = ingest(settings, NEXT)  # exactly max_cache_hours after the decision
    assert (later.n_impressions, later.quarantined) == (1, {})
    write_segment(settings.events_dir, [impression("d", at(1.01, NEXT))], writer="late")
    later = ingest(settings, NEXT)
    assert (later.n_impressions, later.quarantined) == (1, {"late": 1})


def test_an_event_reported_again_in_a_later_interval_counts_once(settings: Settings) -> None:
    events = [page(at(22), "d"), impression("d", at(23)), play("y", at(23.5), at(23.9))]
    again = [impression("d", at(23), at(25)), impression("d", at(25)), play("y", at(23.5), at(25)), play("z", at(25))]
    write_segment(settings.events_dir, [*events, *again])
    assert ingest(settings, DAY) == Ingested(1, 1, 1, n_duplicates=0, n_changed=3)
    assert ingest(settings, NEXT) == Ingested(0, 1, 1, n_duplicates=2, n_changed=2)
    assert [row["play_id"] for row in rows_of(settings, PLAYS, NEXT)] == ["z"]


def test_a_play_reported_again_with_another_start_counts_once_whatever_the_order_of_its_intervals(
    tmp_path: Path,
) -> None:
    """A device puts its clock right, and reports again what it had not been told is known."""
    days = [Interval(DAY.start_at + timedelta(days=n), NEXT.start_at + timedelta(days=n)) for n in range(8)]
    first = [play("y", at(20), at(21)), play("z", at(23.9), at(23.95)), page(at(1), "d")]
    again = [play("y", at(1, days[1]), at(1, days[1])), play("new", at(2, days[1]))]
    a_week_later = [
        play("y", at(20, days[7]), at(20.5, days[7])),
        play("z", at(23.5, days[7])),
        page(at(1, days[7]), "e"),
    ]
    for turn, order in enumerate((days, days[::-1])):
        settings = Settings(home=tmp_path / str(turn))
        for number, events in enumerate((first, again, a_week_later)):
            write_segment(settings.events_dir, events, writer=f"w{number}")
        done = {day: ingest(settings, day) for day in order}
        assert [row["play_id"] for day in days for row in rows_of(settings, PLAYS, day)] == ["y", "z", "new"]
        assert (done[days[1]].n_duplicates, done[days[7]].n_duplicates) == (1, 2)
        assert ingest(settings, days[1]).n_changed == 0


def test_intervals_may_be_ingested_in_any_order(tmp_path: Path) -> None:
    hours = list(DAY.split(hours=3))
    tables = []
    for turn, order in enumerate((hours, hours[::-1], random.Random(3).sample(hours, len(hours)))):
        settings = Settings(home=tmp_path / str(turn), interval_hours=3, max_cache_hours=12)
        events = clean_day()
        cached = [impression(f"d{n}-1", at(n / 10 + 5), at(n / 10 + 5 + n % 4)) for n in range(0, 100, 3)]
        again = [play(f"y{n}", at(n / 10 + 0.05), at(n / 10 + 4), profile_id=f"p{n % 7}") for n in range(0, 100, 5)]
        unknown = [impression("never", at(9))]
        write_segment(settings.events_dir, [*events, *cached, *again, *unknown])
        for hour in order:
            ingest(settings, hour)
        tables.append(hashes(settings, *hours))
        for hour in order:
            assert ingest(settings, hour).n_changed == 0
    assert tables[0] == tables[1] == tables[2]


@pytest.mark.parametrize("table", [IMPRESSIONS, PLAYS], ids=lambda table: table.name)
def test_a_broken_file_of_an_earlier_interval_is_named(settings: Settings, table: Table) -> None:
    write_segment(settings.events_dir, [page(at(1), "d"), impression("d", at(2)), play("y", at(3))])
    write_segment(
        settings.events_dir, [impression("d", at(2), at(1, NEXT)), play("y", at(3), at(1, NEXT))], writer="w1"
    )
    ingest(settings, DAY)
    (path,) = Path(settings.lake_dir, table.name).glob(f"*{DAY.key}/*.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ContractError, match=f"^{table.name}: .*{path.name}"):
        ingest(settings, NEXT)


def test_reading_lines_holds_no_more_than_a_chunk_of_them_in_memory(settings: Settings) -> None:
    pages = [page(at(number / 2_000), f"d{number}") for number in range(24_000)]
    many = tuple(f"an-artwork-of-a-title-{number}" for number in range(80))
    wide = [
        structs.replace(one, decisions=(structs.replace(one.decisions[0], actions=many, artwork_id=many[0]),))
        for one in pages
    ]
    write_segment(settings.events_dir, wide)
    del wide, pages
    segments = complete_segments(settings.events_dir, DAY)
    with workspace(settings) as space:
        tracemalloc.start()
        try:
            rows = read_events(space, settings.events_dir, segments, DAY, timedelta(days=7))
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert space.count(f"SELECT count(DISTINCT actions) FROM {rows.decisions.sql}") == 1
        assert space.count(f"SELECT count(*) FROM {rows.decisions.sql}") == 24_000
    assert peak_bytes < 150 * 2**20
