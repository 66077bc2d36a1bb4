"""Does the log draw as it says: two tests of logged assignment that know nothing of rewards.

Both look at where in the list of candidates the chosen artwork stood, in up to `N_PLACES` groups of positions, and both
sum by profile first: sticky draws repeat a choice, and a test of impressions would call that a fault.

- sample ratio: in the uniform cell, `1[chosen in group] − share of candidates in group` has mean 0.
  It sees what all titles have in common; what single titles have of their own is seen by `title_draw`;
- calibration: everywhere, `(1/K) 1[chosen in group] / p − share of candidates in group` has mean 0, because 1/p undoes
  the draw. A propensity that is not the true frequency of the draw shows here.

Source: sample-ratio mismatch, Fabijan et al. 2019; the statistic is Hotelling's T² (1931) over profiles.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from models.batch import Batch, Floats, LoggedBatch
from models.decision import Cell

N_PLACES = 16
N_COLUMNS = 2 * N_PLACES + 1
_SAME = 1e-6
_NO_SPREAD = 1e-9
"""A direction whose variance is a smaller part of the rows' mean square has none: it is rounding."""


class DrawTest(msgspec.Struct, frozen=True):
    """One test that a log draws as it says.

    `p_value` is None where it could not be made (`n_decisions` says from how many it would have been). `n_left_out`
    counts decisions of the uniform cell whose propensity is not 1/K, such as fallbacks, which it cannot speak of.
    """

    n_decisions: int
    n_profiles: int
    statistic: float | None = None
    p_value: float | None = None
    n_left_out: int = 0


def draw_columns(logged: LoggedBatch) -> Floats:
    """Give what each decision adds to both tests: `(n, N_COLUMNS)`, the last column marks those of the first test."""
    batch, n = logged.batch, len(logged)
    rows = np.arange(n)
    counts = batch.counts
    share = _group_shares(batch)
    group = _group(logged.chosen - batch.offsets[:-1], counts)
    chosen = np.zeros((n, N_PLACES))
    chosen[rows, group] = 1.0
    in_cell = in_uniform_cell(logged).astype(np.float64)
    weight = 1 / (counts * logged.propensity)
    return np.hstack(((chosen - share) * in_cell[:, None], chosen * weight[:, None] - share, in_cell[:, None]))


def in_uniform_cell(logged: LoggedBatch) -> NDArray[np.bool_]:
    """Tell, `(n,)`, what the uniform cell drew uniformly: fallbacks it did not."""
    return np.asarray((logged.cell == Cell.UNIFORM.value) & is_uniform(logged))


def is_uniform(logged: LoggedBatch) -> NDArray[np.bool_]:
    """Tell, `(n,)`, whose logged propensity is 1/K."""
    return np.asarray(np.abs(logged.propensity * logged.batch.counts - 1) <= _SAME)


def draw_tests(by_profile: Floats, n_decisions: int, n_uniform: int) -> tuple[DrawTest, DrawTest]:
    """Make both tests, sample ratio and calibration, from the profiles' `(k, N_COLUMNS)` sums.

    Args: n_decisions in the log; n_uniform those of the uniform cell, whether their propensity is 1/K or not.
    """
    in_cell = by_profile[by_profile[:, -1] > 0]
    n_tested = round(float(in_cell[:, -1].sum()))
    ratio, p_ratio = mean_zero_test(in_cell[:, :N_PLACES])
    calibration, p_calibration = mean_zero_test(by_profile[:, N_PLACES:-1])
    return (
        DrawTest(n_tested, len(in_cell), ratio, p_ratio, n_uniform - n_tested),
        DrawTest(n_decisions, len(by_profile), calibration, p_calibration),
    )


def mean_zero_test(rows: Floats) -> tuple[float | None, float | None]:
    """Test that independent `(k, c)` rows have mean 0 in every column: Hotelling's T² and the p-value.

    Columns may be dependent, and some directions without any spread: all rows are the same there, which says most of
    all where they are not 0. None where nothing can be tested.
    """
    k = len(rows)
    if k < 2:
        return None, None
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(rows, rowvar=False)))
    used = values > float((rows**2).sum(axis=1).mean()) * _NO_SPREAD
    statistic, p_spread = _hotelling(rows @ (vectors[:, used] / np.sqrt(values[used])))
    told = [p for p in (p_spread, _p_same(rows, vectors[:, ~used])) if p is not None]
    return statistic, min(1.0, len(told) * min(told)) if told else None


def _hotelling(whitened: Floats) -> tuple[float | None, float | None]:
    """Test that `(k, rank)` rows of unit covariance have mean 0.

    Where few rows carry most of the spread (rare draws of small propensity), k is cut to what their fourth moment says
    they are worth, or such a test would find fault with sound logs. None where k is too small for the rank.
    """
    k, rank = whitened.shape
    if rank == 0:
        return None, None
    fourth = float((((whitened - whitened.mean(axis=0)) ** 2).sum(axis=1) ** 2).mean())
    worth = min(k, k * rank * (rank + 2) / fourth)  # a normal row's fourth moment is rank (rank + 2)
    if worth <= 2 * rank:
        return None, None
    statistic = float(k * (whitened.mean(axis=0) ** 2).sum())
    return statistic, float(fdtrc(rank, worth - rank, statistic * (worth - rank) / (rank * (worth - 1))))


def _p_same(rows: Floats, directions: Floats) -> float | None:
    """Bound the chance that all rows are `c` from 0 on the same side of some direction, None where they are at 0.

    As when nobody ever drew a position. If the mean is 0, and no row that was not seen is longer than the longest that
    was, B, then a row is another one with probability c/(c + B) or more. Any of the columns could have been the one.
    """
    off = float(np.linalg.norm(rows.mean(axis=0) @ directions))
    longest = float(np.sqrt((rows**2).sum(axis=1).max()))
    if off <= longest * _SAME:
        return None
    return float(min(1.0, rows.shape[1] * (longest / (longest + off)) ** len(rows)))


def _group(position: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put positions from 0 into groups: their own up to `N_PLACES` candidates, equal stretches beyond."""
    return np.where(counts <= N_PLACES, position, position * N_PLACES // counts)


def _group_shares(batch: Batch) -> Floats:
    """Give `(n, N_PLACES)`: which share of a decision's candidates is in each group of positions."""
    shares = np.zeros((int(batch.counts.max(initial=1)) + 1, N_PLACES))
    for count in np.unique(batch.counts):
        positions = np.arange(count)
        shares[count] = np.bincount(_group(positions, np.full(count, count)), minlength=N_PLACES) / count
    return shares[batch.counts]
