"""Disks that can really be full, and really hang: only root can mount them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(at: Path, size: str = "256k") -> Iterator[Path]:
    """Mount a tmpfs of this size until the block ends; where that cannot be done, skip the test with the reason."""
    with _mounted(at, "-t", "tmpfs", "-o", f"size={size}", "marquee-test"):
        yield at


@contextmanager
def freezable_disk(at: Path, image: Path) -> Iterator[Path]:
    """Mount an ext4 of 16 MiB that lies in a file until the block ends; skips as `small_disk` does."""
    image.write_bytes(b"")
    os.truncate(image, 16 * 2**20)
    _told(["mkfs.ext4", "-q", "-F", str(image)])
    with _mounted(at, "-o", "loop", str(image)):
        yield at


@contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """Let everything that writes to a disk hang until the block ends."""
    subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(disk)], check=True)


@contextmanager
def _mounted(at: Path, *what: str) -> Iterator[None]:
    at.mkdir(parents=True, exist_ok=True)
    _told(["mount", *what, str(at)])
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def _told(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        why = done.stderr.strip() if done.returncode else ""
    except FileNotFoundError as error:
        why = str(error)
    if why:
        message = f"no disk of our own: {why}; run the tests as root on Linux"
        if os.environ.get("MARQUEE_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)


def fill(disk: Path) -> Path:
    """Take the last byte of a disk; removing the file that is returned gives all of it back."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return ballast
