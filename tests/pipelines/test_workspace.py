"""Rooms on disk: one for each piece of work, however many begin at once, and none is left behind."""

import fcntl
from pathlib import Path
from typing import Any

import pytest

from pipelines import workspace as module
from pipelines.settings import Settings
from pipelines.workspace import workspace


def test_who_begins_at_the_same_moment_does_not_take_anothers_room_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def lock_after_another_has_looked_around(file: Any, how: int) -> None:
        if how == fcntl.LOCK_EX:
            module._remove_abandoned(tmp_path / "spill")
        lock(file, how)

    monkeypatch.setattr(module.fcntl, "flock", lock_after_another_has_looked_around)
    with workspace(Settings(home=tmp_path)) as space:
        assert space.count("SELECT 1") == 1
    assert not list((tmp_path / "spill").iterdir())


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    left = tmp_path / "spill" / "left"
    left.mkdir(parents=True)
    for name in ("lock", "work.duckdb"):
        (left / name).touch()
    with workspace(settings) as first, workspace(settings) as second:
        assert not left.exists()
        assert len(list((tmp_path / "spill").iterdir())) == 2
        assert (first.count("SELECT 1"), second.count("SELECT 2")) == (1, 2)
