"""The load client asks what it says and reads what comes; the whole benchmark runs at a small size."""

import json
import os
import shutil

import msgspec
import pytest

from benchmarks.serve import measure, slow_writes
from benchmarks.serve_load import N_TITLES_A_PAGE, load, requests
from serving.features import InMemoryFeatures
from serving.request import PageRequest
from tests.serving.example import logged_pages, running, settings_in


def test_requests_are_pages_of_forty_titles() -> None:
    for request in requests(100)[:5]:
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head
        page = msgspec.json.decode(body, type=PageRequest)
        assert len(page.titles) == N_TITLES_A_PAGE


@pytest.mark.parametrize("rate", [0.0, 100.0])
def test_the_client_counts_the_pages_that_the_scorer_logs(tmp_path, rate: float) -> None:
    settings = settings_in(tmp_path)
    with running(settings, features=InMemoryFeatures()) as server:
        port = int(server.url.rpartition(":")[2])
        told = load(port, requests(100), 3, 0.5, rate)
    pages = logged_pages(settings.events_dir)
    assert told["pages"] == len(pages) > 5
    assert all(len(page.decisions) == N_TITLES_A_PAGE for page in pages)
    if rate:
        assert told["pages"] == pytest.approx(rate * 0.5, rel=0.2)
    assert 0 < told["p50_ms"] <= told["p99_ms"]


def test_slow_writes_are_counted_by_the_scorer_itself(tmp_path) -> None:
    with running(settings_in(tmp_path), features=InMemoryFeatures()) as server:
        port = int(server.url.rpartition(":")[2])
        assert slow_writes(port) == {3: 0.0, 10: 0.0}
        for seconds in (0.0009, 0.005, 0.2):
            server.service.metrics.log_write_seconds.observe(seconds)
        assert slow_writes(port) == {3: 2.0, 10: 1.0}


def test_a_refused_page_is_no_page(tmp_path) -> None:
    with running(settings_in(tmp_path, max_titles=3)) as server, pytest.raises(RuntimeError, match="422"):
        load(int(server.url.rpartition(":")[2]), requests(100), 1, 0.2)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_scorer_floor_and_naive_way_are_measured_in_one_run() -> None:
    if shutil.which("redis-server") is None:
        message = "the benchmark needs redis-server"
        if os.environ.get("MARQUEE_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    found = measure(100, rounds=1, seconds=0.5)
    assert json.dumps(found)
    assert float(found["ratio_naive"]) > 1
    # By CPU time, whoever else uses the machine; by the clock, half a second on a busy one tells nothing.
    assert 0 < float(found["ratio_floor_cpu"]) < 1
    assert float(found["ratio_floor"]) > 0
    assert 0.5 < float(found["share_live"]) <= 1
    assert 0 < float(found["images_per_core_second"]) <= float(found["best_images_per_core_second"])
    assert 0 < float(found["p50_ms_half_load"]) <= float(found["p99_ms_half_load"])
    assert float(found["p99_ms_half_load"]) <= float(found["worst_p99_ms_half_load"])
    for clients in (1, 4, 16, 64):
        assert float(found[f"pages_per_second_{clients}_clients"]) > 0
