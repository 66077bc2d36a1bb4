"""What one title of a page has to choose among."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

UNKNOWN_ROW = -1
"""The row of whatever the catalogue does not know: the last one of every array of vectors, all zeros."""

_UNKNOWN_ROWS = np.array([UNKNOWN_ROW], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The eligible artworks of one title, at least one.

    Args:
        title_row: the title's row in the index.
        rows: `(k,)` rows of the artworks in the index.
        actions: their k ids.
        line: the ids as the JSON that goes to the log.
        default: the one to be shown when nothing can be chosen.
        reason: why there was nothing to choose from, or an empty string.
        is_own: whether a kernel can score them: known artworks of this very title, or just one.
    """

    title_row: int
    rows: NDArray[np.int64]
    actions: tuple[str, ...]
    line: msgspec.Raw
    default: str
    reason: str = ""
    is_own: bool = True

    @classmethod
    def of(
        cls, title_row: int, rows: NDArray[np.int64], actions: Sequence[str], default: str, *, is_own: bool = True
    ) -> "Candidates":
        """Gather what the catalogue or the request has; the default is the first one where it is not among them."""
        ids = tuple(actions)
        first = default if default in ids else ids[0]
        return cls(title_row, rows, ids, msgspec.Raw(msgspec.json.encode(ids)), first, is_own=is_own)

    @classmethod
    def nothing(cls, title_id: str, title_row: int, reason: str) -> "Candidates":
        """Give the placeholder that is shown where there is nothing to choose from."""
        ids = (f"{title_id}:default",)
        return cls(title_row, _UNKNOWN_ROWS, ids, msgspec.Raw(msgspec.json.encode(ids)), ids[0], reason)
