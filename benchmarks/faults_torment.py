"""What is done to the scorer that `faults` torments."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.faults_home import catalogue, fill
from benchmarks.faults_load import N_PROFILES, Load
from benchmarks.scorer_process import WAIT_SECONDS, readiness, start_scorer, until
from models.batch import Batch
from models.bundle import write_bundle
from models.error import MarqueeError
from models.exploration import Exploration, ExplorationKind
from models.fitted import FittedPolicy
from models.identity import keys_of
from models.layout import ARTWORK, SHARED
from models.linear import LinearPolicy
from models.manifest import BundleManifest
from models.pointer import Pointer, move_pointer
from pipelines.settings import Settings
from serving.catalogue_file import write_catalogue
from serving.status import Readiness

_DISK = "256m"
_SWAP_SECONDS = 5.0
_MOTIF_FACTOR = 0.3
_NOBODY = Readiness(ready=False, log="", features="", catalogue="", policy_version="", n_titles=0, n_artworks=0)
_UNDISTURBED_SECONDS = 0.5
_FAULT_SECONDS = 1.0
_LEARNED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Size:
    """How many of each fault."""

    kills: int
    redis_stops: int
    bundles: int
    corrupt: int
    disk_fills: int
    clients: int


@dataclass(slots=True)
class Torment:
    """One scorer with its Redis and its disk, and what is done to them.

    `dead` are the stretches from a kill until the process after it listens. From half of the kills on the
    scorer has page rules, all that it decides after `ruled_since`.
    """

    settings: Settings
    disk: Path
    dead: list[tuple[float, float]] = field(default_factory=list)
    swap_seconds: list[float] = field(default_factory=list)
    redis_port: int = field(default_factory=lambda: free_port())
    ruled_since: datetime | None = None
    _scorer: "subprocess.Popen[bytes] | None" = None
    _redis: "subprocess.Popen[bytes] | None" = None
    _live: str = ""
    _n_published: int = 0

    def run(self, size: Size) -> Load:
        """Do everything in turn, under load; returns the load, ended, as the scorer is."""
        write_catalogue(catalogue(), self.settings.catalogue_path)
        self._start_redis()
        fill(self.settings, N_PROFILES)
        self._start_scorer()
        until(lambda: self._ready().ready and self._ready().features == "ok", "the scorer is ready")
        self._publish()
        load = Load(f"http://127.0.0.1:{self.settings.port}", size.clients)
        load.start()
        try:
            for number in range(size.kills):
                self._kill_scorer(motif_factor=_MOTIF_FACTOR if number >= size.kills // 2 else 1.0)
            for number in range(size.redis_stops):
                self._stop_redis(hang=number % 2 == 1)
            every = size.bundles // size.corrupt
            for number in range(size.bundles):
                self._publish(corrupt=number % every == every - 1)
            for _ in range(size.disk_fills):
                self._fill_disk()
        finally:
            load.stop()
            self.end()
        return load

    def end(self) -> None:
        """Let the scorer end in peace, and Redis."""
        for process in (self._scorer, self._redis):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(WAIT_SECONDS)

    def _kill_scorer(self, motif_factor: float) -> None:
        _leave_alone()
        since = time.monotonic()
        _kill(self._scorer)
        if motif_factor != self.settings.repeated_motif_factor:
            self.settings = self.settings.model_copy(update={"repeated_motif_factor": motif_factor})
            self.ruled_since = datetime.now(UTC)
        self._start_scorer()
        self.dead.append((since, time.monotonic()))
        until(lambda: self._ready().policy_version == self._live, "the live policy is in force again")

    def _stop_redis(self, *, hang: bool) -> None:
        if hang and self._redis is not None:
            self._redis.send_signal(signal.SIGSTOP)
            _let_it_last()
            self._redis.send_signal(signal.SIGCONT)
        else:
            _kill(self._redis)
            _let_it_last()
            self._start_redis()
        _leave_alone()

    def _publish(self, *, corrupt: bool = False) -> None:
        self._n_published += 1
        manifest = _bundle(self.settings.policies_url, self._n_published)
        if corrupt:
            file = self.settings.home / "policies" / "bundles" / manifest.version / "policy.npz"
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0x20
            file.write_bytes(content)
        since = time.monotonic()
        pointer = Pointer.to(manifest, published_at=datetime.now(UTC), previous=self._live or None)
        move_pointer(self.settings.policies_url, pointer)
        if corrupt:
            time.sleep(2 * self.settings.policy_poll_seconds)  # nothing tells that it was refused: time to look twice
            return
        until(lambda: self._ready().policy_version == manifest.version, "a published policy is in force", _SWAP_SECONDS)
        self.swap_seconds.append(time.monotonic() - since)
        self._live = manifest.version

    def _fill_disk(self) -> None:
        ballast = self.disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 65536) == 65536:
                pass
        until(lambda: not self._ready().ready, "a full disk turns readiness red")
        _let_it_last()
        ballast.unlink()
        until(lambda: self._ready().ready, "readiness is green once there is room")
        _leave_alone()

    def _start_redis(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise MarqueeError("there is no redis-server: install Redis")
        where = ["--bind", "127.0.0.1", "--port", str(self.redis_port), "--dir", str(self.settings.home)]
        kept = ["--save", "", "--appendonly", "yes"]  # a Redis that comes back has its rows
        self._redis = subprocess.Popen([program, *where, *kept], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: _listens(self.redis_port), "Redis listens")

    def _start_scorer(self) -> None:
        self._scorer = start_scorer(self.settings)
        until(lambda: _listens(self.settings.port), "the scorer listens", every=0.01)

    def _ready(self) -> Readiness:
        return readiness(self.settings) or _NOBODY


@contextlib.contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """Mount a disk that can really be full, until the block ends.

    Raises:
        MarqueeError: if it cannot be mounted, with what the system said.
    """
    at.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "marquee-faults", str(at)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise MarqueeError(f"a small disk must be mounted, as root on Linux: {mounted.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def free_port() -> int:
    """Find a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _bundle(root_url: str, number: int) -> BundleManifest:
    """Write a bundle of a policy to which every feature and the artwork itself matter."""
    generator = np.random.default_rng(number)
    names = list(catalogue().artworks)
    policy = LinearPolicy.flat(
        Exploration(ExplorationKind.SOFTMAX, parameter=1.0, floor=0.05),
        shared_weights=generator.normal(size=len(SHARED)).astype(np.float32),
        cross=generator.normal(scale=0.2, size=(len(SHARED), len(ARTWORK))).astype(np.float32),
        artwork_weights=generator.normal(size=len(ARTWORK)).astype(np.float32),
        bias_keys=np.sort(keys_of(names)),
        bias=generator.normal(size=len(names)).astype(np.float32),
    )
    sample = Batch(
        offsets=np.array([0, 2]),
        profile_keys=keys_of(["p"]),
        title_keys=keys_of(["t0"]),
        artwork_keys=keys_of(names[:2]),
        shared=generator.normal(size=(1, len(SHARED))).astype(np.float32),
        artworks=generator.normal(size=(2, len(ARTWORK))).astype(np.float32),
    )
    return write_bundle(
        root_url,
        candidate="faults",
        fitted=FittedPolicy(policy),
        fallback=LinearPolicy.flat(Exploration(ExplorationKind.GREEDY)),
        sample=sample,
        learned_from_at=_LEARNED_AT,
        learned_through_at=_LEARNED_AT + timedelta(days=number),
        n_decisions=1,
        reward_rule="quality-play-1",
        holdout_share=0.4,
    )


def _let_it_last() -> None:
    time.sleep(_FAULT_SECONDS)  # dozens of pages meet a fault


def _leave_alone() -> None:
    time.sleep(_UNDISTURBED_SECONDS)  # the load goes on: what a fault cost is told apart from what the one before did


def _kill(process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
