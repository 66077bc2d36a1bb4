"""Work beside the event loop rests, and no other work does."""

import time

from serving.pace import rest, unhurried


def _work(n_slices: int) -> tuple[float, float]:
    """Work in slices of a millisecond, resting after each; gives seconds of work and of time."""
    began, worked = time.perf_counter(), time.thread_time()
    for _ in range(n_slices):
        slice_began = time.thread_time()
        while time.thread_time() - slice_began < 0.001:
            pass
        rest()
    return time.thread_time() - worked, time.perf_counter() - began


def test_unhurried_work_takes_a_tenth_of_the_time() -> None:
    with unhurried():
        worked, took = _work(20)
    assert took >= 8 * worked
    assert 0.02 <= worked < 0.1


def test_all_other_work_does_not_rest_also_after_some_that_did(monkeypatch) -> None:
    with unhurried():
        rest()
    monkeypatch.setattr(time, "sleep", lambda _: 1 / 0)
    _work(3)
