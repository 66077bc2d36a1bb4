"""How far the estimators are from golden values and from the known truth of digits, and what a longer log costs.

The log of the timed part is streamed: days of 50,000 decisions with ten candidates, 1, 2 and 4 million decisions,
judged with all nine estimators and their intervals, days and tastes. What is timed is `evaluate` alone, not the making
of the days.
"""

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.digits import relative_errors
from benchmarks.golden import differences
from benchmarks.memory import own_peak_mib
from benchmarks.shared_data import shared_data
from evaluation.evaluation import evaluate
from models.batch import Batch, Floats, LoggedBatch
from models.draw import mix, unit
from models.layout import ARTWORK, SHARED

N_DIGITS_RUNS = 20
_N_CANDIDATES, _DAY = 10, 50_000
_N_PROFILES = 200_000
_START = np.datetime64("2026-01-01", "us")


def run(full: bool) -> dict[str, float | int | str]:
    """Make the figures; without `full`, the three logs are half as long as they are called (`timed_share`)."""
    apart = list(differences(shared_data("golden")))
    errors = [relative_errors(seed) for seed in range(N_DIGITS_RUNS)]
    figures: dict[str, float | int | str] = {"n_golden_values": len(apart), "max_relative_difference": max(apart)}
    for name in ("dr", "snips", "ips", "dm"):
        figures[f"digits_{name}_error"] = float(np.mean([each[name] for each in errors]))
    share = 1.0 if full else 0.5
    figures["timed_share"] = share
    days = [_day(seed) for seed in range(2)]
    _seconds(days, 2)  # the first one pays for what Python loads late
    peaks = []
    for millions in (1, 2, 4):
        timed = share * millions
        figures[f"seconds_per_million_{millions}m"] = _seconds(days, round(timed * 1_000_000 / _DAY)) / timed
        peaks.append(own_peak_mib())
    return {**figures, "peak_mib": peaks[-1], "peak_growth_mib": peaks[-1] - peaks[0]}


def _seconds(days: list[LoggedBatch], n_days: int) -> float:
    """Time one evaluation of so many days, less the time it takes to make them."""
    making = 0.0

    def batches() -> Iterator[LoggedBatch]:
        nonlocal making
        for number in range(n_days):
            began = perf_counter()
            logged = _moved(days[number % len(days)], number)
            making += perf_counter() - began
            yield logged

    began = perf_counter()
    found = evaluate({"target": _Liking()}, batches, champion="target")
    assert found.log.n_decisions == n_days * _DAY  # noqa: S101 - a benchmark that lost rows would be a lie
    return perf_counter() - began - making


class _Liking:
    """A target that costs next to nothing itself: it likes some artworks more than others."""

    def pmf(self, batch: Batch) -> Floats:
        weight = 0.5 + unit(batch.artwork_keys)
        return np.asarray(weight / np.repeat(np.add.reduceat(weight, batch.offsets[:-1]), batch.counts))


def _day(seed: int) -> LoggedBatch:
    """Make a day of logged decisions with features of every kind; draws are uniform."""
    rng, n = np.random.default_rng(seed), _DAY
    offsets = np.arange(n + 1) * _N_CANDIDATES
    title = rng.integers(0, 2_000, n).astype(np.uint64)
    artwork = np.repeat(title, _N_CANDIDATES) * np.uint64(100) + np.tile(np.arange(_N_CANDIDATES, dtype=np.uint64), n)
    batch = Batch(
        offsets=offsets,
        profile_keys=mix(rng.integers(1, _N_PROFILES, n).astype(np.uint64)),
        title_keys=mix(title + np.uint64(1)),
        artwork_keys=mix(artwork),
        shared=rng.random((n, len(SHARED)), dtype=np.float32),
        artworks=rng.random((n * _N_CANDIDATES, len(ARTWORK)), dtype=np.float32),
    )
    reward: Floats = (rng.random(n) < 0.1).astype(np.float64)
    return LoggedBatch(
        batch=batch,
        chosen=offsets[:-1] + rng.integers(0, _N_CANDIDATES, n),
        propensity=np.full(n, 1 / _N_CANDIDATES),
        reward=reward,
        decision_ids=np.array([f"{seed}-{row}" for row in range(n)], dtype=object),
        decided_at=_START + np.arange(n) * np.timedelta64(86_400_000_000 // n, "us"),
        device=rng.choice(np.array(["tv", "mobile", "web"], dtype=object), n),
        country=rng.choice(np.array(["NL", "BR", "US"], dtype=object), n),
        cell=np.full(n, "uniform", dtype=object),
    )


def _moved(day: LoggedBatch, number: int) -> LoggedBatch:
    """Make another day of this one: later, and by other profiles of the same population."""
    keys = mix(day.batch.profile_keys + np.uint64(number)) % np.uint64(_N_PROFILES)
    at = day.decided_at + np.timedelta64(number, "D")
    return replace(day, batch=replace(day.batch, profile_keys=mix(keys)), decided_at=at)
