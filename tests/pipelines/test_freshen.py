"""Fresh rows are what the next batch will say, arrive in seconds, and count nothing twice."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing as closing_file
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
import pytest
import structlog
from msgspec import structs
from redis import Redis
from structlog.testing import LogCapture

from models.context import device_place
from models.error import ContractError, NotReadyError
from models.event import encode_lines
from models.identity import keys_of
from models.interval import Interval
from models.layout import DEVICES, FAMILIARITY, PROFILE, TASTES, TITLE
from models.segment import Segment, closed_name, open_name
from pipelines.attribution import attribute
from pipelines.event_tail import EventTail
from pipelines.feature_chain import newest_state, note_path
from pipelines.feature_tables import build_features, view_path
from pipelines.fresh_state import FreshStates
from pipelines.freshen import Freshener, freshen
from pipelines.ingest import ingest
from pipelines.settings import Settings
from pipelines.state_part import state_path
from serving.catalogue_file import write_catalogue
from serving.feast_features import open_features
from serving.features import ProfileFeatures
from serving.late_features import LateFeatures
from tests.dags.log_world import day_of_log
from tests.pipelines.event_log import at, impression, page, play, write_segment
from tests.pipelines.feature_world import catalogue, day
from tests.serving.conftest import redis_address  # noqa: F401
from tests.serving.example import logged_pages, running, wait_for

FLOAT32 = 2e-6
"""What a float32 of at most 3 holds, and a second of 30 days' decay."""


@pytest.fixture
def home(scratch_store: Callable[..., tuple[Settings, Any]]) -> tuple[Settings, Any]:
    """A home with a catalogue and nothing else, and its store."""
    settings, store = scratch_store()
    write_catalogue(catalogue(), settings.catalogue_path)
    return settings, store


@pytest.fixture
def fresh(home: tuple[Settings, Any]) -> Iterator[Freshener]:
    freshener = Freshener(*home)
    yield freshener
    freshener.close()


def drain(freshener: Freshener) -> int:
    """Step until nothing is left to do; gives the rows written."""
    n_written = 0
    while (done := freshener.step()).n_lines or done.n_profiles:
        n_written += done.n_profiles
    return n_written


def batch(settings: Settings, interval: Interval) -> None:
    ingest(settings, interval)
    attribute(settings, interval)
    build_features(settings, interval)


def row(settings: Settings, view: str, interval: Interval, profile_id: str) -> dict[str, Any]:
    """Read a profile's row of the batch; who saw and played nothing has none of familiarity."""
    rows = pq.read_table(view_path(settings, view, interval.key), partitioning=None).to_pylist()
    nothing = {"title_keys": [], "minutes": [], "impressions": []} if view == "profile_familiarity" else None
    found = next((each for each in rows if each["profile_id"] == profile_id), nothing)
    assert found is not None
    return found


def online(settings: Settings, profile_id: str, moment: datetime) -> ProfileFeatures:
    found = open_features(settings).profile(profile_id, moment)
    assert found is not None
    return found


def check_equals_batch(settings: Settings, interval: Interval, profile_id: str) -> None:
    found = online(settings, profile_id, interval.end_at)
    taste, met = (row(settings, view, interval, profile_id) for view in ("profile_taste", "profile_familiarity"))
    np.testing.assert_allclose(found.vector, taste["vector"], rtol=0, atol=FLOAT32)
    assert found.title_keys.view(np.int64).tolist() == met["title_keys"]
    np.testing.assert_array_equal(found.minutes, np.float32(met["minutes"]))
    np.testing.assert_array_equal(found.impressions, np.float32(met["impressions"]))


def closing(interval: Interval, profiles: list[str]) -> list[Any]:
    """Let every profile ask for a page as the interval ends, so that no row is older than that."""
    end = interval.end_at - timedelta(microseconds=1)
    return [page(end, f"{interval.key}-{name}", profile_id=name, title_id="title-0") for name in profiles]


def test_two_days_of_fresh_rows_equal_the_rows_of_the_batches(home, fresh):
    settings, _ = home
    profiles = [f"profile-{number}" for number in range(100)]
    for number in (0, 1):
        events = [*day_of_log(number), *closing(day(number), profiles)]
        halves = [events[: len(events) // 2], events[len(events) // 2 :]]
        for part, half in enumerate(halves):
            write_segment(settings.events_dir, half, writer=f"w{number}p{part}")
            assert drain(fresh) > 50
        fresh_rows = {name: online(settings, name, day(number).end_at) for name in profiles}
        batch(settings, day(number))
        for name in profiles:
            check_equals_batch(settings, day(number), name)
        assert drain(fresh) == 0, "what the batch has counted is pending no more"
        assert len(fresh_rows) == 100


def test_rows_are_right_while_the_batches_are_two_intervals_behind(home, fresh):
    settings, _ = home
    profiles = [f"profile-{number}" for number in range(40)]
    write_segment(settings.events_dir, day_of_log(0), writer="w0")
    batch(settings, day(0))
    for number in (1, 2):
        write_segment(settings.events_dir, [*day_of_log(number), *closing(day(number), profiles)], writer=f"w{number}")
    assert drain(fresh) >= 40
    for number in (1, 2):
        batch(settings, day(number))
    for name in profiles:
        check_equals_batch(settings, day(2), name)


def test_what_is_repeated_late_unknown_or_anonymous_counts_as_the_batch_counts_it(home, fresh):
    settings, _ = home
    seen = at(2)
    events = [
        page(at(1), "d0", "d1", profile_id="p", title_id="title-1"),
        page(at(1), "d2", profile_id="~p", title_id="title-1"),
        impression("d0", seen), impression("d0", seen, at(5)), impression("d0", at(3)), impression("unknown", at(3)),
        impression("d2", at(3)), impression("d1", at(3), at(2)),  # the last one is seen an hour after it was received
        play("y", at(4), at(5), title_id="title-1", minutes=40.0),
        play("y", at(4), at(6), title_id="title-1", minutes=50.0),
        play("z", at(9), at(4), title_id="title-2"), play("q", at(4), profile_id="~p", title_id="title-1"),
        *closing(day(0), ["p"]),
    ]  # fmt: skip
    content = encode_lines(events)
    lines = content.splitlines(keepends=True)
    write_segment(settings.events_dir, events, writer="w0", extra=b"not a line\n")
    drain(fresh)
    batch(settings, day(0))
    check_equals_batch(settings, day(0), "p")
    assert online(settings, "p", day(0).end_at).minutes.tolist().count(40.0) == 1
    assert len(lines) == len(events)
    assert open_features(settings).profile("~p", day(0).end_at) is None


def test_an_impression_that_is_read_before_its_page_is_in_the_row_that_the_page_makes(home, fresh):
    settings, _ = home
    write_segment(settings.events_dir, [page(at(1), "a", profile_id="q"), impression("d", at(3))], "w0")
    write_segment(settings.events_dir, [page(at(2), "d", profile_id="p", title_id="title-1")], "w1")
    drain(fresh)
    assert online(settings, "p", at(4)).impressions.tolist() == [1.0]


def test_a_store_that_is_away_is_told_once_and_written_when_it_is_back(home, monkeypatch):
    # A logger of its own: whatever else ran in this process may have configured structlog for itself.
    told = LogCapture()
    logger = structlog.wrap_logger(None, processors=[told], wrapper_class=structlog.make_filtering_bound_logger(0))
    monkeypatch.setattr("pipelines.freshen._log", logger)
    settings = home[0].model_copy(update={"freshen_seconds": 0.05})
    table, stop = '"marquee_profile_taste_packed"', threading.Event()
    write_segment(settings.events_dir, [page(at(1), "a", profile_id="p")])
    with closing_file(sqlite3.connect(settings.home / "feast" / "online.db", isolation_level=None)) as store:
        store.execute(f"ALTER TABLE {table} RENAME TO away")
        keeper = threading.Thread(target=freshen, args=(settings, stop))
        keeper.start()
        try:
            wait_for(lambda: told.entries, seconds=30)
            time.sleep(0.5)  # some more tries
            assert keeper.is_alive(), "an error of the store must not end the process"
            store.execute(f"ALTER TABLE away RENAME TO {table}")
            wait_for(lambda: open_features(settings).profile("p", at(2)) is not None, seconds=30)
        finally:
            stop.set()
            keeper.join(30)
    assert [each["event"] for each in told.entries] == ["rows are not fresh"]


def test_the_batch_replaces_fresh_rows_of_its_interval_and_leaves_later_ones(home, fresh):
    settings, store = home
    views = ["profile_taste", "profile_familiarity"]
    write_segment(settings.events_dir, [page(at(1), "a", profile_id="idle"), page(at(1), "b", profile_id="busy")], "w0")
    drain(fresh)
    write_segment(settings.events_dir, [page(at(25), "c", profile_id="busy"), impression("c", at(26))], "w1")
    drain(fresh)
    before = online(settings, "busy", at(30))
    batch(settings, day(0))
    store.materialize(start_date=day(0).end_at, end_date=day(0).end_at, feature_views=views)
    np.testing.assert_array_equal(online(settings, "busy", at(30)).vector, before.vector)
    expected = row(settings, "profile_taste", day(0), "idle")["vector"]
    np.testing.assert_array_equal(online(settings, "idle", at(30)).vector, np.float32(expected))
    assert drain(fresh) == 1, "who did something since is counted onto the new state"
    again = online(settings, "busy", at(30))
    np.testing.assert_allclose(again.vector, before.vector, atol=FLOAT32)
    np.testing.assert_array_equal(again.impressions, before.impressions)


def test_an_interval_that_is_being_written_anew_takes_nobody_back_to_the_one_before(home, fresh):
    settings, _ = home
    for number in (0, 1):
        write_segment(settings.events_dir, day_of_log(number), writer=f"w{number}")
        batch(settings, day(number))
    write_segment(settings.events_dir, [page(at(50), "d", profile_id="profile-1")], "w2")
    assert drain(fresh) == 1
    note = settings.features_dir / "_built" / f"{day(1).key}.json"
    content = note.read_bytes()
    note.unlink()  # as a rebuild does until all its files are written
    assert drain(fresh) == 0
    note.write_bytes(content)
    assert drain(fresh) == 0
    shutil.rmtree(settings.features_dir)
    assert drain(fresh) > 50, "what is gone for good is no longer counted onto"


def test_a_crash_at_any_moment_counts_nothing_twice_and_loses_nothing(home):
    settings, store = home
    path = settings.events_dir / open_name(at(0), "w")
    path.parent.mkdir(parents=True)
    events = [
        page(at(1), "d", title_id="title-1"),
        play("y", at(2), at(3), title_id="title-1"),
        *closing(day(0), ["p"]),
    ]
    content = encode_lines(events)
    for cut in range(0, len(content), 97):
        path.write_bytes(content[: cut + 97])
        dying = Freshener(settings, store)
        dying._events.take(dying._tail.read_on(None))
        dying.close()  # before a single row was written
        reader = Freshener(settings, store)
        drain(reader)
        reader._events._db.execute("DELETE FROM segments")  # as if the place in the log had been lost
        assert drain(reader) <= 1
        reader.close()
    write_segment(settings.events_dir, events, writer="w")
    path.unlink()
    batch(settings, day(0))
    check_equals_batch(settings, day(0), "p")


def test_lines_are_read_once_while_a_segment_grows_and_when_it_is_renamed(tmp_path):
    path = tmp_path / "importer" / open_name(at(0), "w")
    path.parent.mkdir()
    content, offsets, lines = encode_lines([page(at(n), f"d{n}") for n in range(9)]), {}, []
    tail = EventTail(tmp_path, lambda segment: offsets.get(segment, 0))
    for end in range(0, len(content) + 1, 61):
        path.write_bytes(content[:end])
        for read in tail.read_on(at(0)):
            offsets[read.segment], lines = read.offset, lines + read.lines
    closed = write_segment(tmp_path / "importer", [page(at(n), f"d{n}") for n in range(9)], writer="w")
    assert closed.read_bytes() == content
    path.unlink()
    for read in tail.read_on(at(0), max_bytes=100):
        lines += read.lines
    assert lines == content.splitlines()
    assert not list(EventTail(tmp_path, lambda _: 0).read_on(at(20)))


def test_a_look_that_is_cut_short_is_not_through_and_leaves_nothing_behind(tmp_path):
    for number in range(5):
        write_segment(tmp_path, [page(at(number + part / 9), f"d{number}-{part}") for part in range(9)], f"w{number}")
    offsets, lines = {}, []
    tail = EventTail(tmp_path, lambda segment: offsets.get(segment, 0))
    while not tail.is_through:
        for read in tail.read_on(None, max_bytes=2_000):
            offsets[read.segment], lines = read.offset, lines + read.lines
    assert len(lines) == len(set(lines)) == 45


def test_months_of_segments_that_were_read_cost_nothing_but_their_names(home, monkeypatch):
    settings, store = home
    settings.events_dir.mkdir()
    for number in range(50_000):
        moment = at(-400) + timedelta(seconds=10 * number)
        (settings.events_dir / closed_name(moment, moment + timedelta(seconds=9), f"w{number}")).touch()
    write_segment(settings.events_dir, [page(at(1), "d", profile_id="p")], writer="busy")
    freshener, looked = Freshener(settings, store), []
    parse = Segment.at
    monkeypatch.setattr("pipelines.event_tail.Segment.at", lambda path: looked.append(path) or parse(path))
    drain(freshener)
    assert len(looked) >= 50_001, "without a state all of the log matters"
    looked.clear()
    write_segment(settings.events_dir, [page(at(2), "e", profile_id="p")], writer="new")
    assert freshener.step().n_lines == 1
    assert len(looked) <= 2
    freshener.close()


def test_the_places_of_segments_are_forgotten_once_a_batch_has_counted_them(home, fresh):
    settings, _ = home
    for number in range(20):
        write_segment(settings.events_dir, [page(at(number), f"d{number}", profile_id="p")], writer=f"w{number}")
    drain(fresh)
    assert places(fresh) == {f"w{number}" for number in range(20)}
    batch(settings, day(0))
    write_segment(settings.events_dir, [page(at(25), "e", profile_id="p")], writer="later")
    drain(fresh)
    assert places(fresh) == {"later"}


def places(freshener: Freshener) -> set[str]:
    return {segment for (segment,) in freshener._events._db.execute("SELECT segment FROM segments")}


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_freshener_that_starts_after_a_batch_knows_what_was_decided_and_played_before(home, ran_before):
    settings, store = home
    early = [page(at(1), "d0", profile_id="p", title_id="title-1"), *closing(day(0), ["q"])]
    late = [page(at(20), "d1", profile_id="p", title_id="title-2"), play("y", at(20.5), title_id="title-2")]
    late = [structs.replace(each, profile_id="p") for each in late]
    write_segment(settings.events_dir, early, writer="w0")
    if ran_before:  # and stopped before the second half of the day
        reader = Freshener(settings, store)
        drain(reader)
        reader.close()
    write_segment(settings.events_dir, late, writer="w1")
    batch(settings, day(0))
    reader = Freshener(settings, store)
    write_segment(
        settings.events_dir,
        [
            impression("d0", at(25)), impression("d1", at(26)),
            play("y", at(20.5), at(27), title_id="title-2"), play("z", at(28), title_id="title-1"),
            *closing(day(1), ["p"]),
        ],
        writer="w2",
    )  # fmt: skip
    drain(reader)
    batch(settings, day(1))
    check_equals_batch(settings, day(1), "p")
    assert sum(online(settings, "p", day(1).end_at).impressions) == 2.0
    assert places(reader) == {"w2"}
    reader.close()


def test_no_more_states_are_held_than_allowed(home):
    settings, _ = home
    write_segment(settings.events_dir, day_of_log(0), writer="w0")
    batch(settings, day(0))
    states = FreshStates(settings, newest_state(settings), max_profiles=10)
    state = pq.read_table(state_path(settings, "profile", day(0).key), partitioning=None)
    names = state["profile_id"].to_pylist()[:60]
    assert len(names) == 60
    for first in range(0, 60, 5):
        found = states.of([*names[first : first + 5], "nobody"])
        assert set(found["profile"]["profile_id"].to_pylist()) == set(names[first : first + 5])
        assert len(states._held) <= 10


def test_a_state_that_was_altered_is_counted_onto_by_nobody(home):
    settings, _ = home
    write_segment(settings.events_dir, day_of_log(0), writer="w0")
    batch(settings, day(0))
    states, path = FreshStates(settings, newest_state(settings)), state_path(settings, "profile", day(0).key)
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(1), path)
    with pytest.raises(ContractError, match=f"a state of interval {day(0).key} was altered"):
        states.of(["profile-1"])
    note_path(settings, day(0).key).unlink()
    with pytest.raises(NotReadyError, match=day(0).key):
        states.of(["profile-1"])


@pytest.fixture(params=["sqlite", "redis"])
def live_home(request: pytest.FixtureRequest, tmp_path: Path, applied_settings: Settings, scratch_store: Any) -> Any:
    """A home whose online rows are in SQLite or Redis, and a scorer's patience."""
    changes: dict[str, Any] = {"feature_budget_ms": 10_000, "uniform_cell_share": 0.0, "freshen_seconds": 0.2}
    if request.param == "redis":
        address, name = request.getfixturevalue("redis_address"), "feature_store.redis.yaml"
        monkeypatch, project = request.getfixturevalue("monkeypatch"), f"marquee_test_{uuid4().hex}"
        (tmp_path / "repo").mkdir()
        text = (applied_settings.feature_repo / name).read_text().replace("project: marquee\n", f"project: {project}\n")
        (tmp_path / "repo" / name).write_text(text)
        monkeypatch.setenv("MARQUEE_REDIS", address)
        changes |= {"feature_repo": tmp_path / "repo", "feature_store_file": name}
    settings, store = scratch_store(**changes)
    write_catalogue(catalogue(), settings.catalogue_path)
    yield settings, store
    if request.param == "redis":
        host, _, port = address.partition(":")
        with Redis(host, int(port or 6379)) as client:
            for key in list(client.scan_iter(match=f"*{project}*", count=1_000)):
                client.delete(key)


def test_a_play_is_in_the_features_of_a_page_within_five_seconds(live_home):
    settings, _ = live_home
    stop = threading.Event()
    keeper = threading.Thread(target=freshen, args=(settings, stop))
    asked = {"profile_id": "viewer", "titles": ["title-1"], "context": {"device": "tv"}}
    with running(settings, features=LateFeatures(lambda: open_features(settings))) as server:
        keeper.start()
        try:
            answer = server.client.post("/v1/pages", json=asked).json()
            wait_for(lambda: _profile_of_next_page(server, settings, asked)[0].any())
            time.sleep(1.0)  # Redis keeps whole seconds
            now = datetime.now(UTC)
            events = {
                "impressions": [{"decision_id": answer["decisions"][0]["decision_id"], "seen_at": now.isoformat()}],
                "plays": [
                    {"play_id": "y", "profile_id": "viewer", "title_id": "title-1", "started_at": now.isoformat()}
                    | {"minutes": 90.0, "completion": 1.0}
                ],
            }
            assert server.client.post("/v1/events", json=events).status_code < 300
            sent = time.monotonic()
            wait_for(lambda: _profile_of_next_page(server, settings, asked)[1][1] > 0, seconds=30)
            waited_seconds = time.monotonic() - sent
        finally:
            stop.set()
            keeper.join(30)
        vector, familiarity = _profile_of_next_page(server, settings, asked)
    assert waited_seconds < 5.0
    np.testing.assert_allclose(familiarity, np.float32([1.0, np.log1p(90.0), np.log1p(1.0)]), rtol=1e-6)
    _check_next_batch(settings, vector)


def _profile_of_next_page(server: Any, settings: Settings, asked: dict[str, Any]) -> tuple[Any, Any]:
    """Ask for a page; give profile vector and familiarity as they were served and logged."""
    page_id = server.client.post("/v1/pages", json=asked).json()["page_id"]
    logged = next(each for each in logged_pages(settings.events_dir) if each.page_id == page_id)
    features = np.frombuffer(logged.decisions[0].features, "<f4")
    return np.frombuffer(logged.profile_features, "<f4"), features[len(TITLE) : len(TITLE) + len(FAMILIARITY)]


def _check_next_batch(settings: Settings, served: Any) -> None:
    """Build the running interval as a batch will: counts are equal, and taste but for a day's decay."""
    interval = Interval.containing(datetime.now(UTC), settings.interval_hours)
    batch(settings, interval)
    found = np.float32(row(settings, "profile_taste", interval, "viewer")["vector"])
    counts = [PROFILE.index(name) for name in ("log_impressions", "log_plays", "quality_rate")]
    np.testing.assert_array_equal(found[counts], served[counts])
    np.testing.assert_allclose(found[: len(TASTES)], served[: len(TASTES)], rtol=0.03)
    assert served[PROFILE.index(f"share:{DEVICES[device_place('tv')]}")] == 1.0
    met = row(settings, "profile_familiarity", interval, "viewer")
    assert met["title_keys"] == keys_of(["title-1"]).view(np.int64).tolist()
    assert (met["minutes"], met["impressions"]) == ([90.0], [1.0])
