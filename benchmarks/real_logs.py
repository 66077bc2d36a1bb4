"""What evaluation says of real logs: Open Bandit's two logging policies, and Upworthy's faulty weeks.

Open Bandit: each estimator's relative error, from the uniformly random log of a campaign, of the click rate that
Bernoulli-Thompson sampling had in its own log; `obp_…` are those of the Open Bandit Pipeline's own numbers on the same
rows. Both rest on a few dozen clicks, so that nothing but the order of magnitude is to be read from either.
Upworthy: `…_weeks` are the shares of weeks that the gate's sample-ratio check by title would hold, at its level, with a
test for a title; `…_weeks_of_1000` and `…_of_100` are those of the faulty weeks if at most so many impressions of each
test are drawn from the archive's; `…_tests` are the shares of single tests that fail Pearson's χ².
"""

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.shared_data import shared_data
from evaluation.allocation import LEVEL, Allocations, allocation_p_values, log_capitals, many_faulty, one_faulty
from evaluation.evaluation import evaluate
from evaluation.gate import judge
from evaluation.gate_check import N_RATIO_TESTS, GateRules
from models.batch import Batch, Floats, LoggedBatch
from models.draw import mix
from models.identity import keys_of
from models.layout import ARTWORK, SHARED
from models.policy import Policy, UniformPolicy

CAMPAIGNS = ("men", "women")
FAULTY_WEEKS = (201326, 201402)
"""First and last week in which the archive's own authors found assignment broken."""
_FEWER = (1_000, 100)
N_POSITIONS = 3
_GOLDEN = {"ips": "ips", "snips": "snips", "dm": "dm", "dr": "dr", "sndr": "sndr"}


def run(full: bool) -> dict[str, float | int | str]:
    """Make the figures; they take seconds, `full` or not."""
    figures: dict[str, float | int | str] = {}
    for campaign in CAMPAIGNS:
        figures |= _thompson_from_random(campaign)
    figures |= _published()
    figures |= _uniform_from_thompson("women")
    return figures | _upworthy()


class BernoulliThompson:
    """The shares of items at each position of the Thompson-sampled log: that policy looks at nothing else.

    Args: log and position `(n,)` of it, from 0. A decision's position is read off its title key.
    """

    def __init__(self, log: LoggedBatch, position: np.ndarray) -> None:
        self._n_items = int(log.batch.counts[0])
        item = log.chosen % self._n_items
        counts = np.bincount(position * self._n_items + item, minlength=N_POSITIONS * self._n_items)
        table = counts.reshape(N_POSITIONS, self._n_items)
        self._shares: Floats = table / table.sum(axis=1, keepdims=True)

    def pmf(self, batch: Batch) -> Floats:
        """Give the `(m,)` shares of the items at each decision's position."""
        return np.asarray(self._shares[batch.title_keys.astype(np.int64) - 1].ravel(), dtype=np.float64)


def open_bandit(policy: str, campaign: str) -> tuple[LoggedBatch, np.ndarray]:
    """Read a log as decisions without features, each of a profile of its own; and `(n,)` positions from 0.

    Positions are titles: a slot is what artworks compete in.
    """
    path = shared_data("obd") / policy / campaign / f"{campaign}.csv"
    names = ("item_id", "click", "propensity_score", "position", "timestamp")
    with path.open(newline="", encoding="utf-8") as source:
        rows = [tuple(row[name] for name in names) for row in csv.DictReader(source)]
    item, click, propensity, position = np.array([row[:4] for row in rows], dtype=np.float64).T
    at = np.array([datetime.fromisoformat(row[4]).replace(tzinfo=None) for row in rows], dtype="datetime64[us]")
    n, n_items = len(rows), int(item.max()) + 1
    offsets = np.arange(n + 1) * n_items
    nothing = np.full(n, "", dtype=object)
    batch = Batch(
        offsets=offsets,
        profile_keys=keys_of(f"~{policy}-{campaign}-{row}" for row in range(n)),
        title_keys=position.astype(np.uint64),
        artwork_keys=np.tile(mix(np.arange(1, n_items + 1, dtype=np.uint64)), n),
        shared=np.zeros((n, len(SHARED)), dtype=np.float32),
        artworks=np.zeros((n * n_items, len(ARTWORK)), dtype=np.float32),
    )
    log = LoggedBatch(
        batch=batch,
        chosen=offsets[:-1] + item.astype(np.int64),
        propensity=propensity,
        reward=click,
        decision_ids=np.array([f"{policy}-{campaign}-{row}" for row in range(n)], dtype=object),
        decided_at=at,
        device=nothing,
        country=nothing,
        cell=np.full(n, "uniform" if policy == "random" else "live", dtype=object),
    )
    return log, position.astype(np.int64) - 1


def _thompson_from_random(campaign: str) -> dict[str, float | int | str]:
    random, _ = open_bandit("random", campaign)
    thompson, position = open_bandit("bts", campaign)
    truth = float(thompson.reward.mean())
    target = BernoulliThompson(thompson, position)
    found = evaluate({"thompson": target}, lambda: _batches(random), champion="thompson").policy("thompson")
    return {
        f"obd_{campaign}_{name}_error": abs(estimate.value / truth - 1) for name, estimate in found.estimates.items()
    }


def _published() -> dict[str, float | int | str]:
    """Give the reference's relative errors on the men's campaign, from its own estimates on the same rows."""
    path = shared_data("golden") / "open_bandit_men_random_to_bts.json"
    told = json.loads(path.read_text(encoding="utf-8"))["targets"]["target_pmf"]
    truth = told["ground_truth_policy_value"]
    return {f"obp_men_{name}_error": abs(told["estimates"][key] / truth - 1) for name, key in _GOLDEN.items()}


def _uniform_from_thompson(campaign: str) -> dict[str, float | int | str]:
    """Ask the gate whether uniform may replace Bernoulli-Thompson, on the log of the latter."""
    log, position = open_bandit("bts", campaign)
    policies: dict[str, Policy] = {"thompson": BernoulliThompson(log, position), "uniform": UniformPolicy()}
    found = evaluate(policies, lambda: _batches(log), champion="thompson")
    verdict = judge(found, "uniform", GateRules())
    return {
        f"obd_{campaign}_verdict": verdict.decision.value,
        f"obd_{campaign}_failed_checks": " ".join(check.name for check in verdict.checks if not check.passed),
        f"obd_{campaign}_effective_sample": found.policy("uniform").support.effective_sample_size,
    }


def _upworthy() -> dict[str, float | int | str]:
    week, counts, offsets = upworthy_tests(shared_data("upworthy") / "packages.parquet")
    p_values = allocation_p_values(counts, offsets)
    faulty = (week >= FAULTY_WEEKS[0]) & (week <= FAULTY_WEEKS[1])
    weeks = np.unique(week)
    flagged = _flagged(week, counts, offsets)
    inside = (weeks >= FAULTY_WEEKS[0]) & (weeks <= FAULTY_WEEKS[1])
    fewer = {most: _flagged(week, _drawn(counts, offsets, most), offsets) for most in _FEWER}
    return {
        "upworthy_flagged_faulty_weeks": float(flagged[inside].mean()),
        "upworthy_flagged_other_weeks": float(flagged[~inside].mean()),
        "upworthy_week_level": GateRules().check_alpha,
        **{f"upworthy_flagged_faulty_weeks_of_{most}": float(each[inside].mean()) for most, each in fewer.items()},
        "upworthy_flagged_faulty_tests": float((p_values[faulty] < LEVEL).mean()),
        "upworthy_flagged_other_tests": float((p_values[~faulty] < LEVEL).mean()),
        "upworthy_test_level": LEVEL,
    }


def _flagged(week: np.ndarray, counts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Tell of each week, in order, whether the gate would hold it."""
    level = GateRules().check_alpha / N_RATIO_TESTS
    return np.array([min(week_p_values(week == each, counts, offsets)) < level for each in np.unique(week)])


def _drawn(counts: np.ndarray, offsets: np.ndarray, most: int) -> np.ndarray:
    """Draw at most so many visitors of each test."""
    rng = np.random.default_rng(2014)
    tests = np.split(counts, offsets[1:-1])
    return np.concatenate([rng.multivariate_hypergeometric(one, min(most, int(one.sum()))) for one in tests])


def week_p_values(tests: np.ndarray, counts: np.ndarray, offsets: np.ndarray) -> tuple[float, float]:
    """Make the gate's two tests by title of some of the archive's tests, `(n,)` flags."""
    sizes = np.diff(offsets)
    chosen = Allocations.of(counts[np.repeat(tests, sizes)], np.concatenate(([0], np.cumsum(sizes[tests]))))
    return one_faulty(log_capitals(chosen)), many_faulty(chosen)


def upworthy_tests(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read every test of the archive: its first week `(n,)`, visitors of each arm `(m,)`, and offsets `(n + 1,)`."""
    table = pq.read_table(path, columns=["test_id", "test_week", "impressions"]).sort_by("test_id")
    ids = np.asarray(table["test_id"])
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    offsets = np.append(starts, len(ids))
    week = np.minimum.reduceat(np.asarray(table["test_week"]), starts)
    return week, np.asarray(table["impressions"]), offsets


def _batches(log: LoggedBatch) -> Iterator[LoggedBatch]:
    yield log
