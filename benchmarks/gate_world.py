"""The simulated log that the benchmark of the gate is judged on: sticky draws of profiles that come back.

Logging is uniform over 5 artworks and 5,000 impressions are seen each day, as on the facts page. A profile has
`N_TITLES_EACH` titles, each with one sticky draw that is seen ten times: five times on the day it comes first and five
times 1 to 7 days later. The take fraction is 0.1 on the average of all (profile, title), and each of these has its own:
it is gamma distributed with relative variance `liking`, the same for all artworks of a title. The reward model knows
the share `explained` of that variance, as a recommender's score does, and nothing of artworks.

There are 20 candidates, and each is another policy every day: it shows one artwork of each title, and picks anew for a
fifth of its titles a day. Where there is a lift, one artwork of each title takes as much more than 0.1, the others
less so that the mean stays, and candidate 0 always picks that one; for all others, picks are chance.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats

N_ARTWORKS = 5
N_DAYS = 30
N_CANDIDATES = 20
IMPRESSIONS_A_DAY = 5_000
TAKE_FRACTION = 0.1
N_TITLES_EACH, SEEN_EACH_TIME = 5, 5
N_TITLES = 48
_REPICKED_SHARE = 0.2
_LONGEST_ABSENCE_DAYS = 7

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """One world. `champion` is `uniform`, the policy that draws the log, or `fixed`, another artwork of each title."""

    lift: float = 0.0
    liking: float = 1.5
    explained: float = 0.8
    champion: str = "uniform"


@dataclass(frozen=True, slots=True)
class DayLog:
    """What is known at the end of a day, of k profiles and m candidates.

    Args:
        day: from 1.
        n_decisions: `(k,)` of each profile.
        difference: `(m, k)` sums of paired doubly robust differences, candidate less champion.
        plain_sum, plain_square: `(m,)` sums over impressions of paired importance-weighted rewards and their squares.
    """

    day: int
    n_decisions: Floats
    difference: Floats
    plain_sum: Floats
    plain_square: Floats


def days(spec: WorldSpec, rng: np.random.Generator) -> Iterator[DayLog]:
    """Simulate one log of 30 days, seen at the end of each."""
    first, second = _visits(rng)
    shape = (len(first), N_TITLES_EACH)
    drawn = rng.integers(0, N_ARTWORKS, shape)
    title = rng.integers(0, N_TITLES, shape)
    liking = TAKE_FRACTION * (rng.gamma(1 / spec.liking, spec.liking, shape) if spec.liking else np.ones(shape))
    predicted = TAKE_FRACTION + spec.explained * (liking - TAKE_FRACTION)
    lifts = np.array([1 + spec.lift, *[1 - spec.lift / (N_ARTWORKS - 1)] * (N_ARTWORKS - 1)])
    chance = np.minimum(liking * lifts[drawn], 1.0)
    takes = [rng.binomial(SEEN_EACH_TIME, chance) for _ in range(2)]
    champion = rng.integers(1, N_ARTWORKS, N_TITLES) if spec.champion == "fixed" else None
    picks = rng.integers(0, N_ARTWORKS, (N_CANDIDATES, N_TITLES))
    for day in range(1, N_DAYS + 1):
        anew = rng.random(picks.shape) < _REPICKED_SHARE
        picks[anew] = rng.integers(0, N_ARTWORKS, int(anew.sum()))
        if spec.lift:
            picks[0] = 0
        here = first <= day
        back = (second[here] <= day)[:, None]
        n_seen = SEEN_EACH_TIME * (1 + back)
        taken = takes[0][here] + takes[1][here] * back
        weight = _weights(picks, champion, title[here], drawn[here])
        yield DayLog(
            day=day,
            n_decisions=np.asarray(n_seen[:, 0] * N_TITLES_EACH, dtype=np.float64),
            difference=np.einsum("mkt,kt->mk", weight, taken - n_seen * predicted[here]),
            plain_sum=np.einsum("mkt,kt->m", weight, taken),
            plain_square=np.einsum("mkt,mkt,kt->m", weight, weight, taken, optimize=True),
        )


def _visits(rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Choose when profiles come first and again, so that as many impressions are seen every day."""
    due = np.zeros(N_DAYS + _LONGEST_ABSENCE_DAYS + 1, dtype=np.int64)
    n_visits = IMPRESSIONS_A_DAY // (N_TITLES_EACH * SEEN_EACH_TIME)
    first, second = [], []
    for day in range(1, N_DAYS + 1):
        new = max(n_visits - int(due[day]), 0)
        again = day + rng.integers(1, _LONGEST_ABSENCE_DAYS + 1, new)
        due += np.bincount(again, minlength=len(due))
        first.append(np.full(new, day))
        second.append(again)
    return np.concatenate(first), np.concatenate(second)


def _weights(picks: Ints, champion: Ints | None, title: Ints, drawn: Ints) -> Floats:
    """Give `(m, k, t)` importance weights of candidates less those of the champion."""
    cells = title * N_ARTWORKS + drawn
    of_candidate = (picks[:, :, None] == np.arange(N_ARTWORKS)).reshape(len(picks), -1) * float(N_ARTWORKS)
    if champion is None:
        return np.asarray((of_candidate - 1.0)[:, cells], dtype=np.float64)
    of_champion = (champion[:, None] == np.arange(N_ARTWORKS)).ravel() * float(N_ARTWORKS)
    return np.asarray((of_candidate - of_champion)[:, cells], dtype=np.float64)
