"""What the scorer says of its own state."""

import msgspec


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether pages can be logged, and so learned from; the rest is told for people.

    `log` and `features` are `ok` or what is wrong. A scorer without catalogue, features or policy is ready: it steps
    down and says so here.
    """

    ready: bool
    log: str
    features: str
    policy_version: str
    n_titles: int
    n_artworks: int
