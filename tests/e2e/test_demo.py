"""A small demo, interrupted and resumed, and the commands that a person has by hand, over the home it leaves."""

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.bundle import read_pointer
from pipelines.change import Kind, changes
from pipelines.settings import Settings
from tests.e2e.console import ROOT, done, started, tree

pytestmark = pytest.mark.slow

DEMO = ("demo", "--days", "3", "--pages", "20")
GATE = re.compile(r"^The gate: .*", re.MULTILINE)
"""The verdict on stdout; where progress is told it is indented."""


@dataclass(frozen=True)
class Place:
    """A folder of homes, which share one Airflow database, and the environment of commands there."""

    folder: Path

    def env(self, home: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MARQUEE_", "AIRFLOW"))}
        return clean | {
            "HOME": str(self.folder / "user"),
            "MARQUEE_HOME": str(self.folder / home),
            "MARQUEE_CANDIDATES": '["best-artwork"]',
            "AIRFLOW_HOME": str(self.folder / "airflow"),
        }

    def run(self, home: str, *words: str, code: int = 0) -> str:
        """Run a command to its end; insist on its exit code and give stdout."""
        command = [sys.executable, "-m", "pipelines", *words]
        ran = subprocess.run(
            command, cwd=ROOT, env=self.env(home), capture_output=True, text=True, timeout=500, check=False
        )
        return done(ran, code)

    def told(self, home: str, *commands: tuple[str, ...]) -> list[Any]:
        """Run commands, each for its one JSON value, one after the other in one process: imports take seconds each."""
        told = self.folder / "told"
        words = [sys.executable, "-c", _CHAIN, str(told), json.dumps(commands)]
        done(
            subprocess.run(
                words, cwd=ROOT, env=self.env(home), capture_output=True, text=True, timeout=500, check=False
            )
        )
        return [json.loads(line) for line in told.read_text().splitlines()]


_CHAIN = """
import contextlib, io, json, sys
from pipelines.cli import main

with open(sys.argv[1], "w") as told:
    for words in json.loads(sys.argv[2]):
        sys.argv[1:] = [*words, "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                main()
            except SystemExit as ended:
                assert not ended.code, words
        told.write(out.getvalue())
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def whole(place: Place) -> str:
    """What a demo prints that is left in peace."""
    return place.run("whole", *DEMO, "--no-serve")


@pytest.fixture(scope="module")
def home(place: Place, whole: str) -> Settings:
    """The home of the demo that was left in peace."""
    return Settings(home=place.folder / "whole" / "demo", feature_repo=ROOT / "feature_repo")


def test_a_demo_that_was_interrupted_goes_on_and_ends_with_the_same_verdict(place: Place, whole: str) -> None:
    half = place.folder / "half" / "demo"
    half.mkdir(parents=True)
    shutil.copy(place.folder / "whole" / "demo" / "demo.json", half)  # the same days, should it be midnight
    words = (sys.executable, "-m", "pipelines", *DEMO, "--no-serve")
    with started(place.env("half"), place.folder / "half" / "run", *words) as running:
        running.wait_for(lambda: "Day 1 of 3" in running.stderr.read_text(), 300)
        assert running.interrupt() == 130, running.stderr.read_text()
    assert not {"Traceback", "failed:"} & set(running.stderr.read_text().split())
    first_day = tree(half / "events")
    assert not list(half.glob("reports/*/audit.json"))

    resumed = place.run("half", *DEMO, "--no-serve")
    assert GATE.findall(resumed) == GATE.findall(whole) != []
    assert {name: content for name, content in tree(half / "events").items() if name in first_day} == first_day
    assert tree(half / "events") == tree(place.folder / "whole" / "demo" / "events")


@pytest.mark.parametrize("of_terminal", [("stdout", "stderr"), ("stderr",)])
def test_a_terminal_has_the_verdict_once_and_whatever_is_no_terminal_has_it_too(
    place: Place, whole: str, of_terminal: tuple[str, ...]
) -> None:
    """The demo is done already, and so is quick to say what came of it."""
    (verdict,) = GATE.findall(whole)
    command = [sys.executable, "-m", "pipelines", *DEMO, "--no-serve"]
    master, terminal = pty.openpty()
    try:
        ends = {name: terminal if name in of_terminal else subprocess.PIPE for name in ("stdout", "stderr")}
        running = subprocess.Popen(command, cwd=ROOT, env=place.env("whole") | {"TERM": "xterm"}, **ends)
        os.close(terminal)
        shown = _until_closed(master)
        piped = b"".join(each or b"" for each in running.communicate(timeout=500))
        assert running.returncode == 0, (shown, piped)
    finally:
        os.close(master)
    found = [_plain(each).count(verdict) for each in (shown, piped)]
    assert found == ([1, 0] if "stdout" in of_terminal else [1, 1])


def _until_closed(terminal: int) -> bytes:
    """Read what is written to a terminal until nobody has it open any more."""
    shown = b""
    with suppress(OSError):  # as Linux says that the other side is closed
        while more := os.read(terminal, 65_536):
            shown += more
    return shown


def _plain(shown: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_nothing_is_written_to_the_users_own_home(place: Place, whole: str) -> None:
    assert not (place.folder / "user").exists()


def test_commands_by_hand_each_do_what_they_say(place: Place, home: Settings) -> None:
    (round_,) = home.reports_dir.glob("*/evaluation.json")
    version = json.loads(round_.read_bytes())["versions"]["best-artwork"]
    last = max(path.name for path in home.events_dir.glob("simulated-*")).removeprefix("simulated-")
    features = tree(home.features_dir)
    assert read_pointer(home.policies_url) is None

    commands: dict[str, tuple[str, ...]] = {
        "doctor": (),
        "refresh": (f"{last[:4]}-{last[4:6]}-{last[6:8]}",),
        "promote": (version, "--unproven"),
        "publish": (),
        "status": (),
        "precompute": ("--hour", "20", "--day", "4"),
        "rollback": (),
    }
    words = [(verb, *rest) for verb, rest in commands.items()]
    told = dict(zip([*commands, "status again"], place.told("whole/demo", *words, ("status",)), strict=True))

    assert told["doctor"]["healthy"] is True
    assert told["refresh"] == {"intervals": 1, "first": last, "last": last}
    assert tree(home.features_dir) == features, "an interval that is refreshed again keeps its bytes"
    assert told["promote"] == {"champion": version}
    assert (told["publish"]["version"], told["publish"]["previous"]) == (version, None)
    assert (told["status"]["champion"], told["status"]["live"]) == (version, version)
    made = told["precompute"]
    rows = pq.read_table(home.home / "precomputed.parquet")
    assert made["policy_version"] == version
    assert len(rows) == made["n_decisions"] > 0
    assert len(set(rows["profile_id"].to_pylist())) == made["n_profiles"]
    assert told["rollback"]["version"] == "uniform"
    assert (told["status again"]["champion"], told["status again"]["live"]) == (None, "uniform")
    pointer = read_pointer(home.policies_url)
    assert pointer is not None
    assert pointer.is_uniform
    assert [(change.kind, change.by_hand) for change in changes(home)] == [
        (Kind.PROMOTION, True), (Kind.PUBLICATION, True), (Kind.ROLLBACK, True),
    ]  # fmt: skip


def test_what_simulated_profiles_do_is_brought_to_their_rows_until_ctrl_c(place: Place) -> None:
    settings = Settings(home=place.folder / "own", feature_repo=ROOT / "feature_repo")
    ((made,),) = place.told("own", ("simulate", "--from", "2026-11-20", "--pages", "20"))
    assert made["n_pages"] == 20
    assert made["n_decisions"] > 0
    visitors = {
        json.loads(line)["profile_id"]
        for path in settings.events_dir.rglob("*.jsonl")
        for line in path.read_text().splitlines()
        if '"kind":"page"' in line
    }
    assert profile_rows(settings) == 0
    words = (sys.executable, "-m", "pipelines", "freshen")
    with started(place.env("own"), settings.home / "freshen", *words) as running:
        running.wait_for(lambda: profile_rows(settings) and (settings.home / "fresh" / "alive").exists(), 120)
        assert running.interrupt() == 0, running.stderr.read_text()
    assert 0 < profile_rows(settings) <= len(visitors)


def profile_rows(settings: Settings) -> int:
    """Count the profiles whose taste is in the online store."""
    with closing(sqlite3.connect(f"file:{settings.home / 'feast' / 'online.db'}?mode=ro", uri=True)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master") if "profile_taste" in name]
        return int(store.execute(f"SELECT count(*) FROM {tables[0]}").fetchone()[0]) if tables else 0
