"""Both layouts are really online after they were timed, in either store."""

import shutil
from pathlib import Path

import pytest

from benchmarks.materialize import measure, redis


@pytest.mark.parametrize("layout", ["packed", "scalar"])
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_last_key_is_online_as_it_was_written(tmp_path: Path, kind: str, layout: str) -> None:
    if kind == "redis" and shutil.which("redis-server") is None:
        pytest.skip("the benchmark needs redis-server")
    with redis(tmp_path) as address:
        found = measure(tmp_path, kind, layout, 40, address)
    assert set(found) == {"keys_per_second", "peak_mib"}
    assert min(found.values()) > 0
