"""How the gate spends its error budget: over all candidates of a day, and over all looks while one champion reigns.

Look k may spend the share γ_k of alpha, and each of its m candidates an equal part of that:

    level_k = alpha γ_k / m_k

`PLANNED_SHARE` goes evenly to the looks that are planned for, the rest to those after them, so slowly that a champion
which stays for a year can still be beaten; over all looks that there will ever be, shares sum to 1. A union bound over
all of them needs nothing of how looks depend on each other: the same profiles, the same sticky draws and policies that
are trained anew each time may come back in every one. Nor does it matter which of the other versions are better.

What a look did not use up is lost. Evidence cannot be handed on from one version of a candidate to the next: it was won
by another policy, which may have been a better one.
"""

import msgspec

from models.error import ContractError

PLANNED_LOOKS = 30
PLANNED_SHARE = 0.8


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the candidates of a champion's reign.

    `number` counts looks from 1, `share` is the part of alpha that this one may spend, and `n_candidates` share it.
    `n_planned` is how many looks the reign was planned for when it began.

    Raises:
        ContractError: if a number cannot be.
    """

    number: int = 1
    share: float = 1.0
    n_candidates: int = 1
    n_planned: int = PLANNED_LOOKS

    def __post_init__(self) -> None:
        for name in ("number", "n_candidates", "n_planned"):
            if getattr(self, name) < 1:
                raise ContractError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.share <= 1:
            raise ContractError(f"share must be in (0, 1], got {self.share}")

    def level(self, alpha: float) -> float:
        """Give the level at which the bounds of each candidate decide."""
        return alpha * self.share / self.n_candidates


def single_look(n_candidates: int) -> Look:
    """Make the look of a log that is judged once and never again: all of alpha is its own."""
    return Look(n_candidates=max(n_candidates, 1))


def next_look(number: int, n_candidates: int, n_planned: int = PLANNED_LOOKS) -> Look:
    """Make look `number`, from 1, of a reign that was planned for `n_planned`."""
    share = look_share(number, n_planned)
    return Look(number=number, share=share, n_candidates=max(n_candidates, 1), n_planned=n_planned)


def look_share(number: int, n_planned: int = PLANNED_LOOKS) -> float:
    """Give γ of look `number`, from 1; over all numbers they sum to 1.

        γ_k = PLANNED_SHARE / n                         for the n looks that are planned for
        γ_k = (1 − PLANNED_SHARE) n / ((k − 1) k)       for those after them

    Example:
        >>> round(sum(look_share(number) for number in range(1, 100_000)), 3)
        1.0
    """
    if number <= n_planned:
        return PLANNED_SHARE / n_planned
    return (1 - PLANNED_SHARE) * n_planned / ((number - 1) * number)
