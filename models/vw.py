"""Vowpal Wabbit as the learner: a child process that trains on text as it is written, and the compiled policy.

The one adapter for vowpal-wabbit-next: encoding in `vw_encoding`, text in `vw_text`, the child in `vw_driver` and
`vw_train`, what was learned in `vw_state`, progressive validation in `vw_trial`, the model in `vw_model`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from pathlib import Path
from shutil import copyfile
from typing import Final

import numpy as np

from models.batch import LoggedBatch
from models.ensemble import EnsemblePolicy
from models.error import NotReadyError
from models.exploration import Exploration, ExplorationKind
from models.fitted import FittedPolicy
from models.linear import LinearPolicy
from models.validation import validate
from models.vw_driver import Driver
from models.vw_encoding import INTERACTIONS
from models.vw_model import check_parity, compile_policy
from models.vw_state import STATE_FILE, Tally, Written
from models.vw_text import text_of
from models.vw_trial import Trials

__all__ = ["check_parity", "fit_vw", "vw_arguments"]

MODEL_FILE: Final = "model.vw"

_RATE: Final = ("--learning_rate", "0.1")
"""What a saved model does not bring along; a bag's seed is the other such argument."""
_BASE: Final = ("--cb_explore_adf", "--cb_type", "mtr", *_RATE, "--clip_p", "1")
"""Every impression weighs the same, whatever its propensity: what is learned is a regression, and importance weights
add noise to it and take away little bias (docs/adr/0007)."""
BITS: Final = 22
"""Room for 2^22 weights, 64 MiB in memory and only the used ones on disk: sixteen for each of 262,144 artworks. It is
the same for every log, so that any model can be learned on from, and is known before the first decision is read. The
members of a bag share the table, which has as many weights for each of them."""

_CHUNK: Final = 4096
_EARLIER_FILE: Final = "earlier.vw"


def fit_vw(
    batches: Iterable[LoggedBatch],
    arguments: Sequence[str],
    exploration: Exploration,
    workdir: Path,
    progress: Callable[[int], None] | None = None,
    earlier: Path | None = None,
) -> FittedPolicy:
    """Train VW on logged decisions, while they are read, and compile what it learned.

    The same decisions in the same order give the same model, bit for bit; so does learning the first part of them, and
    on from there the rest; but a bag draws anew what its members learn.

    Args: batches, read once, a chunk at a time; arguments, VW's own beside those every candidate shares; exploration,
    where SquareCB's parameter is VW's gamma_scale γ₀: the policy explores with γ = γ₀·√n of n learned decisions;
    workdir, where the model `model.vw` and `learned.npz` stay; progress, told how many decisions are on their way to
    VW; earlier, a folder with these two files of an earlier training to learn on from, or None to start from nothing.

    Raises:
        NotReadyError: if there is no decision.
        ContractError: if `earlier` cannot be learned on from, or a decision would ruin the model.
        WorseThanUniformError: if the policy on its way does worse than chance on decisions that it has yet to learn.
        DivergedModelError: if the loss or a weight is not finite.
        LearnerError: if VW fails, skips decisions or complains about its text.
    """
    told = vw_arguments(arguments)
    log = _Log(Tally(Written.load(earlier / STATE_FILE, told) if earlier else Written.nothing()), Trials(), progress)
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        with Driver([*_onward(earlier, workdir, told), "-f", MODEL_FILE], workdir) as driver:
            log.send(batches, driver)
            driver.finish(log.n_sent)
        figures = _tried(log.trials, exploration, workdir)
        policy = _compiled(workdir / MODEL_FILE, log.tally.written, exploration)
    except BaseException:
        (workdir / MODEL_FILE).unlink(missing_ok=True)
        raise
    finally:
        for path in (workdir / _EARLIER_FILE, *workdir.glob("trial-*.vw")):
            path.unlink(missing_ok=True)
    learned = log.tally.written
    learned.save(workdir / STATE_FILE, told)
    figures |= {"n_decisions": float(learned.n_decisions), "n_artworks": float(len(learned.artworks))}
    files = {name: workdir / name for name in (MODEL_FILE, STATE_FILE)}
    return FittedPolicy(policy, files, figures, partial(check_parity, workdir / MODEL_FILE, policy))


def vw_arguments(own: Sequence[str]) -> list[str]:
    """Tell VW what every candidate shares and what is a candidate's own."""
    crossing = [part for pair in INTERACTIONS for part in ("--quadratic", pair)]
    return [*_BASE, *crossing, *own, "--bit_precision", str(BITS + (_n_members(own) - 1).bit_length())]


def _n_members(own: Sequence[str]) -> int:
    return int(own[own.index("--bag") + 1]) if "--bag" in own else 1


@dataclass(slots=True)
class _Log:
    """Decisions on their way to VW, counted and put aside for trials."""

    tally: Tally
    trials: Trials
    progress: Callable[[int], None] | None
    n_sent: int = 0

    def send(self, batches: Iterable[LoggedBatch], driver: Driver) -> None:
        for logged in self._pieces(batches):
            driver.write(text_of(logged.batch, logged))
            self.tally.add(logged)
            self.n_sent += len(logged)
            self.trials.see(logged)
            if self.trials.is_due:
                driver.write(self.trials.begin(self.tally.written))
            if self.progress:
                self.progress(self.n_sent)
        if not self.n_sent:
            raise NotReadyError("vowpal wabbit found no decision to learn from")

    def _pieces(self, batches: Iterable[LoggedBatch]) -> Iterator[LoggedBatch]:
        for logged in batches:
            first = 0
            while first < len(logged):
                stop = min(first + min(_CHUNK, self.trials.room), len(logged))
                yield logged.take(np.arange(first, stop))
                first = stop


def _onward(earlier: Path | None, workdir: Path, told: list[str]) -> list[str]:
    """Give VW's arguments: all of them, or those that a model to learn on from does not bring along."""
    if earlier is None:
        return told
    copyfile(earlier / MODEL_FILE, workdir / _EARLIER_FILE)
    seed = told.index("--random_seed") if "--random_seed" in told else len(told)
    return ["--initial_regressor", _EARLIER_FILE, *_RATE, *told[seed : seed + 2]]


def _tried(trials: Trials, exploration: Exploration, workdir: Path) -> dict[str, float]:
    """Hold the model of a while ago to the decisions that came after; nothing where the log was too short."""
    trial = trials.latest()
    if trial is None:
        return {}
    found = validate(_compiled(workdir / trial.file, trial.written, exploration), trial.decisions)
    found.refuse_worse()
    return found.diagnostics


def _compiled(model: Path, written: Written, exploration: Exploration) -> LinearPolicy | EnsemblePolicy:
    """Compile a model; under SquareCB the parameter grows with what was learned."""
    if exploration.kind is ExplorationKind.SQUARECB:
        exploration = replace(exploration, parameter=exploration.parameter * sqrt(written.n_decisions))
    return compile_policy(model, written, exploration)
