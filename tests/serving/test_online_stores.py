"""Every online store keeps the newest row whoever writes last, under readers, writers and kills, on a real server."""

import itertools
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
from feast import RepoConfig
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.packed_online_store import key_of
from serving.packed_row import stamps, unpack_arrays
from tests.serving.online_stores import OTHER, VIEW, config_of, key, new_store, read, rows, values, write

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(params=["newest_sqlite", "newest_redis", "newest_postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RepoConfig]:
    """A store of each kind, with tables for two views."""
    if request.param == "newest_sqlite":
        where: dict[str, Any] = {"path": str(tmp_path / "deep" / "online.db")}
    else:
        server = "redis_address" if request.param == "newest_redis" else "postgres_url"
        where = {"connection_string": request.getfixturevalue(server)}
    config = config_of(request.param, tmp_path, **where)
    new_store(config).update(config, [], [VIEW, OTHER], [], [], partial=False)
    yield config
    new_store(config).teardown(config, [VIEW, OTHER], [])


def test_an_older_row_never_replaces_a_newer_one(config):
    write(config, *rows(2.0, MONDAY))
    write(config, *rows(1.0, MONDAY - timedelta(days=1), created_at=MONDAY + timedelta(days=9)))
    assert read(config) == [(MONDAY, 2.0)]
    write(config, *rows(3.0, MONDAY + timedelta(microseconds=1)))
    assert read(config) == [(MONDAY + timedelta(microseconds=1), 3.0)]


def test_a_correction_of_the_newest_row_replaces_it_and_what_it_corrects_does_not_come_back(config):
    write(config, *rows(1.0, MONDAY))
    write(config, *rows(2.0, MONDAY, created_at=MONDAY + timedelta(hours=1)))
    assert read(config) == [(MONDAY, 2.0)]
    write(config, *rows(1.0, MONDAY))
    assert read(config) == [(MONDAY, 2.0)]


def test_a_correction_with_the_same_two_times_replaces(config):
    # Created times are functions of the data here: a rebuilt interval has the ones that it had.
    write(config, *rows(1.0, MONDAY))
    write(config, *rows(2.0, MONDAY))
    assert read(config) == [(MONDAY, 2.0)]


def test_a_write_of_old_and_new_rows_together_keeps_the_new(config):
    write(config, *rows(2.0, MONDAY), *rows(1.0, MONDAY - timedelta(days=1)))
    assert read(config) == [(MONDAY, 2.0)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([None, 0, 1, 2])), max_size=5),
        max_size=5,
    )
)
def test_whatever_is_written_in_whatever_order_the_newest_is_online(config, batches):
    new_store(config).teardown(config, [VIEW], [])
    new_store(config).update(config, [], [VIEW], [], [], partial=False)
    expected: dict[int, tuple[tuple[int, int], float]] = {}
    number = 0.0
    for batch in batches:
        data = []
        for who, event, created in batch:
            number += 1
            created_at = None if created is None else MONDAY + created * SECOND
            data.append((key(f"p{who}"), values(number), MONDAY + event * SECOND, created_at))
            rank = (event, -1 if created is None else created)
            if who not in expected or rank >= expected[who][0]:
                expected[who] = (rank, number)
        write(config, *data)
    wanted = [expected.get(who) for who in range(3)]
    assert read(config, 3) == [(MONDAY + held[0][0] * SECOND, held[1]) if held else (None, None) for held in wanted]


def test_unknown_keys_are_none_and_the_order_is_the_askers(config):
    write(config, (key("p3"), values(1.0), MONDAY, None))
    assert read(config, 5) == [(None, None)] * 3 + [(MONDAY, 1.0), (None, None)]


def test_every_kind_of_value_comes_back_and_only_what_is_asked_for(config):
    write(config, *rows(1.5, MONDAY))
    ((_, found),) = new_store(config).online_read(config, VIEW, [key("p0")])
    assert found == values(1.5)
    ((_, found),) = new_store(config).online_read(config, VIEW, [key("p0")], ["vector", "note"])
    assert found == {name: value for name, value in values(1.5).items() if name in {"vector", "note"}}


def test_a_page_reads_the_same_rows_of_several_views_at_once(config):
    write(config, *rows(1.5, MONDAY))
    write(config, (key("p0"), {"a": Value(float_val=7)}, MONDAY + SECOND, None), view=OTHER)
    one, two, three = new_store(config).packed_rows(
        config, ["view", "other", "view"], key_of(config, "profile_id", "p0")
    )
    assert one == three
    assert [stamps(row)[0] for row in (one, two)] == [int(at.timestamp() * 1e6) for at in (MONDAY, MONDAY + SECOND)]
    arrays = unpack_arrays(one, "p0")
    assert arrays["vector"].tolist() == list(values(1.5)["vector"].float_list_val.val)
    assert arrays["title_keys"].tolist() == [1, -(2**63)]
    assert set(arrays) == {"vector", "title_keys"}
    assert (
        new_store(config).packed_rows(config, ["view", "other"], key_of(config, "profile_id", "nobody")) == [None] * 2
    )


def test_more_keys_than_a_statement_takes_are_read(config):
    write(config, *rows(1.0, MONDAY, n=3))
    found = read(config, 40_000)
    assert found[:4] == [(MONDAY, 1.0)] * 3 + [(None, None)]


def test_dropped_views_lose_their_rows_and_kept_ones_do_not(config):
    write(config, *rows(1.0, MONDAY))
    write(config, (key("p0"), {"a": Value(float_val=7)}, MONDAY, None), view=OTHER)
    store = new_store(config)
    store.update(config, [], [VIEW, OTHER], [], [], partial=False)
    assert read(config) == [(MONDAY, 1.0)]
    store.update(config, [VIEW], [OTHER], [], [], partial=False)
    store.update(config, [], [VIEW, OTHER], [], [], partial=False)
    assert read(config) == [(None, None)]
    assert read(config, view=OTHER) == [(MONDAY, 7.0)]


def is_atomic(config: RepoConfig) -> bool:
    """Tell whether a batch is one transaction: Redis takes some hundreds of rows at a time."""
    return "redis" not in config.online_store.type


def test_readers_and_writers_in_threads_see_rows_that_never_go_back(config):
    n, n_batches = 50, 40
    write(config, *rows(0.0, MONDAY, n=n))
    store, failures, done = new_store(config), [], threading.Event()

    def writer(parity: int) -> None:
        for number in range(parity, n_batches, 2):
            store.online_write_batch(config, VIEW, rows(float(number), MONDAY + timedelta(seconds=number), n=n), None)

    def reader() -> None:
        newest = [0.0] * n
        while not done.is_set():
            found = [value for _, value in read(config, n, store)]
            if is_atomic(config) and len(set(found)) != 1:
                failures.append(found)
            if any(now < before for now, before in zip(found, newest, strict=True)):
                failures.append(found)
            newest = found

    readers = [threading.Thread(target=reader) for _ in range(3)]
    writers = [threading.Thread(target=writer, args=(parity,)) for parity in (0, 1)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not failures
    assert {value for _, value in read(config, n)} == {float(n_batches - 1)}


def start_endless_writer(config: RepoConfig, n: int) -> tuple[int, TextIO]:
    """Fork a process that writes batch after batch and prints the number of each; nothing is imported again for it."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads. The child takes none of our locks: it writes, prints and is killed.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            for number in itertools.count(1):
                write(config, *rows(float(number), MONDAY + timedelta(seconds=number), n=n))
                os.write(writing, f"{number}\n".encode())
        finally:
            os._exit(1)
    os.close(writing)
    return child, os.fdopen(reading)


def test_a_writer_killed_in_the_middle_leaves_whole_rows_and_no_half_transaction(config):
    n = 2_000
    write(config, *rows(0.0, MONDAY, n=n))
    child, printed = start_endless_writer(config, n)
    with printed:
        try:
            assert [printed.readline() for _ in range(2)] == ["1\n", "2\n"]
        finally:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    left = {value for _, value in read(config, n)}
    assert min(left) >= 2
    assert len(left) == 1 or not is_atomic(config)
    write(config, *rows(1e6, MONDAY + timedelta(days=1), n=n))
    assert {value for _, value in read(config, n)} == {1e6}


def test_times_do_not_depend_on_the_time_zone_of_the_process(config, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        write(config, *rows(1.0, MONDAY.replace(tzinfo=None)), *rows(1.0, MONDAY))
        assert read(config) == [(MONDAY, 1.0)]
    time.tzset()
    assert read(config) == [(MONDAY, 1.0)]
