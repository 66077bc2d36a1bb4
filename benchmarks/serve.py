"""Pages a second of one scorer, beside the naive way and the least that the same HTTP stack allows, in one run.

A page has 40 titles × 10 artworks. The scorer is a process of its own with its durable log on and its profiles in
Redis; it has one core, its client and Redis share the other. Scorer and floor take turns of 16 clients, and the middle
one of each figure is told; other numbers of clients have one turn each. Images a core second are images by the scorer's
own CPU time, user and system. A machine that shares its cores with others stretches that time too, and never shortens
it: the best turn is told beside.

Half load is measured in three stretches, and the floor at the same rate after each; the worst p99 is told beside. No
page is answered before its lines are on disk, so that the slowest pages follow the slowest writes: of the log's writes
in these stretches, how many took longer than 3 and than 10 ms is told too.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from benchmarks.faults_torment import free_port
from benchmarks.scorer_process import until
from benchmarks.serve_home import ServeHome, fill, serve_home
from benchmarks.serve_load import N_TITLES_A_PAGE, requests
from models.error import MarqueeError

SCORER = ["-c", "from serving.server import run; from serving.settings import ScorerSettings; run(ScorerSettings())"]
FLOOR = ["-m", "benchmarks.serve_floor"]
NAIVE = ["-m", "benchmarks.serve_naive"]
CLIENTS = (1, 4, 16, 64)
_N_STRETCHES = 3
_START_SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")

Figures = dict[str, float | int | str]


def run(full: bool) -> Figures:
    """Serve 10,000 artworks, and with `full` 100,000 too."""
    found = measure(1_000, rounds=7 if full else 1, seconds=3.0 if full else 1.5)
    if full:
        large = measure(10_000, rounds=3, seconds=3.0, naive=False)
        found |= {f"{key}_of_100k_artworks": value for key, value in large.items()}
    return found


def measure(n_titles: int, *, rounds: int, seconds: float, naive: bool = True) -> Figures:
    """Load each server in turn.

    Raises:
        MarqueeError: if a server does not start or a page is refused.
    """
    with serve_home(n_titles) as home:
        fill(home)
        found: Figures = {}
        with _serving(home, FLOOR) as floor, _serving(home, SCORER) as scorer:
            refuse_stepped_down(scorer.port, n_titles)
            _load(scorer, home, 16, 1.0)
            _load(floor, home, 16, 0.5)
            turns = [(_load(floor, home, 16, seconds), _load(scorer, home, 16, seconds)) for _ in range(rounds)]
            for clients in CLIENTS:
                told = _load(scorer, home, clients, seconds)
                found |= {f"{key}_{clients}_clients": told[key] for key in ("pages_per_second", "p50_ms", "p99_ms")}
            most = median(told["pages_per_second"] for _, told in turns)
            found |= half_load(scorer, floor, home, most / 2, seconds)
            found["pages_per_second"] = most
            found["floor_pages_per_second"] = median(told["pages_per_second"] for told, _ in turns)
            found["ratio_floor"] = median(ours["pages_per_second"] / least["pages_per_second"] for least, ours in turns)
            found["ratio_floor_cpu"] = median(least["cpu_us"] / ours["cpu_us"] for least, ours in turns)
            cpu_us = [told["cpu_us"] for _, told in turns]
            found["cpu_us_per_page"] = median(cpu_us)
            found["images_per_core_second"] = N_TITLES_A_PAGE * 1e6 / median(cpu_us)
            found["best_images_per_core_second"] = N_TITLES_A_PAGE * 1e6 / min(cpu_us)
            found["share_live"] = share_live(scorer.port)
        if naive:
            with _serving(home, NAIVE) as server:
                _load(server, home, 1, 0.5)
                told = _load(server, home, 16, 2 * seconds)
                found["naive_pages_per_second"] = told["pages_per_second"]
                found["ratio_naive"] = most / told["pages_per_second"]
        return found


def refuse_stepped_down(port: int, n_titles: int) -> None:
    """Ask for a few pages with an explanation: what is measured is the live policy with all its features.

    Raises:
        MarqueeError: if most decisions are not: a busy machine may miss the budget for features now and then.
    """
    intents: list[str] = []
    for asked in requests(n_titles)[:20]:
        body = json.loads(asked.partition(b"\r\n\r\n")[2]) | {"explain": True}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/pages", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - ours
            intents += [choice["intent"] for choice in json.loads(answer.read())["decisions"]]
    if intents.count("live") < len(intents) / 2:
        raise MarqueeError(f"the scorer steps down: {sorted(set(intents))}")


def half_load(scorer: "_Server", floor: "_Server", home: ServeHome, rate: float, seconds: float) -> Figures:
    """Load scorer and floor in turns at a rate that both can keep."""
    before = slow_writes(scorer.port)
    turns = [
        (_load(scorer, home, 16, 2 * seconds, rate=rate), _load(floor, home, 16, seconds, rate=rate))
        for _ in range(_N_STRETCHES)
    ]
    found: Figures = {
        f"log_writes_over_{ms}_ms_half_load": n - before[ms] for ms, n in slow_writes(scorer.port).items()
    }
    for key in ("p50_ms", "p99_ms"):
        found[f"{key}_half_load"] = median(ours[key] for ours, _ in turns)
        found[f"floor_{key}_half_load"] = median(least[key] for _, least in turns)
    return found | {"worst_p99_ms_half_load": max(ours["p99_ms"] for ours, _ in turns)}


def share_live(port: int) -> float:
    """Tell which share of all decisions so far the live policy made, by the scorer's own count."""
    counts = {each.labels["intent"]: each.value for each in _told(port) if each.name == "marquee_decisions_total"}
    return counts.get("live", 0.0) / sum(counts.values())


def slow_writes(port: int) -> dict[int, float]:
    """Count the log's writes so far that took longer than 3 ms and than 10 ms, by milliseconds."""
    buckets = {each.labels["le"]: each.value for each in _told(port) if each.name == "marquee_log_write_seconds_bucket"}
    return {ms: buckets["+Inf"] - buckets[str(ms / 1000)] for ms in (3, 10)}


def _told(port: int) -> list[Sample]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return [sample for family in families for sample in family.samples]


class _Server:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - not a file on a disk
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise MarqueeError(f"the server ended with code {self.process.returncode}")
        with suppress(urllib.error.URLError, ConnectionError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                told = answer.read()
            return told == b"ok" or bool(json.loads(told)["features"] == "ok" and json.loads(told)["n_titles"] > 0)
        return False


@contextmanager
def _serving(home: ServeHome, command: list[str]) -> Iterator[_Server]:
    port = free_port()
    environment = os.environ | home.variables | {"MARQUEE_PORT": str(port)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)  # Feast sets it here; a scorer's environment does not have it
    with (home.settings.home / "server.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log)
    try:
        server = _Server(process, port)
        until(server.is_ready, "the server is ready", _START_SECONDS)
        os.sched_setaffinity(process.pid, {_cores()[0]})
        for thread in os.listdir(f"/proc/{process.pid}/task"):  # noqa: PTH208
            with suppress(ProcessLookupError):  # it ended since
                os.sched_setaffinity(int(thread), {_cores()[0]})
        yield server
    except MarqueeError as error:
        said = (home.settings.home / "server.log").read_text()[-2000:]
        raise MarqueeError(f"{error}:\n{said}") from error
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _load(server: _Server, home: ServeHome, clients: int, seconds: float, rate: float = 0.0) -> dict[str, float]:
    arguments = ["--titles", str(len(home.world.titles)), "--clients", str(clients), "--seconds", str(seconds)]
    before = server.cpu_seconds()
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.serve_load", str(server.port), *arguments, "--rate", str(rate)],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {_cores()[-1]}),
    )
    found: dict[str, float] = json.loads(told.stdout)
    used = server.cpu_seconds() - before
    return found | {"pages_per_second": found["pages"] / found["seconds"], "cpu_us": used / found["pages"] * 1e6}


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))
