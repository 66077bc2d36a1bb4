"""What every published array must prove: its type, its shape, finite numbers, keys in order."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.batch import Keys
from models.error import ContractError

Arrays = Mapping[str, NDArray[Any]]


def refuse_array(name: str, value: object, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Refuse what is not an array of this type and shape, all finite.

    Raises:
        ContractError: naming the array.
    """
    found = np.asarray(value)
    if found.shape != shape or found.dtype != dtype:
        wanted = f"{name} must be {np.dtype(dtype)} of shape {shape}"
        raise ContractError(f"{wanted}, got {found.dtype} of shape {found.shape}")
    if not np.isfinite(found).all():
        raise ContractError(f"{name} must be finite")


def refuse_keys(name: str, keys: Keys) -> None:
    """Refuse what is not one row of keys, strictly rising.

    Raises:
        ContractError: naming the array.
    """
    refuse_array(name, keys, np.uint64, (keys.size,))
    if (keys[1:] <= keys[:-1]).any():
        raise ContractError(f"{name} must be one strictly rising row")


def refuse_names(arrays: Arrays, wanted: set[str]) -> None:
    """Refuse arrays of other names than these.

    Raises:
        ContractError: naming both.
    """
    if set(arrays) != wanted:
        raise ContractError(f"a policy has the arrays {sorted(wanted)}, got {sorted(arrays)}")


def places_of(keys: Keys, wanted: Keys) -> NDArray[np.int64]:
    """Find each wanted key among strictly rising ones: `(m,)` places, −1 where it is not there."""
    if not keys.size:
        return np.full(wanted.shape, -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[places] == wanted, places, -1)
