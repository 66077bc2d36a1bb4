"""Each view's newest interval is held against those before it, by histograms that are kept beside the rows."""

from datetime import timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from models.error import ContractError
from models.layout import PROFILE
from pipelines.cli import app
from pipelines.drift import ViewHealth, histogram_path, stability, view_health
from pipelines.feature_histogram import N_FINE, Histograms, counted, histograms, in_order
from pipelines.feature_rows import VIEWS
from pipelines.feature_tables import build_features, view_path
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import PLAYS
from tests.pipelines.feature_world import day, make_home

N_DAYS = 3


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Settings:
    settings = make_home(tmp_path_factory.mktemp("drift"), N_DAYS)
    for number in range(N_DAYS):
        build_features(settings, day(number))
    return settings


def test_values_are_counted_as_a_loop_counts_them_and_zero_apart():
    values = np.concatenate([np.random.default_rng(3).normal(size=300) * 2, [0.0, 0.0, -3.0, 3.0, 99.0, -99.0, 1e-9]])
    expected = np.zeros(1 + N_FINE, int)
    for value in values:
        inside = min(max(value, -3.0), 3.0)
        expected[0 if value == 0 else 1 + min(int((inside + 3.0) / 0.05), N_FINE - 1)] += 1
    found = counted(values)
    assert np.abs(found - expected).sum() <= 2, "a value on an edge may fall to either side"
    assert found[0] == 2
    assert found.sum() == in_order(found).sum() == len(values)
    assert in_order(counted(np.array([-1.0, 0.0, 1.0]))).nonzero()[0].tolist() == [40, 60, 81]


def test_every_column_of_every_view_has_its_histogram(built):
    for view, schema in VIEWS.items():
        rows = pq.read_table(view_path(built, view, day(1).key), partitioning=None)
        found = histograms(view, rows)
        assert found.n_rows == len(rows)
        plain = [
            name
            for name in schema.names[1:]
            if not name.endswith("_timestamp") and name not in {"vector", "title_keys"}
        ]
        assert set(plain) <= set(found.counts)
        for name, counts in found.counts.items():
            n = len(rows[name].combine_chunks().flatten()) if name in {"minutes", "impressions"} else len(rows)
            assert sum(counts) == n, name
    assert set(PROFILE) == set(histograms("profile_taste", VIEWS["profile_taste"].empty_table()).counts)


def test_a_rebuild_leaves_the_histograms_as_they_are(built):
    path = histogram_path(built, "profile_taste", day(1).key)
    before = path.read_bytes(), path.stat().st_mtime_ns
    build_features(built, day(1))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_freshness_is_the_age_of_the_newest_rows(built):
    now = day(N_DAYS - 1).end_at + timedelta(hours=5)
    found = view_health(built, now)
    assert set(found) == set(VIEWS)
    assert {health.age_hours for health in found.values()} == {5.0}
    assert {health.newest_at for health in found.values()} == {day(N_DAYS - 1).end_at}
    build_features(built, day(N_DAYS))  # nothing happened: no row of a profile is any newer
    assert view_health(built, now)["profile_taste"].age_hours == 5.0


def test_a_column_that_moved_is_named_and_the_others_are_not(tmp_path, monkeypatch):
    settings = make_home(tmp_path, N_DAYS)
    lake = Lake(settings.lake_dir)
    for number in range(N_DAYS - 1):
        build_features(settings, day(number))
    last = day(N_DAYS - 1)
    plays = lake.read(PLAYS, last.start_at, last.end_at)
    lake.overwrite(PLAYS, last, plays.filter(pa.array([False] * len(plays))))
    build_features(settings, last)
    ordinary = stability(settings, "profile_familiarity")
    rows = pq.read_table(view_path(settings, "profile_familiarity", last.key), partitioning=None)
    halved = [[value / 60.0 for value in values] for values in rows["minutes"].to_pylist()]
    moved = rows.set_column(rows.schema.get_field_index("minutes"), "minutes", pa.array(halved, pa.list_(pa.float32())))
    histogram_path(settings, "profile_familiarity", last.key).write_bytes(
        msgspec.json.encode(histograms("profile_familiarity", moved))
    )
    assert stability(settings, "profile_familiarity")["minutes"][0] > ordinary["minutes"][0]
    health = view_health(settings, last.end_at)["profile_familiarity"]
    assert "minutes" in health.drifted
    assert not {"log_age_days", "log_tenure_days", "log_impressions"} & {
        name for each in view_health(settings, last.end_at).values() for name in each.drifted
    }
    monkeypatch.setenv("MARQUEE_HOME", str(settings.home))
    ran = CliRunner().invoke(app, ["status", "--metrics"])
    assert ran.exit_code == 0, ran.output
    assert 'marquee_feature_psi{column="minutes",view="profile_familiarity"}' in ran.stdout
    assert "profile_familiarity has drifted" in ran.stderr
    assert 'marquee_feature_age_seconds{view="title_profile"}' in ran.stdout


def test_a_column_that_drifted_is_shown_though_ages_moved_more_and_all_that_drifted_are(tmp_path, monkeypatch):
    """A title's row: three ages and counts, which have no limit, move most; the columns past it move less."""
    view = "title_profile"
    settings = Settings(home=tmp_path)
    rows = np.arange(4_000) / 4_000

    def write(number: int, shifts: dict[str, float]) -> None:
        counts = {name: counted(rows + shift).tolist() for name, shift in shifts.items()}
        path = histogram_path(settings, view, day(number).key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(Histograms(n_rows=len(rows), counts=counts)))

    def shown(shifts: dict[str, float]) -> ViewHealth:
        write(0, dict.fromkeys(shifts, 0.0))
        write(1, shifts)
        return view_health(settings, day(1).end_at)[view]

    ages = {"log_age_days": 0.9, "log_impressions": 0.8, "log_plays": 0.75}
    found = shown(ages | {"quiet": 0.01, "moved": 0.4})
    assert found.drifted == ["moved"]
    assert list(found.psi) == ["moved", "log_age_days", "log_impressions"]
    assert found.psi["moved"] < found.psi["log_impressions"]
    assert found.exempt == ["log_age_days", "log_impressions"]
    assert list(shown(ages | {"quiet": 0.01}).psi) == list(ages)

    moved = {"a": 0.7, "b": 0.6, "c": 0.5, "d": 0.4}
    assert list(shown(ages | moved).psi) == shown(ages | moved).drifted == list(moved)
    monkeypatch.setenv("MARQUEE_HOME", str(tmp_path))
    told = CliRunner().invoke(app, ["status"])
    assert told.exit_code == 0, told.output
    lines = [[cell.strip() for cell in line.split("│")] for line in told.stdout.splitlines() if "│" in line]
    assert [line[5] for line in lines if "drifted" in line] == list(moved)


def test_the_status_says_which_features_have_no_limit(built, monkeypatch):
    monkeypatch.setenv("MARQUEE_HOME", str(built.home))
    shown = CliRunner().invoke(app, ["status"])
    assert shown.exit_code == 0, shown.output
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.stdout.splitlines() if "│" in line]
    told = {name: [psi, limit, note] for *_, name, psi, limit, note in lines}
    health = view_health(built, day(N_DAYS).end_at)
    names = {name: index for each in health.values() for name, index in each.psi.items()}
    assert set(told) == set(names)
    assert "log_age_days" in {name for each in health.values() for name in each.exempt}
    for each in health.values():
        for name in each.psi:
            limit = ["none", "grows with time by itself"] if name in each.exempt else ["0.25"]
            assert told[name][1 : 1 + len(limit)] == limit, name
    asked = CliRunner().invoke(app, ["status", "--json"])
    assert msgspec.json.decode(asked.stdout)["views"]["title_profile"]["exempt"] == health["title_profile"].exempt


def test_broken_histograms_are_named(built, tmp_path):
    path = histogram_path(built, "title_profile", day(0).key)
    original = path.read_bytes()
    path.write_bytes(original[:20])
    try:
        with pytest.raises(ContractError, match=str(path)):
            view_health(built, day(3).end_at)
    finally:
        path.write_bytes(original)
