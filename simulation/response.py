"""The truth: how likely a decision that is seen leads to a quality play."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from simulation.population import Ints
from simulation.shelf import Shelf
from simulation.spec import EffectSpec

FLOOR: Final = 0.001
CEILING: Final = 0.95
"""No chance lies outside these."""

DEVICE_FACTOR: Final = np.array([1.08, 0.9, 0.96, 1.0, 0.9])
"""Of `models.layout.DEVICES`: a lean-back screen leads to longer viewing."""
_PEAK_HOUR = 21


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds n decisions.

    Args:
        device: `(n,)` places in `models.layout.DEVICES`.
        local_hour: `(n,)`, 0–23.
        row: `(n,)`, from 0.
        familiar: `(n,)`, whether the profile has played the title in an earlier interval.
        day: `(n,)`, days since the world's first one: taste is that of the day (`World.days`).
    """

    device: Ints
    local_hour: Ints
    row: Ints
    familiar: NDArray[np.bool_]
    day: Ints


def title_chance(shelf: Shelf, effects: EffectSpec, taste: Floats, title: Ints, around: Circumstances) -> Floats:
    """Multiply all that does not depend on the artwork: `(n,)`, before clipping. Args: taste `(n, d)`."""
    affinity = np.einsum("ij,ij->i", taste, shelf.about[title])
    fit = effects.affinity_floor + effects.affinity_slope * affinity
    hour = 1.0 + effects.hour_swing * np.cos(2 * np.pi / 24 * (around.local_hour - _PEAK_HOUR))
    back = np.where(around.familiar, effects.familiar_lift, 1.0)
    place = DEVICE_FACTOR[around.device] * hour / (1.0 + effects.row_decay * around.row)
    return np.asarray(effects.base * fit * shelf.popularity[title] * back * place)


def artwork_lift(
    shelf: Shelf, effects: EffectSpec, taste: Floats, artwork: Ints, familiar: NDArray[np.bool_]
) -> Floats:
    """Give the factor by which each artwork moves the chance: `(m,)`. Args: taste `(m, d)`, the rest `(m,)`."""
    match = np.einsum("ij,ij->i", taste, shelf.style[artwork])
    strength = np.where(familiar, effects.style_familiar, effects.style_new)
    return np.asarray(shelf.appeal[artwork] * (1.0 + strength * match))


def short_play_chance(shelf: Shelf, effects: EffectSpec, artwork: Ints) -> Floats:
    """Tell how likely a visitor who is not won over starts all the same and leaves: clickbait makes many do so."""
    return np.asarray(effects.short_play * np.where(shelf.clickbait[artwork], effects.clickbait_lift, 1.0))
