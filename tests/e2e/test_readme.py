"""Every command of the README is run, in its order, as it is printed; what is changed for a test is written here."""

import csv
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
import typer
import typer.core
from typer.testing import CliRunner

from evaluation.audit import decode_audit
from evaluation.evaluation import evaluate
from models.batch import LoggedBatch
from models.bundle import read_pointer
from models.decision import Cell
from models.policy import UniformPolicy
from models.segment import OPEN_SUFFIX
from pipelines.cli import app
from pipelines.settings import Settings
from pipelines.training_set import Side, iter_training_batches
from tests.e2e.console import ROOT, free_port, started, tree
from tests.e2e.readme import COMMANDS, README, SCHEDULED, airflow

pytestmark = pytest.mark.slow

EXPORT = 'export PATH="$PWD/.venv/bin:$PATH"'
FEW = '["uniform", "best-artwork", "vw-softmax", "linucb"]'
"""The candidates that are trained here: tests/pipelines/test_whole_list.py trains every one."""


@dataclass
class Shell:
    """A shell in the checkout whose `marquee` is this Python's and whose HOMEs lie in a temporary folder."""

    home: Path
    shared_data: Path
    ran: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        # A make within a make says so: these tests are run by one.
        foreign = ("MARQUEE_", "AIRFLOW", "MAKE", "MFLAGS")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {"MARQUEE_HOME": str(self.home), "MARQUEE_CANDIDATES": FEW}
        return clean | own | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(self, command: str, *codes: int) -> str:
        """Run a command of the README with its paths in place; insist on one of the exit codes, 0 if none is named."""
        spelled = command.replace("../shared/data", str(self.shared_data)).replace(".marquee", str(self.home))
        found = subprocess.run(
            ["bash", "-c", spelled], cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=550, check=False
        )
        assert found.returncode in (codes or (0,)), (
            f"{spelled}\nexit {found.returncode}\n{found.stdout}\n{found.stderr}"
        )
        self.ran[command] = found.stdout
        return found.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Shell:
    return Shell(tmp_path_factory.mktemp("readme"), shared_data)


@pytest.fixture(scope="module")
def demo(shell: Shell) -> str:
    """What `make demo` prints; set-up is left out, as the environment that runs this test is already there."""
    return shell.run(f"make -o .venv/.demo VENV={Path(sys.prefix)} -o {Path(sys.prefix)}/.demo demo ARGS=--no-serve")


def test_make_demo_shows_each_policy_beside_its_true_value_and_the_gates_word(shell: Shell, demo: str) -> None:
    assert "make demo" in COMMANDS
    last = demo.split("Take fraction as of")[-1]
    truth = {name: float(value) for name, value in re.findall(r"│ ([\w-]+) .*│ +(0\.\d{4}) │ +[\d,]+ │", last)}
    assert truth["uniform"] < truth["best-artwork"] < max(truth["vw-softmax"], truth["linucb"])
    assert re.search(r"The gate: (Promote|Hold|Reject) [\w-]+: \S+", last)
    live = read_pointer(Settings(home=shell.home / "demo").policies_url)
    assert (live is not None) == ("The gate: Promote" in demo)


def test_make_test_is_what_runs_these_tests() -> None:
    assert "make test" in COMMANDS
    planned = subprocess.run(
        ["make", "-n", "-o", ".venv/.dev", "test"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"python -m pytest\b", planned)


CURL = [line for line in COMMANDS if line.startswith("curl ")]


def test_a_demo_that_is_asked_for_again_shows_the_same_and_serves_it_until_ctrl_c(shell: Shell, demo: str) -> None:
    home, port = shell.home / "demo", free_port()
    before = {part: tree(home / part) for part in ("reports", "lake", "policies")}
    (readmes,) = CURL
    env = shell.env | {"MARQUEE_PORT": str(port)}
    with started(env, shell.home / "again", "marquee", "demo") as running:
        running.wait_for(lambda: "Ctrl-C ends it." in running.stderr.read_text(), 240)
        *shown, asked, answered = running.stdout.read_text().rstrip().splitlines()
        answers = [answered, shell.run(asked), shell.run(readmes.replace(":8080", f":{port}"))]
        assert running.interrupt() == 0, running.stderr.read_text()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")

    assert "\n".join(shown).startswith(demo.rstrip())
    live = read_pointer(Settings(home=home).policies_url)
    for answer, n_titles in zip(map(json.loads, answers), (3, 3, 2), strict=True):
        assert answer["policy_version"] == (live.version if live else "uniform")
        assert len({choice["artwork_id"] for choice in answer["decisions"]}) == n_titles
    assert {part: tree(home / part) for part in before} == before
    assert not list((home / "events").rglob(f"*{OPEN_SUFFIX}")), "what was served is in closed segments"


MARQUEE = [line for line in COMMANDS if "marquee " in line and "marquee airflow" not in line]


@pytest.fixture(scope="module")
def imported(shell: Shell) -> Shell:
    """The shell after every command about real logs."""
    for command in MARQUEE:
        # A gate that holds is a result: `train` and `evaluate` say so by exit code 1.
        assert shell.run(command, *((0, 1) if re.search(r"marquee (train|evaluate)", command) else (0,))).strip()
    return shell


def test_every_other_command_runs_as_printed(imported: Shell) -> None:
    assert len(MARQUEE) >= 7
    assert set(MARQUEE) <= set(imported.ran)


@pytest.mark.parametrize("home", ["", "upworthy"])
def test_real_logs_come_through_the_dags_to_a_report(imported: Shell, home: str) -> None:
    reports = sorted((imported.home / home / "reports").glob("*/report.html"))
    assert len(reports) == 1
    audit = decode_audit(reports[0].with_name("audit.json").read_bytes())
    assert {verdict.candidate for verdict in audit.verdicts} >= {"best-artwork", "vw-softmax", "linucb"}
    for verdict in audit.verdicts:
        assert verdict.reason in html.unescape(reports[0].read_text())


def test_a_backfill_may_begin_in_the_middle_of_a_log(imported: Shell) -> None:
    (manifest,) = (imported.home / "upworthy" / "training").glob("*/manifest.json")
    fields = json.loads(manifest.read_bytes())
    assert fields["n_left_out"] > 0
    assert fields["n_decisions"] > 0


def test_uniform_on_the_open_bandit_random_log_is_worth_exactly_its_click_rate(imported: Shell) -> None:
    (training,) = (imported.home / "training").glob("*/manifest.json")
    uri = training.parent.as_uri()

    def random_log() -> Iterator[LoggedBatch]:
        for logged in iter_training_batches(uri, Side.ALL, holdout_share=0.5):
            yield logged.take(np.flatnonzero(logged.cell == Cell.UNIFORM))

    found = evaluate({"uniform": UniformPolicy()}, random_log, champion="uniform").policy("uniform")
    files = [imported.shared_data / "obd" / "random" / name / f"{name}.csv" for name in ("men", "women")]
    clicks = [int(row["click"]) for path in files for row in csv.DictReader(path.read_text().splitlines())]
    click_rate = sum(clicks) / len(clicks)
    assert found.n_decisions == len(clicks)
    for estimator in ("replay", "ips", "snips"):
        assert found.estimates[estimator].value == click_rate


BENCHMARKS = [line for line in COMMANDS if line.startswith("python -m benchmarks")]


def test_the_loops_figures_are_made_by_the_command_and_a_second_run_changes_nothing(shell: Shell) -> None:
    assert BENCHMARKS == ["python -m benchmarks loop --json"]
    said = json.loads(shell.run(BENCHMARKS[0]).splitlines()[-1])
    assert said["benchmark"] == "loop"
    figures = said["figures"]
    assert figures["second_run_changed_rows"] == 0
    assert figures["n_decisions"] == 100_000
    stages = sum(value for name, value in figures.items() if name.startswith("seconds_"))
    assert figures["seconds"] == pytest.approx(stages)
    assert figures["peak_mib"] > 0


def test_no_command_of_the_readme_is_left_out() -> None:
    covered = ["make demo", "make test", EXPORT, *CURL, *MARQUEE, *BENCHMARKS, *map(airflow, SCHEDULED)]
    assert sorted(covered) == sorted(COMMANDS)


def test_every_subcommand_is_in_the_readme_and_has_help() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert len(group.commands) >= 12
    for name in group.commands:
        assert f"marquee {name}" in README, name
        assert "Usage:" in CliRunner().invoke(app, [name, "--help"]).output


@pytest.mark.parametrize(
    "command",
    ["marquee rollback", "marquee publish", "MARQUEE_PORT=x marquee status", "marquee import obd /nowhere"],
)
def test_misuse_ends_with_2_and_says_nothing_on_stdout(shell: Shell, command: str) -> None:
    assert shell.run(command.replace("marquee ", "MARQUEE_HOME=.marquee/empty marquee ", 1), 2) == ""
