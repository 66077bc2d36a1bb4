"""What is online is the newest row of each key, whatever was materialised last."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.error import ContractError, NotReadyError
from models.identity import keys_of
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import build_features, view_path
from pipelines.materialize import materialize
from pipelines.training import choose_as_of
from pipelines.watermark import refreshed_intervals, refreshed_through
from serving.feast_features import open_features
from tests.pipelines.feature_world import N_DAYS, day


def newest_rows(settings, view: str) -> dict[str, dict]:
    """Find the newest row of every key among the days that were materialised."""
    newest = {}
    for number in range(N_DAYS - 1):
        path = view_path(settings, view, day(number).key)
        newest |= {row[VIEWS[view].names[0]]: row for row in pq.read_table(path, partitioning=None).to_pylist()}
    return newest


def check_online_is_newest(settings) -> None:
    features, at = open_features(settings), day(N_DAYS - 1).start_at
    for view, read in (("title_profile", features.titles), ("artwork_profile", features.artworks)):
        rows = newest_rows(settings, view)
        expected = np.array([row["vector"] for row in rows.values()], dtype=np.float32)
        np.testing.assert_array_equal(read(list(rows)).vectors, expected)
    tastes, known = newest_rows(settings, "profile_taste"), newest_rows(settings, "profile_familiarity")
    assert len(tastes) > 5
    for name, row in tastes.items():
        found = features.profile(name, at)
        np.testing.assert_array_equal(found.vector, np.array(row["vector"], np.float32))
        np.testing.assert_array_equal(found.title_keys.view(np.int64), known[name]["title_keys"])
        np.testing.assert_array_equal(found.minutes, np.array(known[name]["minutes"], np.float32))
        np.testing.assert_array_equal(found.impressions, np.array(known[name]["impressions"], np.float32))


def test_online_equals_the_newest_offline_rows(feast_world):
    check_online_is_newest(feast_world)


def test_materialising_an_older_interval_again_leaves_online_as_it_is(feast_world):
    for number in (0, 1):
        assert materialize(feast_world, day(number)).n_rows["profile_taste"] > 0
    check_online_is_newest(feast_world)


def test_a_correction_of_the_newest_interval_reaches_online(feast_world):
    newest = day(N_DAYS - 2)
    path = view_path(feast_world, "profile_taste", newest.key)
    original = path.read_bytes()
    table = pq.read_table(path, partitioning=None)
    doubled = [[2 * value for value in vector] for vector in table["vector"].to_pylist()]
    column = pa.array(doubled, table.schema.field("vector").type)
    name = table["profile_id"][0].as_py()
    before = open_features(feast_world).profile(name, newest.end_at)
    try:
        pq.write_table(table.set_column(1, "vector", column), path)
        materialize(feast_world, newest)
        after = open_features(feast_world).profile(name, newest.end_at)
        np.testing.assert_allclose(after.vector, 2 * before.vector)
        np.testing.assert_array_equal(after.title_keys, before.title_keys)
    finally:
        path.write_bytes(original)
        materialize(feast_world, newest)
    check_online_is_newest(feast_world)


def test_the_watermark_is_the_end_of_the_last_refreshed_interval_without_a_gap(feast_world):
    assert refreshed_intervals(feast_world) == [day(number) for number in range(N_DAYS - 1)]
    assert refreshed_through(feast_world) == day(N_DAYS - 2).end_at
    note = feast_world.features_dir / "_refreshed" / f"{day(1).key}.json"
    hidden = note.rename(note.with_suffix(".away"))
    try:
        assert refreshed_through(feast_world) == day(0).end_at
        with pytest.raises(NotReadyError, match=r"from 2026-11-02T00:00:00 to 2026-11-03T00:00:00.*--to 2026-11-04"):
            choose_as_of(feast_world)
        assert choose_as_of(feast_world, day(0).end_at) == day(0).end_at
    finally:
        hidden.rename(note)


def _truncated(content: bytes) -> bytes:
    return content[:60]


def _garbled(content: bytes) -> bytes:
    return content[:4] + bytes(byte ^ 255 for byte in content[4:200]) + content[200:]


# Of an earlier part only the footer is read: it tells that none of its rows are asked for.
@pytest.mark.parametrize(("change", "number"), [(_truncated, 0), (_truncated, N_DAYS - 2), (_garbled, N_DAYS - 2)])
def test_a_broken_part_of_this_or_an_earlier_interval_is_named(feast_world, change, number):
    path = view_path(feast_world, "title_profile", day(number).key)
    original = path.read_bytes()
    path.write_bytes(change(original))
    try:
        with pytest.raises(ContractError, match=re.escape(str(path))):
            materialize(feast_world, day(N_DAYS - 2))
    finally:
        path.write_bytes(original)
    materialize(feast_world, day(N_DAYS - 2))


def _without_key(table: pa.Table) -> pa.Table:
    return _with(table, 0, [None, *table.column(0).to_pylist()[1:]])


def _without_vector(table: pa.Table) -> pa.Table:
    return _with(table, 1, [None, *table.column(1).to_pylist()[1:]])


def _without_an_item(table: pa.Table) -> pa.Table:
    first, *rest = table.column(1).to_pylist()
    return _with(table, 1, [[None, *first[1:]], *rest])


def _of_another_length(table: pa.Table) -> pa.Table:
    *rest, last = table.column(1).to_pylist()
    return _with(table, 1, [*rest, [*last, last[0]]])


def _with(table: pa.Table, place: int, values: list) -> pa.Table:
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values, field.type))


@pytest.mark.parametrize("change", [_without_key, _without_vector, _without_an_item, _of_another_length])
@pytest.mark.parametrize("view", ["profile_familiarity", "artwork_profile"])
def test_a_part_that_would_break_on_its_way_online_is_named_before_any_view_is_there(feast_world, view, change):
    newest = day(N_DAYS - 2)
    paths = {name: view_path(feast_world, name, newest.key) for name in ("profile_taste", view)}
    originals = {name: path.read_bytes() for name, path in paths.items()}
    online = {file: file.read_bytes() for file in (feast_world.home / "feast").glob("online*")}
    taste, broken = (pq.read_table(path, partitioning=None) for path in paths.values())
    doubled = [[2 * value for value in vector] for vector in taste["vector"].to_pylist()]
    try:
        pq.write_table(_with(taste, 1, doubled), paths["profile_taste"])
        pq.write_table(change(broken), paths[view])
        column = VIEWS[view].names[0 if change is _without_key else 1]
        with pytest.raises(ContractError, match=rf"{view}(\.|: ){column}.*{re.escape(str(paths[view]))}"):
            materialize(feast_world, newest)
        assert {file: file.read_bytes() for file in (feast_world.home / "feast").glob("online*")} == online
    finally:
        for name, path in paths.items():
            path.write_bytes(originals[name])


def test_an_interval_that_is_not_built_is_refused(feast_world):
    with pytest.raises(NotReadyError, match=day(40).key):
        materialize(feast_world, day(40))
    assert day(40) not in refreshed_intervals(feast_world)


def test_keys_are_the_same_online_and_in_pages(feast_world):
    features = open_features(feast_world)
    found = features.profile("profile-0", day(N_DAYS - 1).start_at)
    assert set(found.title_keys.tolist()) <= set(keys_of([f"title-{number}" for number in range(6)]).tolist())


def test_many_threads_read_whole_rows_while_an_interval_is_materialised(feast_world):
    features, at = open_features(feast_world), day(N_DAYS - 1).start_at
    names = list(newest_rows(feast_world, "profile_taste"))
    expected = {name: features.profile(name, at) for name in names}
    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(features.profile, names[number % len(names)], at) for number in range(400)]
        materialize(feast_world, day(N_DAYS - 2))
    for number, read in enumerate(reads):
        wanted = expected[names[number % len(names)]]
        np.testing.assert_array_equal(read.result().vector, wanted.vector)
        np.testing.assert_array_equal(read.result().title_keys, wanted.title_keys)


def test_an_interval_without_rows_is_refreshed_too(feast_world):
    empty = day(N_DAYS)
    build_features(feast_world, empty)
    assert set(materialize(feast_world, empty).n_rows.values()) == {0}
    assert empty in refreshed_intervals(feast_world)
    (feast_world.features_dir / "_refreshed" / f"{empty.key}.json").unlink()
    check_online_is_newest(feast_world)
