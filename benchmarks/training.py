"""How fast training is from a training set on disk to a saved model, against VW's own driver on text that lies ready.

`driver_share_*` is against the driver on the very text that training writes, `full_text_share_*` on text with the
features of all candidates, as VW's manual has it: from both it learns the same weights, bit for bit. All three are
timed in turns, several times over, and the best time of each counts: other work on the machine only ever adds to it.
Growth is measured in processes of their own, with the memory of the process and of its child together.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

from benchmarks.memory import child_peak_mib, own_peak_mib
from benchmarks.training_log import LogSpec, write_training_log
from models import vw_train
from models.batch import LoggedBatch
from models.candidate import candidate, fit
from models.vw import vw_arguments
from models.vw_text import text_of
from pipelines.training_set import Side, iter_training_batches

CANDIDATE = "vw-epsilon"
N_ARTWORKS = (10, 30)
_ROUNDS = 3
_CHUNK = 4096


def run(full: bool) -> dict[str, float | int | str]:
    """Train on 60,000 decisions at 10 artworks and 30,000 at 30; grow from 50,000 to 200,000.

    With `full` 500,000, 250,000, and from 1 to 4 million.
    """
    scale = 1_000_000 if full else 50_000
    sizes = (500_000, 250_000) if full else (60_000, 30_000)
    figures: dict[str, float | int | str] = {}
    with tempfile.TemporaryDirectory(prefix="marquee-training-") as home:
        for n_artworks, n_decisions in zip(N_ARTWORKS, sizes, strict=True):
            found = shares(Path(home) / str(n_artworks), LogSpec(n_decisions, n_artworks))
            figures |= {f"{name}_k{n_artworks}": value for name, value in found.items()}
        small, large = (_grown(Path(home) / f"growth-{times}", times * scale) for times in (1, 4))
    return figures | {
        "growth_from": scale,
        "growth_to": 4 * scale,
        "seconds_per_million_small": small["seconds"] / scale * 1e6,
        "seconds_per_million_large": large["seconds"] / (4 * scale) * 1e6,
        "growth_ratio": large["seconds"] / small["seconds"] / 4,
        "peak_mib_small": small["peak_mib"],
        "peak_mib_large": large["peak_mib"],
    }


def shares(directory: Path, spec: LogSpec) -> dict[str, float | int]:
    """Time training and the bare driver in turns."""
    uri = write_training_log(directory / "set", spec)
    alone, full = directory / "alone.txt", directory / "full.txt"
    with alone.open("wb") as own, full.open("wb") as whole:
        for logged in _chunks(uri):
            own.write(text_of(logged.batch, logged))
            whole.write(text_of_all(logged))
    best = dict.fromkeys(("decisions_per_second", "driver_per_second", "driver_full_text_per_second"), 0.0)
    for _ in range(_ROUNDS):
        runs = (lambda: train(uri, directory / "work"), lambda: drive(alone, directory), lambda: drive(full, directory))
        for name, each in zip(best, runs, strict=True):
            best[name] = max(best[name], spec.n_decisions / _seconds(each))
    return {
        "n_decisions": spec.n_decisions,
        **best,
        "driver_share": best["decisions_per_second"] / best["driver_per_second"],
        "full_text_share": best["decisions_per_second"] / best["driver_full_text_per_second"],
        "text_bytes_per_decision": alone.stat().st_size / spec.n_decisions,
    }


def text_of_all(logged: LoggedBatch) -> bytes:
    """Write decisions with the features of every candidate, as VW's manual has it."""
    lines = text_of(logged.batch).decode().split("\n")
    labels = [line.split(" ", 1)[0] for line in text_of(logged.batch, logged).decode().split("\n")]
    labelled = (f"{label}{line}" if label.startswith("0:") else line for label, line in zip(labels, lines, strict=True))
    return "\n".join(labelled).encode()


def train(uri: str, workdir: Path) -> None:
    """Train on all decisions of a training set."""
    fit(candidate(CANDIDATE), lambda: iter_training_batches(uri, Side.ALL), workdir)


def drive(text: Path, workdir: Path) -> None:
    """Let VW's driver learn a file."""
    arguments = [*vw_arguments(candidate(CANDIDATE).arguments), "-d", str(text), "-f", str(workdir / "bare.vw")]
    subprocess.run([sys.executable, "-P", vw_train.__file__, *arguments], capture_output=True, check=True)


def _chunks(uri: str) -> Iterator[LoggedBatch]:
    return iter_training_batches(uri, Side.ALL, max_rows=_CHUNK)


def _seconds(step: Callable[[], None]) -> float:
    began = perf_counter()
    step()
    return perf_counter() - began


def _grown(directory: Path, n_decisions: int) -> dict[str, float]:
    uri = write_training_log(directory / "set", LogSpec(n_decisions, N_ARTWORKS[0]))
    command = [sys.executable, "-m", "benchmarks.training", uri, str(directory / "work")]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _measure(uri: str, workdir: Path) -> dict[str, float]:
    seconds = _seconds(lambda: train(uri, workdir))
    return {"seconds": seconds, "peak_mib": own_peak_mib() + child_peak_mib()}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
