"""The joins that are timed side by side give the same features."""

from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks import point_in_time
from benchmarks.feature_history import History, write_history, write_impressions

SMALL = History(n_days=3, n_profiles=60, n_active=40, n_titles=10, n_artworks=30)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("history")
    write_history(home / "features", SMALL)
    write_impressions(home / "small.parquet", 500, SMALL)
    return home


@pytest.mark.parametrize("way", ["bare", "asof", "duckdb"])
def test_every_way_is_timed(home: Path, way: str) -> None:
    found = point_in_time.measure(home, "small", way)
    assert set(found) == {"seconds", "cpu_seconds", "peak_mib"}
    assert min(found.values()) > 0


def test_the_bare_query_and_ours_give_the_same_rows(home: Path) -> None:
    asked = home / "small.parquet"
    bare, ours = (_sorted(join(home, asked)) for join in (point_in_time._bare, point_in_time._feast(home, _OURS)))
    assert bare.num_rows == 500
    for name in bare.column_names:
        assert ours[name].to_pylist() == bare[name].to_pylist(), name
    assert 0 < ours["profile_taste__vector"].null_count < 500


_OURS = point_in_time._OURS


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in ("event_timestamp", "profile_id", "title_id", "artwork_id")])
