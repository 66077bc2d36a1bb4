"""Reading a trained VW model: its weights as a linear policy, and the proof that both say the same."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from vowpal_wabbit_next import DebugNode, TextFormatParser, Workspace

from models.batch import Batch, Floats, Keys
from models.ensemble import EnsemblePolicy
from models.error import DivergedModelError, LearnerError
from models.exploration import Exploration
from models.layout import ARTWORK, SHARED
from models.linear import LinearPolicy
from models.parity import worst_apart
from models.vw_encoding import (
    ARTWORK_NAMESPACES,
    ID_NAMESPACE,
    INTERACTIONS,
    SHARED_NAMESPACES,
    WeightPlaces,
    as_sent,
    id_names,
)
from models.vw_state import Written
from models.vw_text import text_of

_BAG: Final = re.compile(rb"--bag (\d+)")
_HEADER: Final = 4096
"""The bytes of a model that hold its options."""


def compile_policy(model_path: Path, written: Written, exploration: Exploration) -> LinearPolicy | EnsemblePolicy:
    """Read VW's weights out into dense arrays: an ensemble of as many members as `--bag` trained, else one policy.

    Artworks that were never shown have learned nothing. To VW they have no id; here their bias is the mean over the
    impressions of those that have one, so that being new is neither a merit nor a fault.

    Raises:
        DivergedModelError: if a weight is not finite.
        LearnerError: if the file holds another kind of model.
    """
    data = model_path.read_bytes()
    rewards = _Rewards.of(Workspace(["-t", "--quiet"], model_data=data), _n_members(data))
    members = tuple(_compiled(each, written, exploration) for each in rewards)
    return members[0] if len(members) == 1 else EnsemblePolicy(members)


def check_parity(model_path: Path, policy: LinearPolicy | EnsemblePolicy, batch: Batch) -> float:
    """Hold a compiled policy against VW itself on the batch's decisions.

    VW reads the decisions as text, so that nothing of the compiler's own arithmetic is on its side.

    Returns: the greatest difference of a score, at most `PARITY`.

    Raises:
        LearnerError: if a score differs by more.
    """
    members = policy.members if isinstance(policy, EnsemblePolicy) else (policy,)
    known = policy.bias_keys
    unknown = np.array([member.unknown_bias for member in members])[:, None]
    learned = raw_rewards(model_path, batch, known) + np.where(np.isin(batch.artwork_keys, known), 0.0, unknown)
    return worst_apart(np.atleast_2d(policy.scores(as_sent(batch))), learned, of=str(model_path))


def raw_rewards(model_path: Path, batch: Batch, known: Keys) -> Floats:
    """Ask VW for the `(M, m)` rewards that its M members expect, before any exploration.

    Args: known, artworks that VW is told by id.
    """
    data = model_path.read_bytes()
    workspace = Workspace(["-t", "--quiet"], model_data=data, enable_debug_tree=True)
    parser = TextFormatParser(workspace)
    rewards = np.empty((_n_members(data), len(batch.artwork_keys)))
    decisions = text_of(batch, known=known).decode().split("\n\n")
    for row, lines in enumerate(decisions[: len(batch)]):
        _, tree = workspace.predict_one([parser.parse_line(line) for line in lines.split("\n")])
        for member, node in zip(rewards, _find(tree, "cb_adf"), strict=True):
            for place, cost in node.output_prediction:
                member[batch.offsets[row] + place] = -cost
    return rewards


def _n_members(data: bytes) -> int:
    """Read from a model's own header how many models `--bag` keeps in it; no user's string is ever in there."""
    found = _BAG.search(data, 0, _HEADER)
    return int(found[1]) if found else 1


def _compiled(rewards: "_Rewards", written: Written, exploration: Exploration) -> LinearPolicy:
    shared_weights = np.zeros(len(SHARED), dtype=np.float32)
    artwork_weights = np.zeros(len(ARTWORK), dtype=np.float32)
    cross = np.zeros((len(SHARED), len(ARTWORK)), dtype=np.float32)
    spaces = {space.letter: space for space in (*SHARED_NAMESPACES, *ARTWORK_NAMESPACES)}
    rows = {letter: rewards.places.single(letter, np.arange(len(space.columns))) for letter, space in spaces.items()}
    for target, namespaces in ((shared_weights, SHARED_NAMESPACES), (artwork_weights, ARTWORK_NAMESPACES)):
        for space in namespaces:
            target[space.columns] = rewards.at(rows[space.letter])
    for first, second in INTERACTIONS:
        block = rewards.at(rewards.places.pair(rows[first], rows[second]))
        cross[np.ix_(spaces[first].columns, spaces[second].columns)] = block
    bias = rewards.at(rewards.places.single(ID_NAMESPACE, id_names(written.artworks)))
    return LinearPolicy(
        shared_weights=shared_weights,
        cross=cross,
        artwork_weights=artwork_weights,
        constant=float(rewards.at(np.array([rewards.places.constant], dtype=np.uint64))[0]),
        bias_keys=written.artworks,
        bias=bias,
        unknown_bias=float(np.average(bias.astype(np.float64), weights=written.n_shown)),
        exploration=exploration,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rewards:
    """One member's weights with their sign turned, and where things lie among them."""

    table: NDArray[np.float32]
    places: WeightPlaces

    @classmethod
    def of(cls, workspace: "Workspace[Any]", n_members: int) -> "Iterator[_Rewards]":
        """Read the weights of each member.

        VW gives every feature a power of two of neighbouring weights, enough for all members, and all of them share
        the 2^bits of the table. But the shape of `weights()` claims 2^bits for each: what lies behind the first 2^bits
        weights is not ours, and reading it ends the process.
        """
        table = workspace.weights()
        stride = table.shape[1]
        if stride != 1 << (n_members - 1).bit_length():
            raise LearnerError(f"a model of {n_members} members must keep so many weights a feature, got {stride}")
        own = table[: len(table) // stride, :n_members, 0]
        if not np.isfinite(own).all():
            raise DivergedModelError("vowpal wabbit ended with weights that are not finite")
        letters = [space.letter for space in (*SHARED_NAMESPACES, *ARTWORK_NAMESPACES)] + [ID_NAMESPACE]
        bases = {letter: workspace.get_index_for_scalar_feature("0", namespace_name=letter) for letter in letters}
        places = WeightPlaces(round(log2(len(own))), bases)
        for member in range(n_members):
            yield cls(-own[:, member], places)

    def at(self, rows: Keys) -> NDArray[np.float32]:
        return self.table[rows.astype(np.int64)]


def _find(node: DebugNode, name: str) -> list[DebugNode]:
    """Find the nodes of a name in VW's own account of a prediction, in the order of its members."""
    waiting, found = [node], []
    while waiting:
        at = waiting.pop(0)
        if at.name == name:
            found.append(at)
        waiting.extend(at.children)
    if not found:
        raise LearnerError(f"vowpal wabbit's prediction went through no {name}")
    return found
