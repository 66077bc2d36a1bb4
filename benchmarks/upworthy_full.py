"""Upworthy's 41M impressions, expanded to an event log, ingested, attributed and evaluated a day at a time.

Every impression of the archive becomes a page, an impression and perhaps a play of the event log; each goes through the
same steps as any log. Then the best artwork of each test, learned from some profiles, is held against uniform on the
others. Features stay out: the archive's visitors are seen once, and nothing is known of them.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.interval_run import peak_mib
from benchmarks.shared_data import shared_data
from evaluation.evaluation import evaluate
from models.assignment import is_held_out
from models.batch import LoggedBatch
from models.best_artwork import fit_best_artwork
from models.bundle import UNIFORM
from models.candidate import candidate
from models.interval import Interval
from models.layout import FAMILIARITY
from models.policy import UniformPolicy
from pipelines.attribution import attribute
from pipelines.column import unsigned_keys
from pipelines.feature_rows import WIDTHS
from pipelines.import_upworthy import import_upworthy
from pipelines.ingest import ingest
from pipelines.lake import Lake
from pipelines.settings import Settings
from pipelines.table import DECISIONS, REWARDS
from pipelines.training import FALLBACK
from pipelines.training_batch import logged_batch
from pipelines.training_part import ROWS

_QUICK_IMPRESSIONS = 100_000
_BATCH_ROWS = 50_000
_LOGGED = [name for name in ROWS.names if name in DECISIONS.schema.names]


def run(full: bool) -> dict[str, float | int | str]:
    """Take the archive's first tests up to 100,000 impressions, or all of it if `full`, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="marquee-upworthy-") as home:
        command = [sys.executable, "-m", "benchmarks.upworthy_full", home, str(0 if full else _QUICK_IMPRESSIONS)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def measure(home: Path, n_impressions: int) -> dict[str, float | int | str]:
    """Bring in the archive, or its first `n_impressions` if not 0, and time every step."""
    packages = _packages(home, n_impressions)
    settings = Settings(home=home / "home", attribution_window_hours=1.0, attribution_grace_hours=0.0)
    began = perf_counter()
    imported = import_upworthy(settings, packages)
    imported_at = perf_counter()
    first = Interval.parse(imported.first_interval, settings.interval_hours)
    last = Interval.parse(imported.last_interval, settings.interval_hours)
    whole = Interval(first.start_at, last.end_at + timedelta(days=1))
    n_rewards = 0
    for day in whole.split(settings.interval_hours):
        ingest(settings, day)
        n_rewards += attribute(settings, day).n_rewards
    refreshed_at = perf_counter()
    fallback = fit_best_artwork(_batches(settings, whole, held_out=False), candidate(FALLBACK).exploration).policy
    found = evaluate(
        {UNIFORM: UniformPolicy(), FALLBACK: fallback},
        lambda: _batches(settings, whole, held_out=True),
        champion=UNIFORM,
    )
    ended_at = perf_counter()
    estimates = {name: found.policy(name).estimates["dr"].value for name in (UNIFORM, FALLBACK)}
    return {
        "n_impressions": imported.n_decisions,
        "n_rewards": n_rewards,
        "minutes": (ended_at - began) / 60,
        "seconds_import": imported_at - began,
        "seconds_ingest_and_attribution": refreshed_at - imported_at,
        "seconds_evaluation": ended_at - refreshed_at,
        "seconds_per_million": (ended_at - began) / imported.n_decisions * 1e6,
        "peak_gib": peak_mib() / 1024,
        "lift_best_artwork": estimates[FALLBACK] / estimates[UNIFORM] - 1,
    }


def _packages(home: Path, n_impressions: int) -> Path:
    """Find the archive; or write its first tests, in order of their weeks, that hold so many impressions."""
    path = shared_data("upworthy") / "packages.parquet"
    if not n_impressions:
        return path
    table = pq.read_table(path).sort_by([("test_week", "ascending"), ("test_id", "ascending")])
    total = np.cumsum(np.asarray(table["impressions"]))
    tests = table["test_id"].slice(0, int(np.searchsorted(total, n_impressions)) + 1).unique()
    part = home / "packages.parquet"
    pq.write_table(table.filter(pc.is_in(table["test_id"], value_set=tests)), part)
    return part


def _batches(settings: Settings, whole: Interval, *, held_out: bool) -> Iterator[LoggedBatch]:
    """Yield one side's rewarded decisions a day at a time; the day before's mature until an hour after midnight."""
    lake = Lake(settings.lake_dir)
    before = lake.read(DECISIONS, whole.start_at, whole.start_at, columns=_LOGGED)
    for day in whole.split(settings.interval_hours):
        rewards = lake.read(REWARDS, day.start_at, day.end_at, columns=["decision_id", "reward", "matured_at"])
        decisions = lake.read(DECISIONS, day.start_at, day.end_at, columns=_LOGGED)
        logged = pa.concat_tables([before, decisions])
        before = decisions
        place = pc.index_in(rewards["decision_id"], value_set=logged["decision_id"].combine_chunks())
        rows = logged.take(place)
        on_side = is_held_out(unsigned_keys(rows["profile_id"]), settings.holdout_share) == held_out
        rows = rows.append_column("reward", rewards["reward"]).append_column("matured_at", rewards["matured_at"])
        rows = rows.filter(pa.array(on_side))
        for start in range(0, len(rows), _BATCH_ROWS):
            yield _unfeatured(rows.slice(start, _BATCH_ROWS))


def _unfeatured(rows: pa.Table) -> LoggedBatch:
    """Make a batch of decisions of which no feature is known."""
    n, counts = len(rows), pc.list_value_length(rows["actions"]).to_numpy()
    nowhere = pa.array(np.full(n, -1), pa.int32())
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(n * len(FAMILIARITY)), pa.float32()), len(FAMILIARITY))
    columns = {name: rows[name] for name in rows.column_names} | {
        "profile_place": nowhere,
        "title_place": nowhere,
        "familiarity": zeros.cast(pa.list_(pa.float32())),
        "artwork_places": pa.ListArray.from_arrays(offsets, pa.array(np.full(counts.sum(), -1), pa.int32())),
    }
    vectors = {view: np.zeros((1, width), np.float32) for view, width in WIDTHS.items()}
    return logged_batch(pa.table([columns[name] for name in ROWS.names], schema=ROWS), vectors)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
