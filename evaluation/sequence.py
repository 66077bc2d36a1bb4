"""Empirical-Bernstein confidence sequences: intervals for a mean that hold at all times at once.

    P(for every t: lower_t ≤ mean) ≥ 1 − alpha

Whoever looks daily, and stops when it suits, errs no more often than who looks once. Scores come one at a time, the
mean of each given those before is the same, and they lie in [0, 1]: there is no assumption about their shape, and none
about a sample being large. Arrays are `(…, n)`, time last, so that many paths are taken at once.

Two constructions are here, as their papers have them, to be held against; `sequence_betting` has the one that the gate
decides by, which adapts to the variance as they do and is tighter. An upper bound is the lower one of `1 - scores`.

Source: Howard, Ramdas, McAuliffe, Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences";
Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting".
"""

import numpy as np
from scipy.special import gammainc, gammaln

from models.batch import Floats
from models.error import ContractError

_BISECTIONS = 60


def predictable_mixture(scores: Floats, alpha: float, *, cap: float = 0.5) -> Floats:
    """Give the lower predictable-mixture bound at every time, not cut off at 0.

        lower_t = (Σ λ_i x_i − log(1/alpha) − Σ (x_i − x̄_{i−1})² ψ(λ_i)) / Σ λ_i,   ψ(λ) = −log(1 − λ) − λ
        λ_i = min(cap, √(2 log(1/alpha) / (σ̂²_{i−1} i log(1 + i))))

    Args: scores `(…, n)` in [0, 1]; alpha, of this side; cap on the bets, in (0, 1).

    Returns: `(…, n)`.

    Raises:
        ContractError: if alpha is not in (0, 1), or naming a score outside [0, 1].

    Source: Waudby-Smith and Ramdas 2024, theorem 2.
    """
    _check(scores, alpha)
    times = np.arange(1, scores.shape[-1] + 1)
    log_level = -np.log(alpha)
    shrunk_mean = (0.5 + scores.cumsum(axis=-1)) / (times + 1)
    variance = (0.25 + ((scores - shrunk_mean) ** 2).cumsum(axis=-1)) / (times + 1)
    before = _shifted(variance, 0.25)
    bets = np.minimum(np.sqrt(2 * log_level / (before * times * np.log1p(times))), cap)
    psi = -np.log1p(-bets) - bets
    spread = ((scores - _shifted(scores.cumsum(axis=-1) / times, 0.0)) ** 2 * psi).cumsum(axis=-1)
    total = bets.cumsum(axis=-1)
    return np.asarray(((bets * scores).cumsum(axis=-1) - log_level - spread) / total, dtype=np.float64)


def conjugate_mixture(scores: Floats, alpha: float, *, v_opt: float) -> Floats:
    """Give the lower gamma-exponential mixture bound at every time, not cut off at 0.

        lower_t = x̄_t − u(V_t) / t,   V_t = Σ (x_i − x̄_{i−1})²

    Args:
        scores: `(…, n)` in [0, 1].
        alpha: of this side.
        v_opt: the V at which the bound shall be tightest: variance of a score times the number of interest.

    Returns: `(…, n)`.

    Raises:
        ContractError: if alpha is not in (0, 0.5), or naming a score outside [0, 1].

    Source: Howard et al. 2021, theorem 4 and proposition 9.
    """
    _check(scores, alpha)
    times = np.arange(1, scores.shape[-1] + 1)
    mean = scores.cumsum(axis=-1) / times
    return np.asarray(mean - mixture_boundary(intrinsic_time(scores), alpha, v_opt=v_opt) / times, dtype=np.float64)


def intrinsic_time(scores: Floats) -> Floats:
    """Give V at every time, `(…, n)`: how much scores in [0, 1] have varied around what was expected of them."""
    mean = scores.cumsum(axis=-1) / np.arange(1, scores.shape[-1] + 1)
    return np.asarray(((scores - _shifted(mean, 0.5)) ** 2).cumsum(axis=-1), dtype=np.float64)


def mixture_boundary(intrinsic: Floats, alpha: float, *, v_opt: float, scale: float = 1.0) -> Floats:
    """Give u(V): how far a sum of deviations above `-scale` each goes at intrinsic times V, any shape, with `alpha`.

    Raises:
        ContractError: if alpha is not in (0, 0.5).

    Source: Howard et al. 2021, proposition 9; its root is found by bisection.
    """
    if not 0 < alpha < 0.5:
        raise ContractError(f"alpha of a mixture must be in (0, 0.5), got {alpha}")
    flat, places = np.unique(intrinsic, return_inverse=True)
    log_level, rho = -np.log(alpha), _rho(v_opt, 2 * alpha)
    low, high = np.zeros(len(flat)), np.full(len(flat), scale)
    while (below := _log_mixture(high, flat, rho, scale) < log_level).any():
        high = np.where(below, 2 * high, high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = _log_mixture(middle, flat, rho, scale) < log_level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(((low + high) / 2)[places].reshape(intrinsic.shape), dtype=np.float64)


def running(lower: Floats) -> Floats:
    """Keep the best lower bound so far: all hold at once, so the greatest does."""
    return np.maximum.accumulate(lower, axis=-1)


def _check(scores: Floats, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ContractError(f"alpha must be in (0, 1), got {alpha}")
    bad = ~((scores >= 0) & (scores <= 1))
    if bad.any():
        raise ContractError(f"scores must be in [0, 1], got {scores.flat[int(np.argmax(bad))]}")


def _shifted(values: Floats, first: float) -> Floats:
    """Give each time the value of the time before."""
    start = np.full((*values.shape[:-1], 1), first)
    return np.concatenate((start, values[..., :-1]), axis=-1)


def _rho(v_opt: float, alpha: float) -> float:
    """Tune the mixture: the approximation of Howard et al. 2021, section 3.5."""
    log_level = -np.log(alpha)
    return float(v_opt / (2 * log_level + np.log1p(2 * log_level)))


def _log_mixture(total: Floats, intrinsic: Floats, rho: float, scale: float) -> Floats:
    """Give the log of the mixture supermartingale at sums `total` and intrinsic times, both `(k,)`."""
    start, time = rho / scale**2, (intrinsic + rho) / scale**2
    end = (scale * total + intrinsic + rho) / scale**2
    leading = start * np.log(start) - gammaln(start) - np.log(gammainc(start, start))
    rest = gammaln(time) + np.log(gammainc(time, end)) - time * np.log(end) + end - start
    return np.asarray(leading + rest, dtype=np.float64)
