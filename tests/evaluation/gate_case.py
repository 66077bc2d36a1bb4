"""Candidates to be judged: better, worse, and not to be told apart."""

import numpy as np

from evaluation.gate_check import GateRules
from models.batch import Batch, Floats
from models.draw import mix, unit
from models.policy import UniformPolicy
from tests.evaluation.world import TasteFirst

RULES = GateRules()


class ByKey:
    """Likes some artworks more than others for no reason."""

    def pmf(self, batch: Batch) -> Floats:
        weight = 0.5 + unit(mix(batch.artwork_keys))
        return weight / np.add.reduceat(weight, batch.offsets[:-1])[batch.owner]


POLICIES = {
    "uniform": UniformPolicy(),
    "taste": TasteFirst(0.1),
    "mild": TasteFirst(0.6),
    "worse": TasteFirst(0.1, sign=-1.0),
    "chance": ByKey(),
    "twin": UniformPolicy(),
}
