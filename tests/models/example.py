"""A random policy of each shape: whoever adds a shape adds its example, and every shared check is run on it."""

from collections.abc import Callable

import numpy as np

from models.compact import COMPACT
from models.ensemble import EnsemblePolicy
from models.exploration import Exploration
from models.layout import ARTWORK, SHARED
from models.linear import LinearPolicy
from models.shape import PublishedPolicy, from_arrays, to_arrays
from models.thompson import ThompsonPolicy
from models.upper_bound import UpperBoundPolicy

N_KEYS = 50


def random_keys(seed: int = 7) -> np.ndarray:
    return np.unique(np.random.default_rng(seed).integers(2**64, size=N_KEYS, dtype=np.uint64))


def random_linear(rule: Exploration, seed: int = 7, keys: np.ndarray | None = None) -> LinearPolicy:
    rng = np.random.default_rng(seed)
    known = random_keys() if keys is None else np.sort(keys)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return LinearPolicy(
        shared_weights=weights(len(SHARED)),
        cross=weights(len(SHARED), len(ARTWORK)),
        artwork_weights=weights(len(ARTWORK)),
        constant=0.3,
        bias_keys=known,
        bias=weights(len(known)),
        unknown_bias=-0.7,
        exploration=rule,
    )


def random_ensemble(rule: Exploration) -> EnsemblePolicy:
    return EnsemblePolicy(tuple(random_linear(rule, seed) for seed in range(5)))


def random_thompson(rule: Exploration) -> ThompsonPolicy:
    rng, keys = np.random.default_rng(7), random_keys()
    return ThompsonPolicy(
        weights=rng.normal(size=(6, len(COMPACT))),
        bias_keys=keys,
        bias=rng.normal(size=(len(keys), 6)).astype(np.float32),
        unknown_bias=rng.normal(size=6),
        exploration=rule,
    )


def random_upper_bound(rule: Exploration) -> UpperBoundPolicy:
    rng, keys, d = np.random.default_rng(7), random_keys(), len(COMPACT) + 1
    return UpperBoundPolicy(
        weights=rng.normal(size=d),
        factor=rng.normal(size=(d, d)),
        width=0.7,
        lift_keys=keys,
        lift=rng.normal(size=len(keys)).astype(np.float32),
        variance=rng.random(size=len(keys)).astype(np.float32),
        unknown_variance=0.4,
        exploration=rule,
    )


EXAMPLES: dict[type[PublishedPolicy], Callable[[Exploration], PublishedPolicy]] = {
    LinearPolicy: random_linear,
    EnsemblePolicy: random_ensemble,
    ThompsonPolicy: random_thompson,
    UpperBoundPolicy: random_upper_bound,
}


def under(policy: PublishedPolicy, rule: Exploration) -> PublishedPolicy:
    """The same scores under another rule."""
    return from_arrays({**to_arrays(policy), "exploration": rule.to_array()})
