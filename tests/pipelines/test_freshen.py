"""Fresh rows are what the next batch will say, arrive in seconds, and count nothing twice."""

import shutil
import sqlite3
import threading
import time
from contextlib import closing as closing_file

import numpy as np
import pyarrow.parquet as pq
import pytest
import structlog
from structlog.testing import LogCapture

from models.error import ContractError, NotReadyError
from models.event import encode_lines
from models.segment import open_name
from pipelines.feature_chain import newest_state, note_path
from pipelines.fresh_state import FreshStates
from pipelines.freshen import Freshener, freshen
from pipelines.state_part import state_path
from serving.feast_features import open_features
from tests.dags.log_world import day_of_log
from tests.pipelines.event_log import at, impression, page, play, write_segment
from tests.pipelines.feature_world import day
from tests.pipelines.fresh_batch import FLOAT32, batch, check_equals_batch, closing, drain, online, row
from tests.serving.example import wait_for


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
