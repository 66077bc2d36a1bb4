"""Writers at the same time, killed or interrupted: an interval is whole, before or after."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines.lake import Lake, Written
from pipelines.table import PLAYS
from tests.pipelines.lake_plays import DAY, all_of, plays


def test_writers_of_different_intervals_do_not_disturb_each_other(lake: Lake) -> None:
    hours = list(DAY.split(hours=2))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda hour: lake.overwrite(PLAYS, hour, plays(hour, 7)), hours))
    assert done == [Written(7, 7)] * len(hours)
    assert lake.intervals(PLAYS) == [hour.key for hour in hours]
    assert all_of(lake).num_rows == 7 * len(hours)


def test_writers_of_one_interval_take_turns_and_one_of_them_stays(lake: Lake) -> None:
    versions = [plays(DAY, 20, minutes=float(writer)) for writer in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda rows: lake.overwrite(PLAYS, DAY, rows), versions))
    assert any(all_of(lake).equals(rows) for rows in versions)


def test_two_writers_of_the_same_rows_change_them_once(lake: Lake) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: lake.overwrite(PLAYS, DAY, plays(DAY, 20)), range(4)))
    assert sorted(one.n_changed for one in done) == [0, 0, 0, 20]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DeltaError("a hook failed"), CommitFailedError("no answer")])
def test_a_file_that_a_durable_commit_lists_is_kept_however_the_commit_ended(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 4))
    commit, failures = DeltaTable.create_write_transaction, [error]

    def commit_and_fail(*args: object, **named: object) -> None:
        commit(*args, **named)  # type: ignore[arg-type]
        if failures:
            raise failures.pop()

    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit_and_fail)
    if isinstance(error, CommitFailedError):
        assert lake.overwrite(PLAYS, DAY, plays(DAY, 9)).n_rows == 9, "it is tried again, and was there already"
    else:
        with pytest.raises(type(error)):
            lake.overwrite(PLAYS, DAY, plays(DAY, 9))
    assert all_of(lake).equals(plays(DAY, 9))
    assert lake.overwrite(PLAYS, DAY, plays(DAY, 9)) == Written(9, 0)
    assert lake.overwrite(PLAYS, DAY, plays(DAY, 3)).n_rows == 3


def test_a_staged_file_is_gone_when_a_commit_did_nothing_and_kept_while_nobody_can_tell(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 4))
    (log,) = Path(lake.root).rglob("_delta_log")

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail)
    with pytest.raises(KeyboardInterrupt):
        lake.overwrite(PLAYS, DAY, plays(DAY, 9))
    assert len(list(Path(lake.root).rglob("*.parquet"))) == 1

    def fail_with_a_broken_log(*_: object, **__: object) -> None:
        (log / "00000000000000000099.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail_with_a_broken_log)
    with pytest.raises(KeyboardInterrupt):
        lake.overwrite(PLAYS, DAY, plays(DAY, 9))
    assert len(list(Path(lake.root).rglob("*.parquet"))) == 2


_ENDLESS_WRITER = """
import sys
from tests.pipelines.lake_plays import DAY, PLAYS, Lake, plays
lake = Lake(sys.argv[1])
lake.overwrite(PLAYS, DAY, plays(DAY, 5_000, minutes=2.0))
print("ready", flush=True)
while True:
    for minutes in (1.0, 2.0):
        lake.overwrite(PLAYS, DAY, plays(DAY, 5_000, minutes=minutes))
"""


def test_a_writer_killed_at_any_moment_loses_nothing(lake: Lake) -> None:
    lake.overwrite(PLAYS, DAY, plays(DAY, 5_000, minutes=1.0))
    root = Path(__file__).parents[2]
    for delay_seconds in (0.05, 0.11, 0.23):
        command = [sys.executable, "-c", _ENDLESS_WRITER, lake.root]
        with subprocess.Popen(
            command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(delay_seconds)
            writer.send_signal(signal.SIGKILL)
        left = all_of(lake)
        assert any(left.equals(plays(DAY, 5_000, minutes=minutes)) for minutes in (1.0, 2.0))
    assert lake.overwrite(PLAYS, DAY, plays(DAY, 10)).n_rows == 10
