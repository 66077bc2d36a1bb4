"""Sample ratio by counts: whether draws were shared out among the arms of many tests as was declared.

Of each test only the counts of its arms are needed, each draw counted once. Arms of one test are equally likely. The
second and third ask for no large counts: a few titles with a few draws each raise no alarm by themselves.

- One test, by Pearson: χ² = Σ_a (n_a − n/K)² / (n/K), with K − 1 degrees of freedom. For large counts.
- One faulty subject among many: what a bettor wins, who begins with 1, knows the draws before and bets on each next
  one. While draws are as declared, E[capital] ≤ 1 at any count, so that P(capital ≥ 1/p) ≤ p:

      capital = mean over α of Π_i K_i (α + n_i) / Σ_{b in list i} (α + n_b),  n_i: how often arm i was drawn before

- Many a little faulty: Σ χ² over all tests, against the gamma distribution of its exact mean, variance and skewness. By
  pairs of draws of a test that fell on the same arm, C, χ² is (2K/n) (C − E C) + K − 1; with p = 1/K and N pairs,

      Var C = N p (1 − p),  E (C − E C)³ = N p (1 − p) (1 − 2p + 2 (n − 2) p)

Source: Pearson 1900; sample-ratio mismatch, Fabijan et al. 2019; Dirichlet-multinomial betting, Krichevsky and Trofimov
1981; Ville 1939.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaincc, gammaln, ndtr

from models.batch import Floats
from models.error import ContractError

Counts = NDArray[np.int64]

LEVEL = 0.01
"""At which one test counts as faulty, unless told otherwise."""
_STRENGTHS = (0.5, 4.0, 32.0, 256.0)
"""α of the bets: how many draws of each arm it takes until a bettor believes the counts rather than the declaration."""


@dataclass(frozen=True, slots=True)
class Allocations:
    """Many tests, the arms of each end to end; tests of one subject may have arms in common.

    Args:
        counts: `(m,)`, draws of each arm.
        offsets: `(n + 1,)`, as in `models.batch.Batch`.
        subjects: `(n,)` from 0, whose test each is.
        arms: `(m,)` from 0, which arm each count is of; no two subjects share one.

    Raises:
        ContractError: naming the row and the value, if a count is negative or the shapes do not fit.
    """

    counts: Counts
    offsets: Counts
    subjects: Counts
    arms: Counts

    def __post_init__(self) -> None:
        _refuse(self.counts, self.offsets)
        if self.subjects.shape != (len(self.offsets) - 1,) or self.arms.shape != self.counts.shape:
            raise ContractError(f"subjects and arms must fit {len(self.offsets) - 1} tests of {len(self.counts)} arms")

    @classmethod
    def of(cls, counts: Counts, offsets: Counts) -> "Allocations":
        """Take each test as a subject of its own."""
        return cls(counts, offsets, np.arange(len(offsets) - 1), np.arange(len(counts)))

    @property
    def sizes(self) -> Counts:
        """`(n,)`: how many arms each test has."""
        return np.diff(self.offsets)

    @property
    def totals(self) -> Floats:
        """`(n,)`: how many draws each test has."""
        return _sums(self.counts, self.offsets)

    def deviations(self) -> tuple[Floats, Floats, Floats]:
        """Give by arm what was drawn, what is expected, and by how many standard errors they differ (0 of 1 arm)."""
        sizes, totals = np.repeat(self.sizes, self.sizes), np.repeat(self.totals, self.sizes)
        drawn, expected, variance = (
            np.bincount(self.arms, weights=each)
            for each in (self.counts, totals / sizes, totals * (sizes - 1) / sizes**2)
        )
        errors = np.divide(drawn - expected, np.sqrt(variance), out=np.zeros(len(drawn)), where=variance > 0)
        return drawn.astype(np.float64), expected.astype(np.float64), errors


def log_capitals(tests: Allocations) -> Floats:
    """Give by subject the log capital that was won against "draws are as declared".

    Tests of one subject are bet on in the order given, which must not depend on what was drawn.
    """
    n_subjects = int(tests.subjects.max(initial=-1)) + 1
    won, before = np.zeros((len(_STRENGTHS), n_subjects)), np.zeros(int(tests.arms.max(initial=-1)) + 1)
    for rows in _rounds(tests.subjects):
        sizes, totals = tests.sizes[rows], tests.totals[rows]
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        flat = np.arange(offsets[-1]) + np.repeat(tests.offsets[rows] - offsets[:-1], sizes)
        counts, arms = tests.counts[flat].astype(np.float64), tests.arms[flat]
        for place, strength in enumerate(_STRENGTHS):
            known = before[arms] + strength
            all_known = _sums(known, offsets)
            of_arms = _sums(gammaln(known + counts) - gammaln(known), offsets)
            won[place, tests.subjects[rows]] += (
                of_arms + gammaln(all_known) - gammaln(all_known + totals) + totals * np.log(sizes)
            )
        before[arms] += counts
    return np.asarray(np.logaddexp.reduce(won, axis=0) - np.log(len(_STRENGTHS)), dtype=np.float64)


def one_faulty(log_capital: Floats) -> float:
    """Give the p-value that one or some of the subjects are faulty: 1 ÷ their mean capital, or 1."""
    if not len(log_capital):
        return 1.0
    return float(np.exp(-max(np.logaddexp.reduce(log_capital) - np.log(len(log_capital)), 0.0)))


def many_faulty(tests: Allocations) -> float:
    """Give the p-value that the tests are faulty together, however little each: that of the sum of their χ²."""
    told = (tests.sizes > 1) & (tests.totals > 1)
    if not told.any():
        return 1.0
    sizes, n = tests.sizes[told].astype(np.float64), tests.totals[told]
    counts = tests.counts.astype(np.float64)
    same, pairs, chance = _sums(counts * (counts - 1) / 2, tests.offsets)[told], n * (n - 1) / 2, 1 / sizes
    weight, variance = 2 * sizes / n, pairs * chance * (1 - chance)
    spread = float(weight**2 @ variance)
    third = float(weight**3 @ (variance * (1 - 2 * chance + 2 * (n - 2) * chance)))
    step = float(weight**3 @ variance) / spread  # what one more pair adds: the sum is not continuous
    off = float(weight @ (same - pairs * chance) - step / 2) / np.sqrt(spread)
    if third <= 0:  # two draws of two arms each: nothing is skewed
        return float(ndtr(-off))
    shape = 4 * spread**3 / third**2
    return float(gammaincc(shape, max(shape + off * np.sqrt(shape), 0.0)))


def allocation_p_values(counts: Counts, offsets: Counts, shares: Floats | None = None) -> Floats:
    """Test many allocations one by one, by Pearson.

    Args: counts `(m,)`, draws of each arm, the arms of a test end to end; offsets `(n + 1,)` as in
    `models.batch.Batch`; shares `(m,)`, declared and positive, equal within each test if not given.

    Returns: `(n,)` p-values; NaN for a test of one arm or without draws, which says nothing.

    Raises:
        ContractError: naming the row and the value, if a count is negative, a share is not positive, or the shapes do
            not fit.
    """
    _refuse(counts, offsets)
    declared = np.ones(len(counts)) if shares is None else shares
    if (wrong := ~(declared > 0)).any():
        row = int(np.argmax(wrong))
        raise ContractError(f"share must be above 0, got {declared[row]} (row={row})")
    sizes, total = np.diff(offsets), _sums(counts, offsets)
    expected = declared / np.repeat(_sums(declared, offsets), sizes) * np.repeat(total, sizes)
    apart = np.divide((counts - expected) ** 2, expected, out=np.zeros(len(counts)), where=expected > 0)
    p_values = chdtrc(np.maximum(sizes - 1, 1), _sums(apart, offsets))
    return np.where((sizes > 1) & (total > 0), p_values, np.nan)


def _refuse(counts: Counts, offsets: Counts) -> None:
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(counts) or (np.diff(offsets) < 1).any():
        raise ContractError(f"offsets must rise from 0 to {len(counts)} by at least 1 each")
    if (counts < 0).any():
        row = int(np.argmax(counts < 0))
        raise ContractError(f"count must be at least 0, got {counts[row]} (row={row})")


def _sums(values: NDArray[Any], offsets: Counts) -> Floats:
    """Sum `(m,)` values by test: `(n,)`."""
    return np.add.reduceat(values.astype(np.float64), offsets[:-1]) if len(offsets) > 1 else np.zeros(0)


def _rounds(subjects: Counts) -> list[Counts]:
    """Lay tests out in rounds: the first of each subject, the second of each, and so on."""
    order = np.argsort(subjects, kind="stable")
    in_order = subjects[order]
    starts = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))[: len(order)]
    nth = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    by_round = np.argsort(nth, kind="stable")
    return np.split(order[by_round], np.flatnonzero(np.diff(nth[by_round])) + 1) if len(order) else []
