"""Decisions as VW text, made by whole arrays: no Python loop over features or candidates.

Every line is a run of tokens of `_WIDTH` bytes, padded with zero bytes that are dropped in the end. Tokens come from
tables (a column's name, a feature's value), so that writing is one gather for each feature that is not zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Keys, LoggedBatch
from models.error import ContractError
from models.linear import MAX_FEATURE
from models.vw_encoding import ARTWORK_NAMESPACES, SHARED_NAMESPACES, STEPS, Namespace, id_names, in_steps

Tokens = NDArray[np.bytes_]

_WIDTH: Final = 16
_NAME: Final = "S4"
_VALUE: Final = "S12"
_MOST_REWARD: Final = 1e6
_LEAST_CHANCE: Final = 1e-9


def text_of(batch: Batch, logged: LoggedBatch | None = None, known: Keys | None = None) -> bytes:
    """Write decisions as VW text: a shared line, a line for each candidate, an empty line.

    With labels, only the chosen candidate has features. VW's `mtr` learns from nothing else: the others count, which is
    why their lines are there, but only a prediction that nobody asks for would look at them. The weights are the same,
    bit for bit, whatever the propensities and however many candidates (tests/models/test_vw_chosen.py).

    Args: batch, what is written; logged, the same decisions with labels, or None; known, the sorted keys of the
    artworks that are told by their id, or None for all of them.

    Raises:
        ContractError: if a reward is beyond ±1e6 or a propensity below 1e-9, which would ruin the model silently.
    """
    n_lines = len(batch) + len(batch.artwork_keys)
    candidate_lines = np.arange(len(batch.artwork_keys)) + batch.owner + 1
    shared_lines = batch.offsets[:-1] + np.arange(len(batch))
    ends = np.full(len(candidate_lines), b"\n", dtype=f"S{_WIDTH}")
    ends[batch.offsets[1:] - 1] = b"\n\n"
    told = np.arange(len(candidate_lines)) if logged is None else logged.chosen
    lines = candidate_lines[told]
    pieces = [
        _Piece(shared_lines, np.full(len(batch), b"shared")),
        *_features(shared_lines, batch.shared, SHARED_NAMESPACES),
        _Piece(shared_lines, np.full(len(batch), b"\n")),
        *([] if logged is None else _labels(lines, logged)),
        *_features(lines, batch.artworks[told], ARTWORK_NAMESPACES),
        _ids(lines, batch.artwork_keys[told], known),
        _Piece(untold := np.delete(candidate_lines, told), np.full(len(untold), b"|")),
        _Piece(candidate_lines, ends),
    ]
    return _joined(pieces, n_lines)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Tokens and the line each belongs to, lines rising; pieces follow one another within a line."""

    lines: NDArray[np.int64]
    tokens: Tokens


def _joined(pieces: list[_Piece], n_lines: int) -> bytes:
    """Put the pieces of every line together and all lines in order."""
    sizes = [np.bincount(piece.lines, minlength=n_lines) for piece in pieces]
    total = np.sum(sizes, axis=0)
    ahead = np.cumsum(total) - total
    out = np.zeros(int(total.sum()), dtype=f"S{_WIDTH}")
    for piece, size in zip(pieces, sizes, strict=True):
        rank = np.arange(len(piece.lines)) - np.repeat(np.cumsum(size) - size, size)
        out[np.repeat(ahead, size) + rank] = piece.tokens
        ahead = ahead + size
    return out.tobytes().translate(None, b"\0")


def _features(
    lines: NDArray[np.int64], values: NDArray[np.float32], namespaces: tuple[Namespace, ...]
) -> Iterator[_Piece]:
    """Write ` |X i:value i:value …` for each namespace; zeros are left out."""
    names, is_head = _names(namespaces)
    columns = np.concatenate([np.concatenate([[-1], space.columns]) for space in namespaces])
    steps = in_steps(values)[:, columns]
    steps[:, is_head] = 1
    rows, places = np.divmod(np.flatnonzero(steps), steps.shape[1])
    tokens = np.empty(len(rows), dtype=[("name", _NAME), ("value", _VALUE)])
    tokens["name"] = names[places]
    shifted = steps[rows, places] + int(MAX_FEATURE) * STEPS
    tokens["value"] = np.where(is_head[places], b"", _values()[shifted])
    yield _Piece(lines[rows], tokens.view(f"S{_WIDTH}"))


@cache
def _names(namespaces: tuple[Namespace, ...]) -> tuple[Tokens, NDArray[np.bool_]]:
    names: list[str] = []
    for space in namespaces:
        names += [f" |{space.letter}", *(f" {place}" for place in range(len(space.columns)))]
    return np.array(names, dtype=_NAME), np.array([name.startswith(" |") for name in names])


@cache
def _values() -> Tokens:
    """Spell every value a feature can have, from −MAX_FEATURE up; 1 needs no spelling."""
    most = int(MAX_FEATURE) * STEPS
    above = [f":{step / STEPS:.4f}".rstrip("0").rstrip(".") for step in range(most + 1)]
    below = [f":-{text[1:]}" for text in reversed(above[1:])]
    above[STEPS] = ""
    return np.array(below + above, dtype=_VALUE)


def _labels(lines: NDArray[np.int64], logged: LoggedBatch) -> Iterator[_Piece]:
    """Write `0:cost:probability` before the chosen candidates. A cost is a negative reward, here and nowhere else."""
    for name, wild in (
        ("reward", np.abs(logged.reward) > _MOST_REWARD),
        ("propensity", logged.propensity < _LEAST_CHANCE),
    ):
        if wild.any():
            row = int(np.argmax(wild))
            found = f"{getattr(logged, name)[row]} (decision_id={logged.decision_ids[row]})"
            raise ContractError(f"vowpal wabbit learns nothing from a {name} of {found}")
    costs = np.array([f"0:{0.0 - reward:.6g}" for reward in logged.reward.tolist()], dtype=f"S{_WIDTH}")
    chances = np.array([f":{chance:.7g}" for chance in logged.propensity.tolist()], dtype=f"S{_WIDTH}")
    yield _Piece(lines, costs)
    yield _Piece(lines, chances)


def _ids(lines: NDArray[np.int64], artworks: Keys, known: Keys | None) -> _Piece:
    told = np.ones(len(artworks), dtype=bool) if known is None else np.isin(artworks, known)
    distinct, places = np.unique(id_names(artworks[told]), return_inverse=True)
    return _Piece(lines[told], np.array([f" |I {name}" for name in distinct.tolist()], dtype=f"S{_WIDTH}")[places])
