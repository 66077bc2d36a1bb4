"""One interval of 100k decisions through the whole loop: what it costs, and that doing it twice changes nothing."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.interval_run import prepare, run_interval, simulate_day

N_DECISIONS = 100_000
_QUICK_CANDIDATES = ("best-artwork", "vw-epsilon")


def run(full: bool) -> dict[str, float | int | str]:
    """Time one interval from closed segments to a verdict, in a process of its own, and then all of it again.

    Both sizes are of 100,000 decisions; `full` trains every candidate on the list, instead of best artwork and one of
    Vowpal Wabbit's.
    """
    with tempfile.TemporaryDirectory(prefix="marquee-loop-") as home:
        command = [sys.executable, "-m", "benchmarks.loop", home, "full" if full else "quick"]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def measure(home: Path, full: bool) -> dict[str, float | int | str]:
    """Simulate an interval, untimed; then refresh, train, evaluate and judge it, and do that again."""
    settings = prepare(home, () if full else _QUICK_CANDIDATES)
    interval, n_decisions = simulate_day(settings, N_DECISIONS)
    stages, _, before = run_interval(settings, interval)
    _, n_changed, after = run_interval(settings, interval)
    return {
        "n_decisions": n_decisions,
        "seconds": sum(stages.seconds.values()),
        **{f"seconds_{name}": seconds for name, seconds in stages.seconds.items()},
        "peak_mib": max(stages.peak_mib.values()),
        "second_run_changed_rows": n_changed + (n_decisions if after != before else 0),
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2] == "full")))
