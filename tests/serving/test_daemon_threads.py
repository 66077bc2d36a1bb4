"""Threads that do what they are given, in order, and that the end of a process does not wait for."""

import subprocess
import sys
import threading
import time

import pytest

from serving.daemon_threads import DaemonThreads
from tests.serving.scorer_process import ROOT

_HANGS = """
import time
from serving.daemon_threads import DaemonThreads
threads = DaemonThreads(2, "hangs")
threads.submit(time.sleep, 600)
threads.submit(print, "done").result()
threads.shutdown()
"""


def test_what_hangs_in_a_thread_keeps_no_process_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _HANGS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "done\n"


def test_one_thread_does_things_in_order_and_tells_what_they_give_or_raise() -> None:
    threads, seen = DaemonThreads(1, "one"), []
    futures = [threads.submit(seen.append, n) for n in range(100)]
    failing = threads.submit(int, "no number")
    assert threads.submit(len, seen).result(10) == 100
    assert all(future.done() for future in futures)
    assert seen == list(range(100))
    with pytest.raises(ValueError, match="no number"):
        failing.result(10)
    threads.shutdown()


def test_a_shutdown_cancels_what_has_not_begun_and_ends_the_threads() -> None:
    threads, gate, has_begun = DaemonThreads(1, "shut"), threading.Event(), threading.Event()

    def begin() -> bool:
        has_begun.set()
        return gate.wait(20)

    under_way, waiting = threads.submit(begin), threads.submit(gate.wait, 20)
    assert has_begun.wait(10)
    threads.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    gate.set()
    assert under_way.result(10)
    end = time.monotonic() + 10
    while any(thread.name == "shut" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_comes_after_a_shutdown_is_refused() -> None:
    threads = DaemonThreads(1, "ended")
    assert threads.submit(len, "abc").result(10) == 3
    threads.shutdown()
    with pytest.raises(RuntimeError, match="threads of ended were told to end"):
        threads.submit(len, "abc")
