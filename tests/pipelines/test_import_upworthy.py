from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.error import ContractError
from models.event import Impression, Play, decode_line
from models.interval import Interval
from models.segment import find_segments
from pipelines.import_log import Imported
from pipelines.import_upworthy import import_upworthy, week_bounds
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, PLAYS
from serving.catalogue_file import read_catalogue

PACKAGES: list[dict[str, object]] = [
    {"test_id": "b", "test_week": 201446, "headline": "One", "eyecatcher_id": "e1", "impressions": 30, "clicks": 6},
    {"test_id": "a", "test_week": 201447, "headline": "Two", "eyecatcher_id": "e2", "impressions": 10, "clicks": 0},
    {"test_id": "b", "test_week": 201446, "headline": "Six", "eyecatcher_id": None, "impressions": 10, "clicks": 1},
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def write_packages(path: Path, rows: list[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def counted(settings: Settings) -> dict[str, tuple[int, int]]:
    """Impressions and clicks by artwork, as the segments tell them."""
    lines = [line for one in find_segments(settings.events_dir) for line in one.path.read_bytes().splitlines()]
    events = [decode_line(line) for line in lines]
    artwork, seen, clicked = {}, Counter[str](), Counter[str]()
    for event in events:
        if isinstance(event, Impression):
            seen[artwork[event.decision_id]] += 1
        elif isinstance(event, Play):
            clicked[artwork[event.play_id.removesuffix("-play")]] += 1
        else:
            (decision,) = event.decisions
            assert decision.propensity == 1 / len(decision.actions)
            artwork[decision.decision_id] = decision.artwork_id
    return {name: (seen[name], clicked[name]) for name in sorted(seen)}


def test_counts_become_decisions_and_clicks_become_plays(settings: Settings, tmp_path: Path) -> None:
    imported = import_upworthy(settings, write_packages(tmp_path / "p.parquet", PACKAGES))
    assert imported == Imported(50, 7, 2, 3, "20141116T000000Z", "20141129T000000Z")
    assert counted(settings) == {"upworthy-a-0": (10, 0), "upworthy-b-0": (30, 6), "upworthy-b-1": (10, 1)}
    day = Interval.parse("20141116T000000Z", hours=24)
    ingest(settings, day)
    (first, *_) = Lake(settings.lake_dir).read(DECISIONS, day.start_at, day.end_at).to_pylist()
    (folder,) = settings.events_dir.iterdir()
    assert first["profile_id"] == f"~upworthy-b-{folder.name.removeprefix('import-upworthy-')}-0"
    assert (first["policy_version"], first["cell"], first["propensity"]) == ("upworthy-random", "uniform", 0.5)


def test_packages_become_artworks_with_their_image_as_motif(settings: Settings, tmp_path: Path) -> None:
    import_upworthy(settings, write_packages(tmp_path / "p.parquet", PACKAGES))
    catalogue = read_catalogue(settings.catalogue_path)
    assert [(one.title_id, one.name) for one in catalogue.titles.values()] == [
        ("upworthy-a", "Two"),
        ("upworthy-b", "One"),
    ]
    assert [(one.artwork_id, one.motif) for one in catalogue.artworks.values()] == [
        ("upworthy-a-0", "e2"),
        ("upworthy-b-0", "e1"),
        ("upworthy-b-1", ""),
    ]
    assert catalogue.titles["upworthy-b"].launched_at == datetime(2014, 11, 16, tzinfo=UTC)


def test_a_test_of_one_package_has_propensity_one(settings: Settings, tmp_path: Path) -> None:
    import_upworthy(settings, write_packages(tmp_path / "p.parquet", PACKAGES[1:2]))
    assert counted(settings) == {"upworthy-a-0": (10, 0)}


def test_impressions_and_clicks_are_spread_over_the_whole_week(settings: Settings, tmp_path: Path) -> None:
    rows = [PACKAGES[0] | {"impressions": 7000, "clicks": 700}, PACKAGES[2] | {"impressions": 7000, "clicks": 0}]
    import_upworthy(settings, write_packages(tmp_path / "p.parquet", rows))
    for interval in Interval(*week_bounds(201446)).split(hours=24):
        done = ingest(settings, interval)
        assert done.n_decisions == 2000
        assert 60 <= done.n_plays <= 140
    lake = Lake(settings.lake_dir)
    assert lake.read(PLAYS, *week_bounds(201446)).num_rows == 700


def test_the_same_import_again_is_a_no_op_and_another_seed_is_another_import(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_packages(tmp_path / "p.parquet", PACKAGES)
    first = import_upworthy(settings, path)
    names = [one.path for one in find_segments(settings.events_dir)]
    assert import_upworthy(settings, path) == first
    assert [one.path for one in find_segments(settings.events_dir)] == names
    others = [Settings(home=tmp_path / name) for name in ("same", "other")]
    import_upworthy(others[0], path)
    import_upworthy(others[1], path, seed=1)
    bytes_of = [
        b"".join(one.path.read_bytes() for one in find_segments(each.events_dir)) for each in (settings, *others)
    ]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]


@pytest.mark.parametrize("other", [{"max_impressions_per_title": 20}, {"seed": 1}])
def test_tests_that_are_there_are_refused_at_another_scale_or_seed_and_others_are_not(
    settings: Settings, tmp_path: Path, other: dict[str, int]
) -> None:
    import_upworthy(settings, write_packages(tmp_path / "b.parquet", [PACKAGES[0], PACKAGES[2]]))
    before = [one.path for one in find_segments(settings.events_dir)]
    both = write_packages(tmp_path / "both.parquet", PACKAGES)
    with pytest.raises(ContractError, match="upworthy-b was imported before"):
        import_upworthy(settings, both, **other)
    assert [one.path for one in find_segments(settings.events_dir)] == before
    import_upworthy(settings, write_packages(tmp_path / "a.parquet", PACKAGES[1:2]), **other)
    assert counted(settings) == {"upworthy-a-0": (10, 0), "upworthy-b-0": (30, 6), "upworthy-b-1": (10, 1)}


def test_of_larger_tests_a_sample_comes_in_and_smaller_ones_whole(settings: Settings, tmp_path: Path) -> None:
    path = write_packages(tmp_path / "p.parquet", PACKAGES)
    assert import_upworthy(settings, path, max_impressions_per_title=20).n_decisions == 30
    found = counted(settings)
    assert found["upworthy-a-0"] == (10, 0)
    assert found["upworthy-b-0"][0] + found["upworthy-b-1"][0] == 20


_COUNTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=5)


@given(counts=_COUNTS, most=st.integers(1, 80), seed=st.integers(0, 99))
def test_a_sample_never_shows_more_than_there_was(counts: list[tuple[int, int]], most: int, seed: int) -> None:
    from pipelines.import_upworthy import _sampled, _test

    rows = [PACKAGES[0] | {"impressions": max(pair), "clicks": min(pair)} for pair in counts]
    test = _test("b", rows)
    sample = _sampled(test, most, seed)
    assert sample.impressions.sum() == min(int(test.impressions.sum()), most)
    assert (sample.impressions <= test.impressions).all()
    assert ((sample.clicks >= 0) & (sample.clicks <= np.minimum(sample.impressions, test.clicks))).all()


@pytest.mark.parametrize("most", [1, 5, 40])
def test_a_sample_has_the_shares_and_the_click_rates_of_all(most: int) -> None:
    from pipelines.import_upworthy import _sampled, _test

    test = _test("b", [PACKAGES[0] | {"impressions": n, "clicks": k} for n, k in ((3000, 90), (1000, 10), (500, 1))])
    samples = [_sampled(test, most, seed) for seed in range(2_000)]
    drawn = most * len(samples)
    for shown, expected in (
        (np.sum([each.impressions for each in samples], axis=0), test.impressions / 4500),
        (np.sum([each.clicks for each in samples], axis=0), test.clicks / 4500),
    ):
        # A sample of so few of so many is as good as one with replacement.
        assert (np.abs(shown - drawn * expected) <= 4.5 * np.sqrt(drawn * expected * (1 - expected)) + 1).all()


@pytest.mark.parametrize(
    ("week", "start", "n_days"),
    [
        (201446, (2014, 11, 16), 7),
        (201400, (2014, 1, 1), 4),
        (201352, (2013, 12, 29), 3),
        (201252, (2012, 12, 23), 7),
        (201253, (2012, 12, 30), 2),
        (201300, (2013, 1, 1), 5),
        (201200, (2011, 12, 25), 7),  # 2012 begins on a Sunday: nothing lies before its first week
        (201353, (2014, 1, 5), 7),
    ],
)
def test_weeks_begin_on_sunday_and_are_cut_at_the_year(week: int, start: tuple[int, int, int], n_days: int) -> None:
    start_at = datetime(*start, tzinfo=UTC)
    assert week_bounds(week) == (start_at, start_at + timedelta(days=n_days))


MALFORMED = {
    "no impressions column": ({"impressions": ...}, r"column impressions: expected int64, found no such column"),
    "text for a number": ({"clicks": "many"}, r"column clicks: expected int64, got string"),
    "no week": ({"test_week": None}, r"row 1, column test_week: expected a value, got None"),
    "a week beyond 53": ({"test_week": 201454}, r"row 1, column test_week: .* got 201454"),
    "a week of the year 1": ({"test_week": 101}, r"row 1, column test_week: .* 2000\.\.2199 .* got 101"),
    "a week of the year 2200": ({"test_week": 220000}, r"row 1, column test_week: .* got 220000"),
    "a week beyond the last": ({"test_week": 219953}, r"row 1, column test_week: .* got 219953"),
    "a week without a year": ({"test_week": 46}, r"row 1, column test_week: .* got 46"),
    "no test": ({"test_id": ""}, r"row 1, column test_id: expected a value"),
    "fewer than no impressions": ({"impressions": -1}, r"row 1, column impressions: expected at least 0, got -1"),
    "more clicks than impressions": ({"clicks": 11}, r"row 1, column clicks: expected 0 to 10, .* got 11"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_named_with_row_and_column_and_changes_nothing(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    changed, message = MALFORMED[name]
    rows = [PACKAGES[0], PACKAGES[1] | changed, PACKAGES[2]]
    if ... in changed.values():
        rows = [{name: value for name, value in row.items() if name not in changed} for row in rows]
    elif "clicks" in changed and isinstance(changed["clicks"], str):
        rows = [row | {"clicks": str(row["clicks"])} for row in rows]
    path = write_packages(tmp_path / "p.parquet", rows)
    with pytest.raises(ContractError, match=r"p\.parquet, " + message):
        import_upworthy(settings, path)
    assert not settings.home.exists()


def test_a_file_that_is_no_parquet_is_named(settings: Settings, tmp_path: Path) -> None:
    path = write_packages(tmp_path / "packages.parquet", PACKAGES)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ContractError, match=r"packages\.parquet"):
        import_upworthy(settings, tmp_path)
    with pytest.raises(ContractError, match="gone"):
        import_upworthy(settings, tmp_path / "gone.parquet")


def test_the_published_archive_comes_through_in_proportion(settings: Settings, shared_data: Path) -> None:
    imported = import_upworthy(settings, shared_data / "upworthy", max_impressions_per_title=10)
    assert (imported.n_titles, imported.n_artworks) == (2_491, 11_571)
    table = pq.read_table(shared_data / "upworthy" / "packages.parquet").to_pandas()
    totals = table.groupby("test_id")[["impressions", "clicks"]].sum()
    assert imported.n_decisions == totals.impressions.clip(upper=10).sum() == 24_910
    rate = totals.clicks / totals.impressions
    assert abs(imported.n_plays - 10 * rate.sum()) < 4 * np.sqrt((10 * rate * (1 - rate)).sum())
