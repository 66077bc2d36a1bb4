"""A scorer starts and ends whatever its stores do: they raise what they like, or hang."""

import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.error import ContractError
from models.segment import open_name
from serving import upkeep
from serving.catalogue_file import read_catalogue, write_catalogue
from serving.event_recovery import recover
from serving.features import InMemoryFeatures, OnlineFeatures
from serving.late_features import LateFeatures
from serving.status import CatalogueState, StoreState
from tests.serving.example import (
    PAGE,
    ListedPolicies,
    example_catalogue,
    loaded,
    metric,
    readiness,
    running,
    settings_in,
    wait_for,
)
from tests.serving.scorer_process import SERVE_WITHOUT_FEAST, scorer_process

_HANGS = """
import time
import fsspec
from fsspec.implementations.memory import MemoryFileSystem

class Hanging(MemoryFileSystem):
    protocol = "hang"

    def cat_file(self, *args, **kwargs):
        open("hangs", "w").close()
        time.sleep(600)

fsspec.register_implementation("hang", Hanging)
"""

_DISK_AND_FEATURES_HANG = """
import time
from serving import segment_file
from serving.features import InMemoryFeatures
from serving.log_setup import log_to_stderr
from serving.server import ScorerServer, build_app
from serving.settings import ScorerSettings

class Hanging(InMemoryFeatures):
    def profile(self, profile_id, at):
        time.sleep(600)

segment_file._sync_file = lambda descriptor: time.sleep(600)
settings = ScorerSettings()
log_to_stderr()
ScorerServer(build_app(settings, features=Hanging()), settings).run()
"""


class ClientError(Exception):
    """What a store's client raises: none of ours, and no `OSError`."""


def test_whatever_stores_raise_at_the_start_pages_are_answered_and_all_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Exception] = [ClientError("no registry")]
    recoveries: list[Exception] = [ClientError("no folder")]

    def open_features() -> OnlineFeatures:
        if outcomes:
            raise outcomes.pop()
        return InMemoryFeatures()

    def recovered(directory: Path) -> list[Path]:
        if recoveries:
            raise recoveries.pop()
        return recover(directory)

    monkeypatch.setattr(upkeep, "recover", recovered)
    settings = settings_in(tmp_path, feature_refresh_seconds=0.3)
    settings.events_dir.mkdir()
    left = settings.events_dir / open_name(datetime(2026, 11, 2, tzinfo=UTC), "w0")
    left.write_bytes(b"{}\n")
    policies = ListedPolicies(ClientError("no bucket"), loaded("v1"))
    with running(settings, features=LateFeatures(open_features), policies=policies) as server:
        assert server.client.post("/v1/pages", json=PAGE).status_code == 200
        assert metric(server, "marquee_refresh_failures_total") >= 2
        wait_for(lambda: readiness(server)[1]["policy_version"] == "v1")
        wait_for(lambda: readiness(server)[1]["features"] == StoreState.OK)
        wait_for(lambda: not left.exists())
        (decision, *_) = server.client.post("/v1/pages", json=PAGE).json()["decisions"]
        assert decision["intent"] == "live"


@pytest.mark.parametrize("wrong", ["year 10000", "not UTF-8"])
def test_a_catalogue_that_python_cannot_hold_is_refused_by_name_and_replaced(tmp_path: Path, wrong: str) -> None:
    settings = settings_in(tmp_path, feature_refresh_seconds=0.05)
    table = pq.read_table(settings.catalogue_path)
    name = "title_launched_at" if wrong == "year 10000" else "title_name"
    place = table.schema.get_field_index(name)
    if wrong == "year 10000":
        column = pa.array([253_402_300_800_000_000] * len(table), pa.int64()).cast(table.schema.field(place).type)
    else:
        column = pa.array([b"\xff\xfe"] * len(table), pa.binary()).view(pa.string())
    pq.write_table(table.set_column(place, table.schema.field(place), column), settings.catalogue_path)
    with pytest.raises(ContractError, match=str(settings.catalogue_path)):
        read_catalogue(settings.catalogue_path)
    with running(settings) as server:
        assert readiness(server) == (200, readiness(server)[1] | {"catalogue": CatalogueState.REFUSED, "n_titles": 0})
        assert server.client.post("/v1/pages", json=PAGE).status_code == 200
        write_catalogue(example_catalogue(), settings.catalogue_path)
        wait_for(lambda: readiness(server)[1]["catalogue"] == "ok")
        assert readiness(server)[1]["n_titles"] == 3


def test_a_home_without_a_catalogue_says_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.catalogue_path.unlink()
    with running(settings) as server:
        assert readiness(server)[1]["catalogue"] == CatalogueState.MISSING


@pytest.mark.parametrize("told_by", [signal.SIGTERM, signal.SIGINT])
def test_a_store_that_hangs_delays_the_first_page_by_the_start_and_no_end(
    tmp_path: Path, told_by: signal.Signals
) -> None:
    settings_in(tmp_path)
    changes = {"MARQUEE_POLICY_URL": "hang://bucket/policies", "MARQUEE_START_SECONDS": "1"}
    with scorer_process(tmp_path, _HANGS + SERVE_WITHOUT_FEAST, **changes) as (process, url):
        page = httpx.post(f"{url}/v1/pages", json=PAGE, trust_env=False).json()
        assert page["policy_version"] == "uniform"
        metrics = httpx.get(f"{url}/metrics", trust_env=False).text
        assert 'marquee_refresh_failures_total{of="policy"} 1.0' in metrics
        assert _ends(process, told_by) < 8.0


def test_a_start_that_hangs_is_ended_by_the_first_signal(tmp_path: Path) -> None:
    settings_in(tmp_path)
    changes = {"MARQUEE_POLICY_URL": "hang://bucket/policies", "MARQUEE_START_SECONDS": "600"}
    with scorer_process(tmp_path, _HANGS + SERVE_WITHOUT_FEAST, awaited=False, **changes) as (process, _):
        wait_for((tmp_path / "hangs").exists, seconds=60)
        assert _ends(process, signal.SIGTERM) < 8.0


@pytest.mark.parametrize("told_by", [signal.SIGTERM, signal.SIGINT])
def test_a_scorer_whose_disk_and_features_hang_is_ended_by_a_signal(tmp_path: Path, told_by: signal.Signals) -> None:
    settings_in(tmp_path)
    with scorer_process(tmp_path, _DISK_AND_FEATURES_HANG, MARQUEE_LOG_BUDGET_MS="300") as (process, url):
        page = httpx.post(f"{url}/v1/pages", json=PAGE, trust_env=False).json()
        assert page["unlogged"] is True
        assert _ends(process, told_by) < 15.0


def _ends(process: "subprocess.Popen[bytes]", told_by: signal.Signals) -> float:
    """Tell a process to end, and how many seconds that took."""
    began = time.monotonic()
    process.send_signal(told_by)
    process.wait(20)
    return time.monotonic() - began
