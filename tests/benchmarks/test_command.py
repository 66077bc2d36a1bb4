"""`python -m benchmarks` prints figures that machines and people can read, and names what it knows when misused."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import benchmark_names

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_last_line_is_one_json_object_with_the_benchmarks_figures() -> None:
    done = command("simulator", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "simulator"
    assert found["figures"]["n_decisions"] == 300_000
    assert found["figures"]["decisions_per_minute"] > 0
    assert 0.15 < found["figures"]["best_artwork_lift"] < 0.23
    assert found["figures"]["peak_mib"] < 1.25 * found["figures"]["peak_mib_first_fifth"]


def test_without_json_people_get_a_table() -> None:
    done = command("simulator")
    assert done.returncode == 0, done.stderr
    assert "oracle_lift" in done.stdout
    assert "{" not in done.stdout


def test_an_unknown_name_exits_with_2_and_names_what_there_is() -> None:
    for arguments in (("nothing",), (), ("__main__",)):
        done = command(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "simulator" in done.stderr


def test_the_list_tells_every_benchmark_and_what_it_measures() -> None:
    done = command("--list")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in benchmark_names())
    assert "simulator" in benchmark_names()
    assert "How fast" in done.stdout


def test_a_benchmark_without_a_plot_is_refused_before_it_runs(tmp_path: Path) -> None:
    done = command("simulator", "--plot", str(tmp_path / "plot.svg"))
    assert done.returncode == 2
    assert "no plot" in done.stderr
    assert not list(tmp_path.iterdir())
