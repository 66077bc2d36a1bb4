"""What visitors do with the pages they got: which decisions they see, and what they then play."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.error import ContractError
from simulation.launch import Times
from simulation.population import Ints
from simulation.traffic import Visits

QUALITY_COMPLETION: Final = (0.35, 1.0)
"""A quality play ends somewhere between these shares of the title: of 22 minutes or longer: 7 minutes at least."""
SHORT_MINUTES: Final = (0.3, 5.5)
"""A short play ends between these: a quality play under no rule that asks for 6 minutes or .7 of the title."""
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_CHOICE_SECONDS = 120.0
_CHOICE_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came of n shown decisions, in page order.

    Args:
        seen: `(n,)`, whether the decision was on screen at all.
        cached: `(n,)`, whether it was seen only hours or days after it was made, from a cache.
        seen_at: `(n,)` datetime64[us]; means nothing where not seen.
        quality: `(n,)`, whether a quality play followed.
        started: `(n,)`, whether any play followed.
        started_at: `(n,)` datetime64[us]; minutes, completion `(n,)`: mean nothing where nothing was played.
    """

    seen: NDArray[np.bool_]
    cached: NDArray[np.bool_]
    seen_at: Times
    quality: NDArray[np.bool_]
    started: NDArray[np.bool_]
    started_at: Times
    minutes: Floats
    completion: Floats


def respond(visits: Visits, artwork: Ints, chance: Floats) -> Response:
    """Let the visitors of n pages react to the artwork they were shown.

    Args: artwork, chance `(n · k,)`: the shown artwork's place and its true chance of a quality play, page by page.

    Each title has one piece of luck on each page, the same whatever is shown: better artwork wins over more visitors,
    and never loses one that worse artwork would have won. What is seen late, from a cache, is liked as much as it would
    have been at the moment of the decision: the truth of a decision is one number.
    """
    world, luck = visits.world, visits.luck
    if artwork.shape != (visits.n_decisions,) or chance.shape != artwork.shape:
        raise ContractError(f"{visits.n_decisions} decisions need as many artworks and chances, got {artwork.shape}")
    devices = world.spec.devices
    place = (visits.per_decision(visits.number).astype(np.int64), visits.title.ravel())
    seen = luck.happens("seen", devices.seen_first_row * devices.seen_decay**visits.row, *place)
    cached = luck.happens("cached", devices.cached_share, *place)
    wait = np.minimum(devices.seen_delay_seconds * luck.exponential("wait", *place), _LONGEST_WAIT_SECONDS)
    kept = 3_600 * luck.log_uniform("kept", devices.cached_hours, *place)
    seen_at = np.repeat(visits.at, visits.title.shape[1]) + seconds(wait + np.where(cached, kept, 0.0))
    quality = seen & luck.happens("quality", chance, *place)
    left = luck.happens("left", world.short_play_probability(artwork), *place)
    started = quality | (seen & left)
    choice = np.minimum(1.0 + _CHOICE_SECONDS * luck.exponential("choice", *place), _LONGEST_CHOICE_SECONDS)
    length = world.shelf.length_minutes[visits.title.ravel()]
    extent = luck.uniform("extent", *place)
    whole = length * (QUALITY_COMPLETION[0] + (QUALITY_COMPLETION[1] - QUALITY_COMPLETION[0]) * extent)
    short = SHORT_MINUTES[0] + (SHORT_MINUTES[1] - SHORT_MINUTES[0]) * extent
    minutes: Floats = np.round(np.where(quality, whole, short), 2).astype(np.float64)
    return Response(
        seen=seen,
        cached=seen & cached,
        seen_at=seen_at,
        quality=quality,
        started=started,
        started_at=seen_at + seconds(choice),
        minutes=minutes,
        completion=np.round(np.minimum(minutes / length, 1.0), 4).astype(np.float64),
    )


def seconds(values: Floats) -> NDArray[np.timedelta64]:
    """Turn seconds into time differences, to the microsecond."""
    return np.round(values * 1e6).astype("timedelta64[us]")
