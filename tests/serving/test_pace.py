"""Work beside the event loop rests, and no other work does."""

import time
from threading import Event, Thread

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
    with unhurried(Event()):
        worked, took = _work(20)
    assert took >= 8 * worked
    assert 0.02 <= worked < 0.1


def test_work_that_could_not_rest_is_not_slept_off() -> None:
    with unhurried(Event()):
        began = time.thread_time()
        while time.thread_time() - began < 0.5:
            pass
        rested_at = time.perf_counter()
        rest()
        assert 0.1 <= time.perf_counter() - rested_at < 3.0, "four and a half seconds would be its share"


def test_work_does_not_rest_once_its_end_is_waited_for() -> None:
    hurry = Event()
    with unhurried(hurry):
        Thread(target=hurry.set).start()
        _, took = _work(400)
    assert took < 3.0, "four tenths of a second of work, and nine times as much rest"


def test_all_other_work_does_not_rest_also_beside_and_after_some_that_does() -> None:
    found: list[tuple[float, float]] = []
    with unhurried(Event()):
        beside = Thread(target=lambda: found.append(_work(400)))
        beside.start()
        beside.join()
    found.append(_work(400))
    assert max(took for _, took in found) < 3.0, "four tenths of a second of work, and nine times as much rest"
