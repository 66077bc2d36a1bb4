"""Randomness by name: the same key always gives the same number, in whatever order or portions it is asked for.

Because luck depends on the world, the interval, the page and the place alone, and never on what was chosen before, two
policies that run in the same world meet the same visitors with the same luck: comparisons are paired.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.batch import Floats, Keys
from models.draw import combine, unit
from models.identity import hash64


def generator(seed: int, name: str) -> np.random.Generator:
    """Make the generator that builds one part of a world, independent of all other parts."""
    return np.random.default_rng([seed, hash64(name)])


class Luck:
    """Uniform numbers keyed by the world's seed, a scope (an interval's key) and integers.

    Example:
        >>> luck = Luck(1, "20261101T000000Z")
        >>> bool(luck.uniform("seen", [3, 4])[1] == luck.uniform("seen", [4])[0])
        True
    """

    def __init__(self, seed: int, scope: str) -> None:
        self._root = f"marquee/simulation/{seed}/{scope}"

    def uniform(self, name: str, *places: ArrayLike) -> Floats:
        """Give numbers uniform on (0, 1) for `name` at each combination of the broadcast integer `places`."""
        arrays = np.broadcast_arrays(*(np.asarray(place).astype(np.uint64) for place in places))
        keys: Keys = np.full(arrays[0].shape, np.uint64(hash64(f"{self._root}/{name}")))
        for array in arrays:
            keys = combine(keys, array)
        return unit(keys)

    def exponential(self, name: str, *places: ArrayLike) -> Floats:
        """Give exponential numbers of mean 1."""
        return np.asarray(-np.log(self.uniform(name, *places)))

    def gumbel(self, name: str, *places: ArrayLike) -> Floats:
        """Give standard Gumbel numbers."""
        return np.asarray(-np.log(self.exponential(name, *places)))

    def log_uniform(self, name: str, limits: tuple[float, float], *places: ArrayLike) -> Floats:
        """Give numbers between two limits above 0 whose logarithm is uniform."""
        low, high = np.log(limits)
        return np.asarray(np.exp(low + (high - low) * self.uniform(name, *places)))

    def happens(self, name: str, chance: ArrayLike, *places: ArrayLike) -> NDArray[np.bool_]:
        """Tell which events of these chances come true."""
        return np.asarray(self.uniform(name, *places) < np.asarray(chance))
