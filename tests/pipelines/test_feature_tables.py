"""Feature tables are a pure function of what was known, and are never built over a gap."""

import json
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from models.catalogue import Catalogue, Title
from models.error import ContractError, NotReadyError
from models.layout import TITLE
from pipelines.doctor import examine
from pipelines.feature_chain import built_intervals, note_path
from pipelines.feature_rows import VIEWS, WIDTHS
from pipelines.feature_tables import build_features, view_path
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.part import part_bytes, read_part
from pipelines.settings import Settings
from pipelines.state_part import state_path
from pipelines.status import status
from pipelines.table import PLAYS
from pipelines.training import choose_as_of
from pipelines.watermark import mark_refreshed, refreshed_through
from serving.catalogue_file import write_catalogue
from tests.pipelines.event_log import page, write_segment
from tests.pipelines.feature_world import LATE_TITLE, catalogue, day, make_home, make_world, settings_of

N_DAYS = 3


@pytest.fixture
def built(tmp_path) -> Settings:
    settings = make_home(tmp_path / "home", N_DAYS)
    for number in range(N_DAYS):
        build_features(settings, day(number))
    return settings


def contents(settings: Settings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in settings.features_dir.rglob("*") if path.is_file()}


def rows(settings: Settings, view: str, number: int) -> pa.Table:
    return pq.read_table(view_path(settings, view, day(number).key), partitioning=None)


def test_rebuilding_any_interval_in_any_order_changes_no_byte(built):
    before = contents(built)
    assert len(before) == N_DAYS * (4 + 4 + 4 + 1)
    for number in (1, 2, 0, 2, 1):
        assert build_features(built, day(number)).n_changed == 0
    assert contents(built) == before


def test_another_home_with_the_same_input_gets_the_same_bytes(built, tmp_path):
    other = make_home(tmp_path / "other", N_DAYS)
    for number in range(N_DAYS):
        build_features(other, day(number))
    named = [{path.relative_to(s.home): content for path, content in contents(s).items()} for s in (built, other)]
    assert named[0] == named[1]


@pytest.mark.parametrize("view", VIEWS)
def test_rows_carry_the_schema_the_interval_end_and_vectors_of_the_layout(built, view):
    for number in range(N_DAYS):
        table = rows(built, view, number)
        assert table.schema.equals(VIEWS[view])
        assert len(table) > 0
        assert set(table["event_timestamp"].to_pylist()) == {day(number).end_at}
        assert set(table["created_timestamp"].to_pylist()) == {day(number).end_at}
        assert len(set(table.column(0).to_pylist())) == len(table)
        if view in WIDTHS:
            assert set(table["vector"].combine_chunks().value_lengths().to_pylist()) == {WIDTHS[view]}
            assert np.isfinite(table["vector"].combine_chunks().flatten().to_numpy()).all()


def test_profiles_get_rows_when_they_did_something_and_anonymous_ones_never(built):
    active = {
        row["profile_id"] for row in make_world(N_DAYS).tables["decisions"] if row["decided_at"] >= day(2).start_at
    }
    found = set(rows(built, "profile_taste", 2)["profile_id"].to_pylist())
    assert {name for name in active if not name.startswith("~")} <= found
    assert not [name for name in found if name.startswith("~")]
    assert found == set(rows(built, "profile_familiarity", 2)["profile_id"].to_pylist())


def test_a_title_has_no_row_before_it_was_launched(built):
    assert LATE_TITLE not in rows(built, "title_profile", 0)["title_id"].to_pylist()
    assert LATE_TITLE in rows(built, "title_profile", 1)["title_id"].to_pylist()


def test_a_later_launch_changes_nothing_that_was_built_before(built):
    old = catalogue()
    later = Title("title-new", day(2).start_at, {"drama": 1.0})
    write_catalogue(Catalogue([*old.titles.values(), later], old.artworks.values()), built.catalogue_path)
    assert build_features(built, day(1)).n_changed == 0
    assert build_features(built, day(2)).n_changed > 0
    assert "title-new" in rows(built, "title_profile", 2)["title_id"].to_pylist()


def test_ages_are_counted_to_the_interval_end(built):
    table = rows(built, "title_profile", 1)
    place = table["title_id"].to_pylist().index("title-0")
    age = table["vector"][place].as_py()[TITLE.index("log_age_days")]
    assert age == pytest.approx(np.log1p(32.0) / 3)


def test_an_interval_is_refused_until_every_logged_one_before_it_is_built(tmp_path):
    settings = make_home(tmp_path, N_DAYS)
    with pytest.raises(NotReadyError, match=day(0).key):
        build_features(settings, day(1))
    build_features(settings, day(0))
    with pytest.raises(NotReadyError, match=day(1).key):
        build_features(settings, day(2))
    assert built_intervals(settings) == [day(0).key]


def test_an_interval_is_refused_while_the_one_before_rests_on_a_state_that_changed(built):
    settings = built
    lake = Lake(settings.lake_dir)
    plays = lake.read(PLAYS, day(0).start_at, day(0).end_at)
    lake.overwrite(PLAYS, day(0), plays.slice(1))
    assert build_features(settings, day(0)).n_changed > 0
    with pytest.raises(NotReadyError, match=day(1).key):
        build_features(settings, day(2))
    build_features(settings, day(1))
    assert build_features(settings, day(2)).n_changed > 0


def test_features_built_around_an_interval_are_refused_by_name_until_they_are_rebuilt(tmp_path):
    settings, world = settings_of(tmp_path / "home"), make_world(N_DAYS)
    write_catalogue(catalogue(), settings.catalogue_path)
    for number in (0, 2, 1):  # nothing tells of day 1 until it is there
        world.write(settings, [number])
        build_features(settings, day(number))
        mark_refreshed(settings, day(number))
    mended_by = f"{day(2).key} rest on .*: marquee backfill --from 2026-11-03T00:00:00 --to 2026-11-04T00:00:00"
    with pytest.raises(NotReadyError, match=mended_by):
        choose_as_of(settings)
    with pytest.raises(NotReadyError, match=mended_by):
        build_features(settings, day(3))
    assert re.search(mended_by, status(settings).gap)
    assert [each.ok for each in examine(settings).findings if each.what == "online store"] == [False]
    assert refreshed_through(settings) == choose_as_of(settings, day(1).end_at) == day(1).end_at
    assert build_features(settings, day(2)).n_changed > 0
    assert choose_as_of(settings) == day(2).end_at
    assert status(settings).gap is None
    in_order = make_home(tmp_path / "other", N_DAYS)
    for number in range(N_DAYS):
        build_features(in_order, day(number))
    assert build_features(settings, day(2)).n_changed == 0
    for number in range(N_DAYS):
        assert rows(settings, "profile_taste", number).equals(rows(in_order, "profile_taste", number))


def test_an_interval_waits_for_those_since_the_newest_built_that_the_event_log_may_hold(tmp_path):
    settings = settings_of(tmp_path)
    write_catalogue(catalogue(), settings.catalogue_path)
    for number in (0, 1, 2, 4):
        write_segment(settings.events_dir, [page(day(number).start_at + timedelta(hours=9), "d")], writer=f"w{number}")
    ingest(settings, day(1))
    build_features(settings, day(1))  # building may begin in the middle of a log
    ingest(settings, day(4))
    waits = (
        f"of interval {day(2).key} must be built before .*: marquee backfill --from 2026-11-03T00:00:00 --to 2026-11-06"
    )
    with pytest.raises(NotReadyError, match=waits):
        build_features(settings, day(4))
    ingest(settings, day(2))
    build_features(settings, day(2))
    build_features(settings, day(4))  # of day 3 there is nothing
    assert built_intervals(settings) == [day(number).key for number in (1, 2, 4)]


def test_an_interval_that_is_being_built_anew_is_waited_for(built, monkeypatch):
    gone = [day(0).key, "20261101T120000Z", day(1).key]
    monkeypatch.setattr("pipelines.feature_chain.built_intervals", lambda _: gone)
    with pytest.raises(NotReadyError, match="20261101T120000Z are being built anew"):
        build_features(built, day(2))


def test_a_crash_between_two_files_leaves_the_interval_not_built_and_a_rerun_mends_it(built, monkeypatch):
    before = contents(built)
    view_path(built, "title_profile", day(2).key).unlink()
    view_path(built, "artwork_profile", day(2).key).unlink()
    calls = []

    def crash(path: Path, content: bytes) -> bool:
        calls.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.feature_tables.write_whole", crash)
        with pytest.raises(KeyboardInterrupt):
            build_features(built, day(2))
    assert built_intervals(built) == [day(0).key, day(1).key]
    build_features(built, day(2))
    assert contents(built) == before


def test_a_broken_state_is_named_and_nothing_is_written(built):
    path = built.features_dir / "_state" / "profile" / f"interval={day(1).key}" / "part.parquet"
    path.write_bytes(path.read_bytes()[:100])
    before = contents(built)
    with pytest.raises(ContractError, match=str(path)):
        build_features(built, day(2))
    assert contents(built) == before


def _change_a_state(settings: Settings) -> None:
    path = state_path(settings, "title", day(1).key)
    table = pq.read_table(path, partitioning=None)
    path.write_bytes(part_bytes(table.set_column(1, table.schema.field(1), pc.add(table["n_impressions"], 1))))


def test_states_that_are_not_those_of_their_note_are_refused(built):
    _change_a_state(built)
    before = contents(built)
    with pytest.raises(ContractError, match=f"a state of interval {day(1).key} was altered: .*{day(1).key}.json"):
        build_features(built, day(2))
    assert contents(built) == before


@pytest.mark.parametrize("is_done", [False, True])
def test_states_that_are_built_anew_while_they_are_read_are_waited_for(built, monkeypatch, is_done):
    note = note_path(built, day(1).key)

    def meanwhile(path: Path, schema: pa.Schema) -> pa.Table:
        table = read_part(path, schema)
        if path == state_path(built, "title", day(1).key):
            _change_a_state(built)
            fields = json.loads(note.read_bytes()) | {"state": "another"}
            note.unlink()
            if is_done:
                note.write_text(json.dumps(fields))
        return table

    monkeypatch.setattr("pipelines.feature_tables.read_part", meanwhile)
    with pytest.raises(NotReadyError, match=f"{day(1).key} .* built anew"):
        build_features(built, day(2))


def test_an_interval_without_events_is_built_too(built):
    empty = day(N_DAYS)
    result = build_features(built, empty)
    assert result.n_rows["profile_taste"] == 0
    assert built_intervals(built)[-1] == empty.key
    assert empty.end_at - day(0).start_at == timedelta(days=N_DAYS + 1)


def test_a_layout_that_changed_without_a_version_is_refused_by_file_and_column_before_anything_is_written(built):
    path = view_path(built, "title_profile", day(1).key)
    table = pq.read_table(path, partitioning=None)
    place = table.schema.get_field_index("vector")
    wider = [[*vector, 0.0] for vector in table["vector"].to_pylist()]
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(wider, pa.list_(pa.float32()))), path)
    before = contents(built)
    width = WIDTHS["title_profile"]
    expected = f"title_profile.vector must have {width} values, got {width + 1} .* in {path}"
    with pytest.raises(ContractError, match=expected):
        build_features(built, day(2))
    assert contents(built) == before


def test_a_home_without_a_catalogue_is_refused_with_what_makes_one(tmp_path):
    with pytest.raises(ContractError, match=r"no catalogue at .*`marquee import` or"):
        build_features(Settings(home=tmp_path), day(0))
    assert list(tmp_path.iterdir()) == []
