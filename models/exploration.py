"""From estimated rewards to probabilities: how a policy explores."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.array import refuse_array
from models.batch import Floats, checked_offsets
from models.error import ContractError
from models.jit import FLOATS, INTEGERS, NUMBER, jitted
from models.launch import LaunchBudget

_TIE = 1e-12
"""Scores this close to the best, of scores beyond ±1 as a part of them, are tied: sums differ by as much by machine."""


class ExplorationKind(StrEnum):
    """The rules; what `Exploration.parameter` means under each is told there."""

    GREEDY = "greedy"
    EPSILON = "epsilon"
    SOFTMAX = "softmax"
    SQUARECB = "squarecb"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class Exploration:
    """A rule that turns scores, higher is better, into a probability for each of a decision's K candidates.

    - greedy: all to the best; tied best share. No parameter.
    - epsilon: ε/K to each, the rest to the best; ε is the parameter, in [0, 1].
    - softmax: p ∝ exp(λ·score); λ is the parameter. Rewards in [0, 1] differ by 0.02–0.2, so λ is about 10–100.
    - squarecb: 1/(K + γ·(best − score)), what remains to the best; γ is the parameter.
    - uniform: 1/K. No parameter.

    Of a policy with several members, each scoring for itself, p is the mean over the members: under greedy, the share
    of their votes.

    Then what is guaranteed, g(a): the floor φ/K, and for a new artwork its part of the launch budget if that is more.
    With G = Σ g and the exploration budget β, the preferred set P = argmax p, e = Σ p(a) outside of P:

        c      = min(1, (β − Σ_{a∉P} g(a)) / ((1 − G)·e))
        p̃(a)   = c·p(a) outside of P,  p(a) + (1 − c)·e/|P| within
        pmf(a) = g(a) + (1 − G)·p̃(a)

    so that no candidate has less than its guarantee and all that is not preferred has at most β together. Without
    launch budget and with β = 1 this is (1 − φ)·p + φ/K. Tied best always share alike: what a candidate gets never
    depends on its place.

    Args: floor, φ; launch, the launch budget of new artworks; budget, β, at least what is guaranteed.

    Raises:
        ContractError: if the parameter, the floor or a budget is out of range.

    Source: SquareCB, Foster & Rakhlin 2020 (arXiv 2002.04926); votes, bootstrapped Thompson sampling, Eckles & Kaptein
    2014 (arXiv 1410.4009).

    Example:
        >>> rule = Exploration(ExplorationKind.EPSILON, parameter=0.3)
        >>> [round(float(p), 6) for p in rule.pmf(np.array([0.1, 0.4, 0.2, 0.0]), np.array([0, 3, 4]))]
        [0.1, 0.8, 0.1, 1.0]
    """

    kind: ExplorationKind
    parameter: float = 0.0
    floor: float = 0.0
    launch: LaunchBudget | None = None
    budget: float = 1.0

    def __post_init__(self) -> None:
        most = 1.0 if self.kind is ExplorationKind.EPSILON else float("inf")
        if not (isfinite(self.parameter) and 0.0 <= self.parameter <= most):
            raise ContractError(f"parameter of {self.kind} must be finite, in [0, {most}], got {self.parameter!r}")
        if not 0.0 <= self.floor <= 1.0:
            raise ContractError(f"floor must be in [0, 1], got {self.floor!r}")
        guaranteed = self.floor + (self.launch.cap if self.launch else 0.0)
        if not guaranteed - _TIE <= self.budget <= 1.0:
            raise ContractError(f"budget must be in [floor + launch cap = {guaranteed}, 1], got {self.budget!r}")

    def pmf(
        self,
        scores: Floats,
        offsets: NDArray[np.int64],
        artworks: NDArray[np.float32] | None = None,
        *,
        is_new: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """Give each candidate its probability.

        Args: scores `(m,)`, estimated reward, or `(M, m)`, as M members estimate it; offsets `(n + 1,)` as in
        `models.batch.Batch`; artworks `(m, len(ARTWORK))`, which a launch budget looks at, or is_new `(m,)`, what it
        found there.

        Returns: `(m,)`, summing to 1 over each decision.

        Raises:
            ContractError: if a score is not finite, the offsets do not go from 0 to m, or there is a launch budget and
                neither `artworks` nor `is_new`.
        """
        if len(offsets) < 2:
            return np.zeros(0)
        _refuse_infinite(scores)
        m = scores.shape[-1]
        offsets = checked_offsets(offsets, m)
        flat = np.ascontiguousarray(scores, dtype=np.float64).reshape(-1)
        # Members' scores lie end to end, as those of more decisions do.
        firsts = np.arange(0, len(flat), m)[:, None] + offsets[:-1]
        each = np.append(firsts, len(flat))
        raw = _RULES[self.kind](_gaps(flat, each), each, self.parameter)
        # Rounding adds up over many candidates; dividing once takes it out again.
        raw /= _total(raw, each)
        own = raw if len(flat) == m else raw.reshape(-1, m).mean(axis=0)
        if is_new is None and self.launch is not None and artworks is not None:
            is_new = self.launch.is_new(artworks)
        if self.launch is None and self.budget == 1.0:
            return _with_floor(own, offsets, self.floor)
        guaranteed = self.guaranteed(offsets, is_new)
        free = 1.0 - _total(guaranteed, offsets)
        if self.budget < 1.0:
            own = _within(self.budget, own, guaranteed, free, offsets)
        return np.asarray(free * own + guaranteed, dtype=np.float64)

    def guaranteed(self, offsets: NDArray[np.int64], is_new: NDArray[np.bool_] | None) -> Floats:
        """Give what each candidate gets whatever it scores: `(m,)`.

        Args: is_new `(m,)`, as the launch budget tells; not looked at where there is none.
        """
        offsets = np.ascontiguousarray(offsets, dtype=np.int64)
        counts = np.diff(offsets)
        floor: Floats = self.floor / np.repeat(counts, counts)
        if self.launch is None:
            return floor
        if is_new is None:
            raise ContractError("a launch budget needs the artworks' features")
        new = is_new.astype(np.float64)
        return np.maximum(floor, self.launch.share_each(_total(new, offsets)) * new)

    def to_json(self) -> bytes:
        """Write the rule as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read a rule that `to_json` wrote.

        Raises:
            ContractError: if it is not one.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ContractError(f"not an exploration rule: {error}") from error

    def to_array(self) -> NDArray[np.uint8]:
        """Write the rule as an array of bytes, for `numpy.savez`."""
        return np.frombuffer(self.to_json(), dtype=np.uint8)

    @classmethod
    def from_array(cls, array: NDArray[np.generic]) -> Self:
        """Read a rule that `to_array` wrote.

        Raises:
            ContractError: if it is not one.
        """
        refuse_array("exploration", array, np.uint8, (array.size,))
        return cls.from_json(array.tobytes())


def _refuse_infinite(scores: Floats) -> None:
    # A sum is finite only if all are; that it may be infinite where none is costs a second look.
    if not isfinite(float(scores.sum())) and not (finite := np.isfinite(scores)).all():
        row = int(np.argwhere(~finite)[0, -1])
        raise ContractError(f"scores must be finite, got {scores[..., row]} in candidate row {row}")


def _within(budget: float, raw: Floats, guaranteed: Floats, free: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Bring what is not preferred down to the budget, by one factor for each decision; all arrays `(m,)`."""
    _refuse_infinite(raw)
    preferred = _gaps(raw, offsets) == 0.0
    given_away = _total(np.where(preferred, 0.0, raw), offsets)
    room = budget - _total(np.where(preferred, 0.0, guaranteed), offsets)
    wanted = free * given_away
    room = np.maximum(room, 0.0)
    # Divided only where the quotient is below 1: what is wanted may be too small to divide by.
    kept = np.divide(room, wanted, out=np.ones_like(wanted), where=wanted > room)
    back = (1.0 - kept) * given_away / _total(preferred.astype(np.float64), offsets)
    return np.where(preferred, raw + back, kept * raw)


@jitted(FLOATS, INTEGERS)
def _gaps(scores: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Tell how far each score is below its decision's best; 0 for one that is tied with it."""
    gaps = np.empty(scores.size)
    for decision in range(offsets.size - 1):
        rows = range(offsets[decision], offsets[decision + 1])
        best = scores[offsets[decision]]
        for row in rows:
            best = max(best, scores[row])
        tied = _TIE * max(abs(best), 1.0)
        for row in rows:
            gap = best - scores[row]
            gaps[row] = gap if gap > tied else 0.0
    return gaps


@jitted(FLOATS, INTEGERS)
def _total(values: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Each decision's sum, repeated for each of its candidates: `(m,)` to `(m,)`."""
    totals = np.empty(values.size)
    for decision in range(offsets.size - 1):
        total = 0.0
        for row in range(offsets[decision], offsets[decision + 1]):
            total += values[row]
        totals[offsets[decision] : offsets[decision + 1]] = total
    return totals


@jitted(FLOATS, INTEGERS, NUMBER)
def _with_floor(pmf: Floats, offsets: NDArray[np.int64], floor: float) -> Floats:
    mixed = np.empty(pmf.size)
    for decision in range(offsets.size - 1):
        n = offsets[decision + 1] - offsets[decision]
        for row in range(offsets[decision], offsets[decision + 1]):
            mixed[row] = (1.0 - floor) * pmf[row] + floor / n
    return mixed


@jitted(FLOATS, INTEGERS, NUMBER)
def _epsilon(gaps: Floats, offsets: NDArray[np.int64], epsilon: float) -> Floats:
    pmf = np.empty(gaps.size)
    for decision in range(offsets.size - 1):
        rows = range(offsets[decision], offsets[decision + 1])
        n_best = 0
        for row in rows:
            n_best += gaps[row] == 0.0
        each, more = epsilon / len(rows), (1.0 - epsilon) / n_best
        for row in rows:
            pmf[row] = each + (more if gaps[row] == 0.0 else 0.0)
    return pmf


@jitted(FLOATS, INTEGERS, NUMBER)
def _squarecb(gaps: Floats, offsets: NDArray[np.int64], gamma: float) -> Floats:
    pmf = np.empty(gaps.size)
    for decision in range(offsets.size - 1):
        rows = range(offsets[decision], offsets[decision + 1])
        n_best, left = 0, 1.0
        for row in rows:
            if gaps[row] == 0.0:
                n_best += 1
            else:
                pmf[row] = 1.0 / (len(rows) + gamma * gaps[row])
                left -= pmf[row]
        for row in rows:
            if gaps[row] == 0.0:
                pmf[row] = left / n_best
    return pmf


def _softmax(gaps: Floats, _: NDArray[np.int64], scale: float) -> Floats:
    return np.asarray(np.exp(-scale * gaps), dtype=np.float64)


_RULES: Final[dict[ExplorationKind, Callable[[Floats, NDArray[np.int64], float], Floats]]] = {
    ExplorationKind.GREEDY: lambda gaps, offsets, _: _epsilon(gaps, offsets, 0.0),
    ExplorationKind.EPSILON: _epsilon,
    ExplorationKind.SOFTMAX: _softmax,
    ExplorationKind.SQUARECB: _squarecb,
    ExplorationKind.UNIFORM: lambda gaps, offsets, _: _epsilon(gaps, offsets, 1.0),
}
"""What each rule makes of gaps: as many weights, which sum to 1 over a decision but for softmax's."""
