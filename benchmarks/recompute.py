"""What a page should have shown, from its line in the log and the policy that it names: the other way to a propensity.

Nothing of the scorer is used but the policy, the draw and the layout of vectors.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats
from models.context import context_matrix
from models.decision import Page
from models.draw import draw, gumbel
from models.identity import keys_of
from models.layout import ARTWORK, FAMILIARITY_PART, PROFILE_PART, SHARED, TITLE_PART
from models.policy import Policy

_N_BESIDE = FAMILIARITY_PART.stop - TITLE_PART.start


@dataclass(frozen=True, slots=True)
class MotifRule:
    """The page rule of repeated motifs. Args: factor, what a motif keeps each time it is shown; motifs by artwork."""

    factor: float
    motifs: Mapping[str, str]


def recomputed(
    page: Page,
    policy: Policy,
    artworks: Mapping[str, NDArray[np.float32]] | None = None,
    rule: MotifRule | None = None,
) -> tuple[list[str], Floats]:
    """Draw a logged page again.

    Args: artworks, vectors of artworks by id, of which the log has only those that were chosen; zeros where not given;
    rule, the page rule that was on, under which probabilities are given what the page showed before.

    Returns: the n artworks, and their `(n,)` probabilities.
    """
    batch = _batch(page, artworks or {})
    pmf = policy.pmf(batch)
    epochs = np.full(len(batch), page.epoch, dtype=np.int64).view(np.uint64)
    keys = (batch.profile_keys, batch.title_keys, batch.artwork_keys, epochs)
    if rule is not None:
        return _in_turn(page, batch, policy, pmf, gumbel(batch.offsets, *keys), rule)
    rows = draw(pmf, batch.offsets, *keys)
    places = rows - batch.offsets[:-1]
    return [each.actions[place] for each, place in zip(page.decisions, places, strict=True)], np.minimum(pmf[rows], 1.0)


def _in_turn(
    page: Page, batch: Batch, policy: Policy, pmf: Floats, noise: Floats, rule: MotifRule
) -> tuple[list[str], Floats]:
    """Draw title by title, in plain numbers: what is beyond an artwork's guarantee is weighed by the motifs before."""
    exploration = getattr(policy, "exploration", None)
    guaranteed = np.zeros(len(pmf)) if exploration is None else exploration.guaranteed(batch.offsets, None)
    shown: Counter[str] = Counter()
    chosen, probabilities = [], []
    for decision, first in zip(page.decisions, batch.offsets.tolist(), strict=False):
        own = range(first, first + len(decision.actions))
        kept = [float(guaranteed[row]) for row in own]
        beyond = [max(float(pmf[row]) - has, 0.0) for row, has in zip(own, kept, strict=True)]
        motifs = [rule.motifs.get(name, "") for name in decision.actions]
        weighed = [part * rule.factor ** shown[motif] for part, motif in zip(beyond, motifs, strict=True)]
        scale = sum(beyond) / sum(weighed)
        given = [has + scale * part for has, part in zip(kept, weighed, strict=True)]
        place = max(range(len(given)), key=lambda at: math.log(given[at]) + noise[first + at])
        chosen.append(decision.actions[place])
        probabilities.append(min(given[place], 1.0))
        if motifs[place]:
            shown[motifs[place]] += 1
    return chosen, np.array(probabilities)


def _batch(page: Page, artworks: Mapping[str, NDArray[np.float32]]) -> Batch:
    n, context = len(page.decisions), page.context
    served = np.stack([np.frombuffer(each.features, "<f4") for each in page.decisions])
    shared = np.zeros((n, len(SHARED)), dtype=np.float32)
    if page.profile_features:
        shared[:, PROFILE_PART] = np.frombuffer(page.profile_features, "<f4")
    shared[:, TITLE_PART.start : FAMILIARITY_PART.stop] = served[:, :_N_BESIDE]
    shared[:, FAMILIARITY_PART.stop :] = context_matrix(
        device=[context.device] * n,
        country=[context.country] * n,
        language=[context.language] * n,
        local_hour=[context.local_hour or 0] * n,
        day_of_week=[context.day_of_week or 0] * n,
        row=[each.row for each in page.decisions],
        column=[each.column for each in page.decisions],
        score=[each.score for each in page.decisions],
    )
    known = [
        dict(artworks) | {each.artwork_id: vector[_N_BESIDE:]}
        for each, vector in zip(page.decisions, served, strict=True)
    ]
    cold = np.zeros(len(ARTWORK), dtype=np.float32)
    return Batch(
        offsets=np.cumsum([0, *(len(each.actions) for each in page.decisions)]),
        profile_keys=keys_of([page.profile_id] * n),
        title_keys=keys_of(each.title_id for each in page.decisions),
        artwork_keys=keys_of(name for each in page.decisions for name in each.actions),
        shared=shared,
        artworks=np.stack([
            vectors.get(name, cold)
            for each, vectors in zip(page.decisions, known, strict=True)
            for name in each.actions
        ]),
    )
