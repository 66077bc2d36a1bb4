"""Which lines an interval's ingest reads, what it waits for first, and what it says of a file that it cannot use."""

import fcntl
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.error import ContractError, NotReadyError
from models.event import encode_lines
from models.interval import Interval
from models.segment import open_name
from pipelines import steps
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings, environment_of
from pipelines.table import DECISIONS, PLAYS
from tests.pipelines.event_log import DAY, at, page, play, write_segment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_a_segment_that_is_still_being_written_is_waited_for(settings: Settings) -> None:
    settings.events_dir.mkdir()
    path = settings.events_dir / open_name(at(23), "w")
    path.write_bytes(encode_lines([page(at(23.5), "d")]))
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(NotReadyError, match=path.name):
            ingest(settings, DAY)
        assert Lake(settings.lake_dir).intervals(PLAYS) == []
        earlier = Interval(DAY.start_at - timedelta(days=1), DAY.start_at)
        assert ingest(settings, earlier).n_decisions == 0  # it was opened after this one ended


@pytest.mark.parametrize("seconds", [0, 29])
def test_a_line_of_the_last_moment_that_reaches_the_disk_later_is_waited_for(settings: Settings, seconds: int) -> None:
    end = DAY.end_at
    with pytest.raises(NotReadyError, match=rf"{DAY.key} has only just ended: .* until 2026-11-02T00:00:30Z"):
        ingest(settings, DAY, clock=lambda: end + timedelta(seconds=seconds))
    assert Lake(settings.lake_dir).intervals(PLAYS) == []
    write_segment(settings.events_dir, [page(end - timedelta(milliseconds=10), "d")])
    assert ingest(settings, DAY, clock=lambda: end + timedelta(seconds=30)).n_decisions == 1


def test_a_task_that_a_scheduler_begins_when_the_interval_ends_waits_for_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(settings.model_copy(update={"settle_seconds": 1.0})).items():
        monkeypatch.setenv(name, value)
    end = datetime.now(UTC)
    assert steps.ingest(end - timedelta(hours=1), end)["n_decisions"] == 0
    assert datetime.now(UTC) >= end + timedelta(seconds=1)


def test_an_interval_that_still_runs_is_taken_as_it_is_by_whoever_asks(settings: Settings) -> None:
    write_segment(settings.events_dir, [page(at(1), "d")])
    assert ingest(settings, DAY, clock=lambda: at(2)).n_decisions == 1


def test_a_segment_left_open_by_a_crash_is_closed_and_read(settings: Settings) -> None:
    settings.events_dir.mkdir()
    path = settings.events_dir / open_name(at(1), "w")
    path.write_bytes(encode_lines([page(at(1), "d"), play("y", at(2))]) + b'{"kind":"play"')
    done = ingest(settings, DAY)
    assert (done.n_decisions, done.n_plays, done.quarantined) == (1, 1, {})
    assert not path.exists()


def test_a_file_that_is_no_segment_is_named(settings: Settings) -> None:
    settings.events_dir.mkdir()
    (settings.events_dir / "notes.jsonl").write_text("{}")
    with pytest.raises(ContractError, match=r"notes\.jsonl"):
        ingest(settings, DAY)


def test_a_segment_that_cannot_be_read_is_named_and_nothing_is_written(settings: Settings) -> None:
    path = write_segment(settings.events_dir, [page(at(1), "d")])
    path.unlink()
    path.symlink_to(os.fspath(path) + ".gone")
    with pytest.raises(ContractError, match=path.name):
        ingest(settings, DAY)
    assert Lake(settings.lake_dir).intervals(DECISIONS) == []
