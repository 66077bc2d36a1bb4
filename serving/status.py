"""What the scorer says of its own state."""

from enum import StrEnum

import msgspec

VECTORS_UNAVAILABLE = "vectors_unavailable"
"""Why a page was decided on cold titles and artworks: their vectors were never read since the start."""


class StoreState(StrEnum):
    """How a scorer stands with its feature store."""

    OK = "ok"
    UNOPENED = "not opened yet"
    NOT_APPLIED = "no feature definitions were applied to this home yet"
    REFUSED = "cannot be opened"
    UNREAD_YET = "vectors of titles and artworks are not read yet"
    UNREAD = "vectors of titles and artworks cannot be read"


class CatalogueState(StrEnum):
    """How a scorer stands with its catalogue file."""

    OK = "ok"
    UNREAD = "not read yet"
    MISSING = "there is none"
    REFUSED = "cannot be read"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether pages can be logged, and so learned from; the rest is told for people.

    `log`, `features` and `catalogue` are `ok` or what is wrong, in words that are ours: this needs no token, and what a
    client says of an error may quote a password. The scorer's own log has more. A scorer without catalogue, features or
    policy is ready: it steps down and says so here.
    """

    ready: bool
    log: str
    features: str
    catalogue: str
    policy_version: str
    n_titles: int
    n_artworks: int
