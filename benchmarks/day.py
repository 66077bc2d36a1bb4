"""A day of 0.5 to 10 million decisions through the whole loop: seconds a million by size and stage, and peak memory.

The log is a simulated day of 25 decisions a profile, copied under other ids as often as the size asks: as many scorers'
segments, each over the whole day, with their late, repeated and cached reports. Making it is not counted. One candidate
is trained, Vowpal Wabbit's ε-greedy, besides the fallback that every bundle carries. Each size runs in a process and a
home of its own. There is only room for half a million decisions within the 50 seconds of a benchmark that is not full:
`--full` runs 0.5, 1, 2 and 10 million, and needs 30 GB of disk.

Copies of a decision lie side by side, and are taken for independent: of 10 million in a hundred copies VW was refused,
as worse than uniform on 20,000 decisions that were three hundred. So `--full` simulates a million, and copies those.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.interval_run import Stages, prepare, run_interval, simulate_day
from models.interval import Interval
from pipelines.settings import Settings

_COPIED = 100_000
_FULL_COPIED = 1_000_000
_SIZES = {"05m": 500_000}
_FULL_SIZES = {"05m": 500_000, "1m": 1_000_000, "2m": 2_000_000, "10m": 10_000_000}
_MILLION = 1e6


def run(full: bool) -> dict[str, float | int | str]:
    """Time every size."""
    figures: dict[str, float | int | str] = {}
    peaks = []
    for name, n_decisions in (_FULL_SIZES if full else _SIZES).items():
        found = _measured(n_decisions, _FULL_COPIED if full else _COPIED)
        millions = found.n_decisions / _MILLION
        figures[f"seconds_per_million_{name}"] = sum(found.stages.seconds.values()) / millions
        for stage, seconds in found.stages.seconds.items():
            figures[f"seconds_per_million_{name}_{stage}"] = seconds / millions
        for stage, peak_mib in found.stages.peak_mib.items():
            figures[f"peak_gib_{name}_{stage}"] = peak_mib / 1024
        peaks.append(max(found.stages.peak_mib.values()) / 1024)
        figures[f"peak_gib_{name}"] = peaks[-1]
    return figures | {"peak_gib": max(peaks)}


class Day(msgspec.Struct, frozen=True):
    """One size: how many decisions there really were, and what each stage took."""

    n_decisions: int
    stages: Stages


def measure(home: Path, n_decisions: int, copied: int) -> Day:
    """Make the log, untimed; then one interval from closed segments to a verdict.

    Args: copied, how many decisions are simulated at most; a longer log is copies of them.
    """
    settings = prepare(home, ("vw-epsilon",))
    interval, n_copied = simulate_day(settings, min(copied, n_decisions))
    n_copies = max(1, n_decisions // copied)
    _copy_day(settings, interval, n_copies)
    stages, _, _ = run_interval(settings, interval)
    return Day(n_copied * n_copies, stages)


def _measured(n_decisions: int, copied: int) -> Day:
    with tempfile.TemporaryDirectory(prefix="marquee-day-") as home:
        command = [sys.executable, "-m", "benchmarks.day", home, str(n_decisions), str(copied)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return msgspec.json.decode(ran.stdout.splitlines()[-1], type=Day)


def _copy_day(settings: Settings, interval: Interval, n_copies: int) -> None:
    """Write the day's segments again under other ids: pages, decisions and plays begin with `"01a`, profiles `"p00`.

    Both are read off the log's own ids, whose first characters all are alike within a day.
    """
    (folder,) = settings.events_dir.glob(f"simulated-{interval.key}")
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        if not path.name.startswith(f"{interval.start_at:%Y%m%d}"):
            continue  # what was received on later days is no part of the interval
        for copy in range(1, n_copies):
            renamed = content.replace(b'"01a', b'"%03x' % (0x100 + copy)).replace(b'"p00', b'"p%02d' % copy)
            path.with_name(f"{path.stem}c{copy}{path.suffix}").write_bytes(renamed)


if __name__ == "__main__":
    print(msgspec.json.encode(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))).decode())
