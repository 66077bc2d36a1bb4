"""Other libraries that learn from the same logs: mabwiser, contextualbandits and plain vowpal-wabbit-next.

All see the features that Marquee's own learner sees. mabwiser and contextualbandits know nothing of what an action
is like: each artwork has a ridge regression of its own on the 83 shared features. That model falls apart by title, so
that one learner a title is the same model, and both train and score several times faster than with all artworks in
one; they get that. Exploration bonuses are small (α = 0.1), because a bonus only costs on the decisions that judge.
They cannot use propensities; the logs are uniform, so that nothing is lost. Titles they never saw draw uniformly.

Plain VW is its Python API as the manual shows it: `--cb_explore_adf` with its defaults and the crossing of shared and
action features, without which it could not personalise at all; the exploration it would draw from is its policy.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.batch import Batch, Floats, LoggedBatch
from models.vw_encoding import as_sent

_ALPHA = 0.1
_SEED = 20_17


class Peer(Protocol):
    """A learner of another library."""

    def fit(self, logged: list[LoggedBatch]) -> None:
        """Learn from arrays that lie ready."""
        ...

    def pmf(self, batch: Batch) -> Floats:
        """Give each candidate its probability."""
        ...


def peers() -> dict[str, Callable[[], Peer]]:
    """List the peers that are installed: without the dependency group `peers` only plain VW is."""
    found: dict[str, Callable[[], Peer]] = {"vowpal_wabbit_next": PlainVw}
    if find_spec("mabwiser"):
        found |= {"mabwiser_linucb": lambda: PerTitle(_mabwiser_linucb), "mabwiser_lints": lambda: PerTitle(_lints)}
    if find_spec("contextualbandits"):
        found |= {"contextualbandits_linucb": lambda: PerTitle(_cb_linucb)}
    return found


Scorer = Callable[[NDArray[np.float64]], Floats]
"""From contexts `(n, d)` to the scores `(n, arms)` of one title's artworks."""


class PerTitle:
    """One learner a title, whose arms are its artworks. Args: learn, from contexts, arms and rewards to a scorer."""

    def __init__(self, learn: Callable[[NDArray[np.float64], NDArray[np.int64], Floats, int], Scorer]) -> None:
        self._learn = learn
        self._scorers: dict[int, tuple[NDArray[np.uint64], Scorer]] = {}

    def fit(self, logged: list[LoggedBatch]) -> None:
        """Learn each title's decisions."""
        shared = np.concatenate([part.batch.shared for part in logged]).astype(np.float64)
        titles = np.concatenate([part.batch.title_keys for part in logged])
        shown = np.concatenate([part.batch.artwork_keys[part.chosen] for part in logged])
        reward = np.concatenate([part.reward for part in logged])
        for title in np.unique(titles).tolist():
            rows = np.flatnonzero(titles == title)
            arms, places = np.unique(shown[rows], return_inverse=True)
            self._scorers[title] = arms, self._learn(shared[rows], places, reward[rows], len(arms))

    def pmf(self, batch: Batch) -> Floats:
        """Show the eligible artwork with the best score; artworks that were never shown are passed over."""
        out = np.repeat(1.0 / batch.counts, batch.counts)
        for title, (arms, score) in self._scorers.items():
            rows = np.flatnonzero(batch.title_keys == title)
            if not len(rows):
                continue
            scores = score(batch.shared[rows].astype(np.float64))
            for place, row in enumerate(rows):
                own = slice(*batch.offsets[row : row + 2])
                known = np.isin(batch.artwork_keys[own], arms)
                at = np.searchsorted(arms, batch.artwork_keys[own][known])
                if known.any():
                    out[own] = 0.0
                    out[batch.offsets[row] + np.flatnonzero(known)[np.argmax(scores[place, at])]] = 1.0
        return out


class PlainVw:
    """VW through its Python API, one decision at a time."""

    def __init__(self) -> None:
        from vowpal_wabbit_next import Workspace

        self._workspace: Any = Workspace(["--cb_explore_adf", "--quadratic", "UA", "--quiet"])

    def fit(self, logged: list[LoggedBatch]) -> None:
        """Learn in the order of the log."""
        for part in logged:
            sent = as_sent(part.batch)
            for row in range(len(part)):
                chosen = int(part.chosen[row] - sent.offsets[row])
                label = (chosen, -float(part.reward[row]), float(part.propensity[row]))
                self._workspace.learn_one(self._examples(sent, row, label))

    def pmf(self, batch: Batch) -> Floats:
        """Give the probabilities that VW would draw from."""
        out, sent = np.zeros(len(batch.artwork_keys)), as_sent(batch)
        for row in range(len(batch)):
            for place, chance in self._workspace.predict_one(self._examples(sent, row)):
                out[batch.offsets[row] + place] = chance
        return np.asarray(out / np.repeat(np.add.reduceat(out, batch.offsets[:-1]), batch.counts), dtype=np.float64)

    def _examples(self, batch: Batch, row: int, label: tuple[int, float, float] | None = None) -> list[Any]:
        from vowpal_wabbit_next import CBLabel, Example

        shared = Example()
        shared.set_label(CBLabel(shared=True))
        _push(shared, "U", batch.shared[row])
        examples = [shared]
        for place in range(batch.offsets[row], batch.offsets[row + 1]):
            action = Example()
            action.set_label(CBLabel())
            _push(action, "A", batch.artworks[place])
            name = np.array([int(batch.artwork_keys[place]) % 2**31], dtype=np.uint64)
            action["I"].push_many_features(name, np.ones(1, dtype=np.float32))
            examples.append(action)
        if label is not None:
            examples[1 + label[0]].set_label(CBLabel(label=(0, *label[1:])))
        return examples


def _push(example: Any, namespace: str, values: NDArray[np.float32]) -> None:
    places = np.flatnonzero(values)
    example[namespace].push_many_features(places.astype(np.uint64) + ord(namespace) * 10_007, values[places])


def _mabwiser_linucb(contexts: NDArray[np.float64], arms: NDArray[np.int64], reward: Floats, n_arms: int) -> Scorer:
    from mabwiser.mab import LearningPolicy

    return _mabwiser(LearningPolicy.LinUCB(alpha=_ALPHA), contexts, arms, reward, n_arms)


def _lints(contexts: NDArray[np.float64], arms: NDArray[np.int64], reward: Floats, n_arms: int) -> Scorer:
    from mabwiser.mab import LearningPolicy

    return _mabwiser(LearningPolicy.LinTS(alpha=_ALPHA), contexts, arms, reward, n_arms)


def _mabwiser(
    policy: Any, contexts: NDArray[np.float64], arms: NDArray[np.int64], reward: Floats, n_arms: int
) -> Scorer:
    from mabwiser.mab import MAB

    model = MAB(list(range(n_arms)), policy, seed=_SEED)
    model.fit(arms, reward, contexts)

    def score(asked: NDArray[np.float64]) -> Floats:
        found = model.predict_expectations(asked)
        rows = found if isinstance(found, list) else [found]
        return np.array([[row[arm] for arm in range(n_arms)] for row in rows])

    return score


def _cb_linucb(contexts: NDArray[np.float64], arms: NDArray[np.int64], reward: Floats, n_arms: int) -> Scorer:
    from contextualbandits.online import LinUCB

    if n_arms == 1:  # it has no choice, and refuses to learn one
        return lambda asked: np.zeros((len(asked), 1))
    model = LinUCB(nchoices=n_arms, alpha=_ALPHA, random_state=_SEED, njobs=1)
    model.fit(contexts, arms, reward)
    return lambda asked: np.asarray(model.decision_function(asked), dtype=np.float64).reshape(len(asked), n_arms)
