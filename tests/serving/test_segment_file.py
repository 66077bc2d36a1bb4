import ctypes
import mmap
import os
import sys
from pathlib import Path

import pytest

from serving.segment_file import SegmentFile
from tests.serving.example import NOW

LINES = (b"x" * 99 + b"\n") * 10_000


def pages_in_memory(path: Path) -> list[bool]:
    """Tell of each page of a file whether the system holds it in memory, by asking mincore(2) about a mapping of it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as mapped:
        held = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(mapped)
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped)), held)
        del first
        assert not failed, os.strerror(ctypes.get_errno())
        return [bool(each & 1) for each in held]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux is asked to forget what it has written")
def test_what_is_on_disk_is_not_kept_in_memory_too(tmp_path: Path) -> None:
    if _is_in_memory(tmp_path):
        pytest.skip("this file system has no disk: run with --basetemp on one that has")
    segment = SegmentFile.create(tmp_path, NOW, "a")
    segment.write(LINES, NOW)
    written = pages_in_memory(segment.path)
    segment.sync()
    assert sum(written) >= len(LINES) // mmap.PAGESIZE
    assert sum(pages_in_memory(segment.path)) <= len(written) // 10
    assert pages_in_memory(segment.path)[-1], "the next line is written without reading"
    segment.write(LINES, NOW)
    segment.sync()
    assert segment.path.read_bytes() == LINES + LINES
    segment.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux is asked to forget what it has written")
def test_less_than_a_page_stays(tmp_path: Path) -> None:
    segment = SegmentFile.create(tmp_path, NOW, "a")
    segment.write(LINES[:100], NOW)
    segment.sync()
    assert pages_in_memory(segment.path) == [True]
    segment.close()


def _is_in_memory(directory: Path) -> bool:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    within = [mount for mount in mounts if directory.resolve().is_relative_to(mount[0])]
    return max(within, key=lambda mount: len(mount[0]))[1] == "tmpfs"
