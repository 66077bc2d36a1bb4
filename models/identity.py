"""Ids are strings at the doors and stable 64-bit keys inside arrays."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NewType

import numpy as np
from numpy.typing import NDArray

ProfileId = NewType("ProfileId", str)
TitleId = NewType("TitleId", str)
ArtworkId = NewType("ArtworkId", str)
DecisionId = NewType("DecisionId", str)
PolicyVersion = NewType("PolicyVersion", str)

ANONYMOUS_PREFIX = "~"
"""Profiles whose id begins so were seen once and cannot be recognised: they earn no feature rows of their own."""


def hash64(text: str) -> int:
    """Hash `text` to 64 bits, the same in every process, version and machine.

    Example:
        >>> hash64("profile-1") == hash64("profile-1") != hash64("profile-2")
        True
    """
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def keys_of(ids: Iterable[str]) -> NDArray[np.uint64]:
    """Hash each id: `(n,)` strings to `(n,)` 64-bit keys."""
    return np.fromiter((hash64(text) for text in ids), dtype=np.uint64)


def is_anonymous(profile_id: str) -> bool:
    """Tell whether this profile cannot be recognised when it comes back."""
    return profile_id.startswith(ANONYMOUS_PREFIX)
