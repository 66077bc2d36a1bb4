"""From what was counted to what a policy sees: vectors in the layout of `models.layout`.

Every entry is finite and within [-3, 3]; a profile, title or artwork of which nothing is known yet has zeros wherever
something would have been measured. Counts, minutes and ages enter as `log1p(x) / 3`, so that a thousand is about 2.3;
familiarity alone enters as plain log1p, up to about 10.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.batch import Floats
from models.layout import ARTWORK, DEVICES, FAMILIARITY, PROFILE, TASTES, TITLE

Matrix = NDArray[np.float32]

LIMIT = 3.0
_LOG_SCALE = 3.0

TASTE_MINUTES = 120.0
"""Quality minutes after which a taste has 63 % of its full length: one short film says little."""

PRIOR_PLAYS = 2.0
"""Plays worth of belief that half of a profile's plays are quality plays."""

PRIOR_TAKE_FRACTION = 0.05
PRIOR_IMPRESSIONS = 100.0
"""Impressions worth of belief in the level above: the catalogue's for a title, the title's for an artwork."""

_N_TASTES = len(TASTES)
_TINY = 1e-150


def profile_vectors(
    *,
    taste_minutes: ArrayLike,
    n_impressions: ArrayLike,
    n_plays: ArrayLike,
    n_quality_plays: ArrayLike,
    tenure_days: ArrayLike,
    n_by_device: ArrayLike,
) -> Matrix:
    """Lay out n profiles.

    Args: taste_minutes `(n, len(TASTES))`, time-decayed quality minutes by taste; n_by_device `(n, len(DEVICES))`,
    pages by device; the rest `(n,)`.

    Returns: `(n, len(PROFILE))`. The taste points where the minutes do and is 1 − exp(−minutes / 120) long.
    """
    sums = np.asarray(taste_minutes, dtype=np.float64).reshape(-1, _N_TASTES)
    plays, quality = np.asarray(n_plays, dtype=np.float64), np.asarray(n_quality_plays, dtype=np.float64)
    pages = np.asarray(n_by_device, dtype=np.float64).reshape(-1, len(DEVICES))
    length = np.sqrt((sums * sums).sum(axis=1))
    taste = sums * (-np.expm1(-length / TASTE_MINUTES) / np.maximum(length, _TINY))[:, None]
    quality_rate = (2.0 * quality - plays) / (plays + PRIOR_PLAYS)
    shares = pages[:, :-1] / np.maximum(pages.sum(axis=1), 1.0)[:, None]
    measured = (log_scaled(n_impressions), log_scaled(plays), quality_rate, log_scaled(tenure_days))
    return _stack(taste, *measured, shares, width=len(PROFILE))


def title_vectors(
    *,
    about: ArrayLike,
    age_days: ArrayLike,
    n_impressions: ArrayLike,
    n_takes: ArrayLike,
    n_artworks: ArrayLike,
    overall: float,
) -> Matrix:
    """Lay out n titles.

    Args: about `(n, len(TASTES))`, taste vectors of length 1; overall, the whole catalogue's take fraction in (0, 1);
    the rest `(n,)`.

    Returns: `(n, len(TITLE))`. `take_fraction` is the log of the title's smoothed take fraction over `overall`.
    """
    fraction = smoothed_fraction(n_takes, n_impressions, overall)
    measured = (log_scaled(age_days), log_scaled(n_impressions), np.log(fraction / overall), log_scaled(n_artworks))
    return _stack(np.asarray(about, dtype=np.float64).reshape(-1, _N_TASTES), *measured, width=len(TITLE))


def artwork_vectors(
    *,
    style: ArrayLike,
    take_fraction: ArrayLike,
    title_take_fraction: ArrayLike,
    n_impressions: ArrayLike,
    age_days: ArrayLike,
    is_default: ArrayLike,
) -> Matrix:
    """Lay out m artworks.

    Args: style `(m, len(TASTES))`, taste vectors of length 1; take_fraction and title_take_fraction `(m,)` in (0, 1),
    both smoothed; the rest `(m,)`.

    Returns: `(m, len(ARTWORK))`. `take_lift` is the log of the artwork's take fraction over its title's.
    """
    lift = np.log(np.asarray(take_fraction, dtype=np.float64) / np.asarray(title_take_fraction, dtype=np.float64))
    measured = (lift, log_scaled(n_impressions), log_scaled(age_days), np.asarray(is_default, dtype=np.float64))
    return _stack(np.asarray(style, dtype=np.float64).reshape(-1, _N_TASTES), *measured, width=len(ARTWORK))


def familiarity_vectors(met: NDArray[np.bool_], minutes: Matrix, n_impressions: Matrix) -> Matrix:
    """Lay out how well n profiles know n titles, `(n, len(FAMILIARITY))`.

    Args: met `(n,)`, whether the profile's row lists the title; minutes, n_impressions `(n,)` float32, as listed.
    """
    out = np.empty((len(met), len(FAMILIARITY)), dtype=np.float32)
    out[:, 0] = met
    out[:, 1] = np.where(met, np.log1p(np.maximum(minutes, 0.0)), 0.0)
    out[:, 2] = np.where(met, np.log1p(np.maximum(n_impressions, 0.0)), 0.0)
    return out


def smoothed_fraction(n_takes: ArrayLike, n_impressions: ArrayLike, towards: ArrayLike) -> Floats:
    """Estimate take fractions, pulled towards those of the level above.

    (takes + k · towards) / (impressions + k) with k = `PRIOR_IMPRESSIONS`: in (0, 1) whenever `towards` is.
    """
    takes, seen = np.asarray(n_takes, dtype=np.float64), np.asarray(n_impressions, dtype=np.float64)
    above = np.asarray(towards, dtype=np.float64)
    return np.asarray((takes + PRIOR_IMPRESSIONS * above) / (seen + PRIOR_IMPRESSIONS), dtype=np.float64)


def log_scaled(values: ArrayLike) -> Floats:
    """Bring counts, minutes or ages of at least 0 into [0, 3]: log1p(x) / 3; below 0 counts as 0."""
    return np.asarray(np.log1p(np.maximum(np.asarray(values, dtype=np.float64), 0.0)) / _LOG_SCALE, dtype=np.float64)


def _stack(*parts: NDArray[np.float64], width: int) -> Matrix:
    columns = [part if part.ndim == 2 else part[:, None] for part in parts]
    stacked = np.clip(np.concatenate(columns, axis=1), -LIMIT, LIMIT).astype(np.float32)
    if stacked.shape[1] != width:
        raise AssertionError(f"a layout of {width} columns was filled with {stacked.shape[1]}")
    return stacked
