"""The `marquee` command and a running scorer as other processes, as a user has them."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from pipelines.settings import Settings, environment_of

ROOT = Path(__file__).parents[2]
_READY_SECONDS = 90.0


def environment(settings: Settings) -> dict[str, str]:
    """Spell settings as the environment of a user's shell."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MARQUEE_")}
    return clean | environment_of(settings)


def marquee(env: dict[str, str], *words: str, timeout_seconds: float = 300.0) -> "subprocess.CompletedProcess[str]":
    """Run the command from the checkout's root and wait for it."""
    command = [sys.executable, "-m", "pipelines", *words]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_seconds, check=False
    )


def done(ran: "subprocess.CompletedProcess[str]", code: int = 0) -> str:
    """Insist on the exit code; give stdout."""
    assert ran.returncode == code, f"exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@contextmanager
def scorer(env: dict[str, str]) -> Iterator[httpx.Client]:
    """Run `marquee serve` on a free port until the block ends; the client is bound to it."""
    port = free_port()
    log = Path(env["MARQUEE_HOME"]) / "scorer.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stderr:
        running = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "serve"],
            cwd=ROOT,
            env=env | {"MARQUEE_PORT": str(port)},
            stderr=stderr,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                until(lambda: running.poll() is None and _ready(client), _READY_SECONDS, lambda: log.read_text())
                yield client
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(timeout=30)


@dataclass(frozen=True)
class Running:
    """A command that runs on, in a process group of its own, as in a terminal, and what it has printed so far."""

    process: "subprocess.Popen[bytes]"
    stdout: Path
    stderr: Path

    def wait_for(self, holds: Callable[[], object], seconds: float) -> None:
        """Wait for something that it does; if it ends before, that is told at once."""
        until(lambda: holds() or self.process.poll() is not None, seconds, self.stderr.read_text)
        assert holds(), f"exit {self.process.returncode}\n{self.stderr.read_text()}"

    def interrupt(self, seconds: float = 120.0) -> int:
        """Do what Ctrl-C does, to all of the group; give the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=seconds)


@contextmanager
def started(env: dict[str, str], log: Path, *command: str) -> Iterator[Running]:
    """Start a command in the checkout's root; nothing that it starts outlives the block.

    Args: log, the name of the files of its output, without an ending.
    """
    stdout, stderr = log.with_suffix(".stdout"), log.with_suffix(".stderr")
    # A process that was started in the background may ignore Ctrl-C, and hands that down; a handler it does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=err, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield Running(process, stdout, stderr)
    finally:
        with suppress(ProcessLookupError):
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=30)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(folder: Path) -> dict[str, str]:
    """Name every file below a folder by its content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def until(
    holds: Callable[[], object], seconds: float, story: Callable[[], str] = str, *, pause_seconds: float = 0.05
) -> None:
    """Wait for something another process does, at most so long; look again after each pause."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"did not come true in {seconds} s\n{story()}"
        time.sleep(pause_seconds)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
