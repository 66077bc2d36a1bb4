"""The gate's confidence sequence: a mixture of bets on the mean, as adaptive to the variance as empirical Bernstein.

Who bets a share β of the capital on every score, where the mean is at most m and the stake is taken accordingly, owns

    capital_n(m) = Σ_g π_g Π_i (1 + β_g x_i) / (1 + β_g m)

after n scores: a supermartingale, so that it ever grows by 1/alpha with probability alpha at most, whenever one looks
(Ville 1939). The lower bound is the m at which it has. With β_g of the fixed grid `BETS`, n and the sums

    s_g = Σ_i log(1 + β_g x_i)

are all that bounds of any level need: scores can be forgotten, their order never mattered, and sums of parts add up.

Scores above −1/β are all that a bet needs; above 0 there is no limit, and cutting a score from above only lowers the
bound. A score that is lower still ruins the bet for good: its capital is as good as 0, whatever comes. Nothing is
assumed of the scores' shape, nor that a sample is large. Independent scores need not be alike either: by the inequality
of the means, Π (1 + β μ_i) ≤ (1 + β μ̄)ⁿ, the bound is one for the average of their means.

So the bound is exact where no score can be below −1. Where one can, with probability p and then ε below on the average,
its alpha is larger by the factor exp(n p ε) at most, and a log that shows such a score loses the bets that it ruins.

The prior π is tuned to the level and the number of scores, both known before any score is looked at, and to a standard
deviation of about `USUAL_DEVIATION`; where the truth is another, the bound is as valid and, within a factor of three,
hardly wider.

Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"; a mixture in place of
predicted bets as in Orabona and Jun 2023, "Tight concentrations and confidence sequences from the regret of universal
portfolio".
"""

from math import log

import numpy as np
from numpy.typing import ArrayLike

from models.batch import Floats
from models.error import ContractError

BETS = 0.98 * 2.0 ** (-np.arange(32) / 3)
"""The grid of bets, down to 0.0008; a score of −1 leaves something of each."""
USUAL_DEVIATION = 0.12
_HIGHEST = 100.0
"""Scores count up to here: cutting from above is safe for a lower bound."""
_PRIOR_WIDTH = 1.0
_RUIN = 1e-9
"""What a ruined bet keeps of its capital: nothing that counts, and a logarithm that JSON can hold."""
_FACTORS = 16
_STEPS = 32
_BISECTIONS = 60


def growth(scores: Floats) -> Floats:
    """Sum the log growth of the capital at m = 0, `s_g = Σ_i log(1 + β_g x_i)`: `(…, len(BETS))` for `(…, n)`.

    Raises:
        ContractError: naming a score that is not finite.
    """
    _refuse_endless(scores)
    n = scores.shape[-1]
    # products of a few factors neither overflow nor vanish, and one log serves them all
    padded = np.zeros((*scores.shape[:-1], -(-max(n, 1) // _FACTORS) * _FACTORS))
    padded[..., :n] = np.minimum(scores, _HIGHEST)
    blocks = padded.reshape(*padded.shape[:-1], _FACTORS, -1)
    total = np.zeros((*scores.shape[:-1], len(BETS)))
    for place, bet in enumerate(BETS):
        total[..., place] = np.log(np.maximum(1 + bet * blocks, _RUIN).prod(axis=-2)).sum(axis=-1)
    return total


def log_prior(n: int, alpha: float) -> Floats:
    """Weigh the bets by how likely each is the best for n scores at level alpha: `(len(BETS),)` logs, of sum 1."""
    best = min(float(np.sqrt(-2 * log(alpha) / max(n, 1))) / USUAL_DEVIATION, float(BETS[0]))
    weight = -0.5 * (np.log(BETS / best) / _PRIOR_WIDTH) ** 2
    return np.asarray(weight - np.logaddexp.reduce(weight), dtype=np.float64)


def log_capital(growths: Floats, n: int, prior: Floats, mean: ArrayLike = 0.0) -> Floats:
    """Give the log of the capital won against "the mean is at most `mean`": `(…)` for growths `(…, len(BETS))`.

    Its exponential is an e-value: its expectation is at most 1 while the mean is that or less.
    """
    against = n * np.log1p(BETS * np.asarray(mean, dtype=np.float64)[..., None])
    return np.asarray(np.logaddexp.reduce(prior + growths - against, axis=-1), dtype=np.float64)


def log_capital_path(scores: Floats, prior: Floats, mean: float = 0.0) -> Floats:
    """Give the log of the capital after each score: `(…, n)` for `(…, n)` in the order in which they came."""
    _refuse_endless(scores)
    n, log_weight = scores.shape[-1], np.broadcast_to(prior, (*scores.shape[:-1], len(BETS)))
    path = np.empty(scores.shape)
    for start in range(0, n, _STEPS):
        part = scores[..., start : start + _STEPS, None]
        top = log_weight.max(axis=-1, keepdims=True)
        factor = np.maximum(1 + BETS * np.minimum(part, _HIGHEST), _RUIN) / (1 + BETS * mean)
        factor = factor.cumprod(axis=-2)
        won = np.einsum("...tg,...g->...t", factor, np.exp(log_weight - top))
        path[..., start : start + _STEPS] = top + np.log(won)
        log_weight = log_weight + np.log(factor[..., -1, :])
    return path


def lower_bound(growths: Floats, n: int, prior: Floats, alpha: float) -> Floats:
    """Find the lower bounds of level alpha, −1 where nothing better is known: `(…)` for growths `(…, len(BETS))`.

    `-lower_bound(growth(-scores), …)` is the upper bound, of scores that are not above 1.
    """
    low, high = np.full(growths.shape[:-1], -1.0), np.full(growths.shape[:-1], _HIGHEST)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_out = log_capital(growths, n, prior, middle) >= -log(alpha)
        low, high = np.where(is_out, middle, low), np.where(is_out, high, middle)
    return low


def _refuse_endless(scores: Floats) -> None:
    bad = ~np.isfinite(scores)
    if bad.any():
        raise ContractError(f"scores must be finite, got {scores.flat[int(np.argmax(bad))]}")
