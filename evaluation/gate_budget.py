"""How the gate spends its error budget: over all candidates of a day, and over all looks while one champion reigns.

Look k may spend the share γ_k of alpha, and each of its m candidates an equal part of that. Shares sum to 1 over all
looks that there will ever be: `PLANNED_SHARE` evenly over the first `PLANNED_LOOKS`, the rest as 1/(j (j + 1)) over the
looks j after those. A union bound over all of them needs nothing of how looks depend on each other: the same profiles,
the same sticky draws and policies that are trained anew each time may come back in every one.

What a look did not use up is not lost. The capital E that a candidate's bets won (`sequence_betting.log_capital`) has
expectation 1 at most, and so has the sum of γ_k E_k / m over all looks and candidates of a reign; hence one of these
sums ever reaches 1/alpha with probability alpha at most, and a candidate is promoted when its own does:

    Σ_{j < k} γ_j E_j / m_j + γ_k E_k / m_k ≥ 1/alpha      ⇔      E_k ≥ 1/level_k
    level_k = (γ_k / m_k) / (1/alpha − Σ_{j < k} γ_j E_j / m_j),   but never more than alpha / m_k

so that a look is held to a level that rises as earlier looks of the same series came close. The last limit is no part
of the argument: it keeps the version that is promoted to a bound of its own.

Source: Ville 1939; Vovk and Wang 2021, "E-values: calibration, combination and applications" (sums of dependent ones).
"""

from math import exp

import msgspec

from models.error import ContractError

PLANNED_LOOKS = 30
PLANNED_SHARE = 0.8
_MOST_LOG_CAPITAL = 100.0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the candidates of a champion's reign.

    `number` counts looks from 1, `share` is the part of alpha that this one may spend, and `n_candidates` share it.
    `carried` is, by candidate, what its earlier looks have left: Σ γ_j E_j / m_j.

    Raises:
        ContractError: if a number cannot be.
    """

    number: int = 1
    share: float = 1.0
    n_candidates: int = 1
    carried: dict[str, float] = {}

    def __post_init__(self) -> None:
        if self.number < 1 or self.n_candidates < 1:
            raise ContractError(f"number and n_candidates must be at least 1, got {self.number}, {self.n_candidates}")
        if not 0 < self.share <= 1 or not all(carried >= 0 for carried in self.carried.values()):
            raise ContractError(f"share must be in (0, 1] and carried at least 0, got {self.share}, {self.carried}")

    def plain_level(self, alpha: float) -> float:
        """Give the level of one candidate if nothing was carried, to which its bets are tuned."""
        return alpha * self.share / self.n_candidates

    def level(self, alpha: float, candidate: str) -> float:
        """Give the level at which a candidate's lower bound decides."""
        missing = 1 / alpha - self.carried.get(candidate, 0.0)
        most = alpha / self.n_candidates
        return min(self.share / self.n_candidates / missing, most) if missing > 0 else most

    def left(self, log_capital: float) -> float:
        """Give what a candidate's capital at this look leaves to later ones."""
        return self.share / self.n_candidates * exp(min(log_capital, _MOST_LOG_CAPITAL))


def single_look(n_candidates: int) -> Look:
    """Make the look of a log that is judged once and never again: all of alpha is its own."""
    return Look(n_candidates=max(n_candidates, 1))


def next_look(number: int, n_candidates: int, carried: dict[str, float]) -> Look:
    """Make look `number`, from 1, of a reign."""
    return Look(number=number, share=look_share(number), n_candidates=max(n_candidates, 1), carried=carried)


def look_share(number: int) -> float:
    """Give γ of look `number`, from 1; over all numbers they sum to 1.

    Example:
        >>> round(sum(look_share(number) for number in range(1, 100_000)), 4)
        1.0
    """
    if number <= PLANNED_LOOKS:
        return PLANNED_SHARE / PLANNED_LOOKS
    later = number - PLANNED_LOOKS
    return (1 - PLANNED_SHARE) / (later * (later + 1))
