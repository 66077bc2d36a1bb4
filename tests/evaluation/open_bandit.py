"""The Open Bandit sample as a log without features: an item is an artwork, a click a reward, a row its own profile."""

import csv
from pathlib import Path

import numpy as np

from models.batch import LoggedBatch
from models.draw import mix
from models.identity import keys_of
from tests.evaluation.world import log_of, plain_batch


def open_bandit(shared_data: Path, policy: str, campaign: str) -> LoggedBatch:
    with (shared_data / "obd" / policy / campaign / f"{campaign}.csv").open(newline="") as source:
        rows = [(row["item_id"], row["click"], row["propensity_score"]) for row in csv.DictReader(source)]
    item, click, propensity = np.array(rows, dtype=np.float64).T
    n, n_items = len(rows), int(item.max()) + 1
    offsets = np.arange(n + 1) * n_items
    artworks = np.tile(mix(np.arange(1, n_items + 1, dtype=np.uint64)), n)
    batch = plain_batch(offsets, keys_of(f"~{row}" for row in range(n)), artworks)
    return log_of(batch, offsets[:-1] + item.astype(np.int64), propensity, click, uniform=policy == "random")
