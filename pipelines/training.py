"""Train candidates: from a training set to a bundle that can be judged, registered under its content's version.

HOME/training/<as_of>/candidates/bundles/<version>/ is a bundle like a published one; publishing copies it.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from shutil import rmtree
from time import monotonic

import numpy as np

from models.batch import LoggedBatch
from models.bundle import write_bundle
from models.candidate import CANDIDATES, candidate, fit
from models.error import ContractError, NotReadyError
from models.interval import moment_key
from models.rehearsal import rehearse
from pipelines.registry import Registered, Registry
from pipelines.settings import Settings
from pipelines.training_set import Side, TrainingSet, iter_training_batches, read_training_set
from pipelines.warm_start import earlier_model
from pipelines.watermark import refreshed_through, refuse_gaps

_log = logging.getLogger(__name__)
_TELL_SECONDS = 5.0

FALLBACK = "best-artwork"
"""The candidate that every bundle carries for decisions in which its own policy cannot be asked."""

_PROVED_DECISIONS = 64
"""Decisions on which a policy is held against its learner before it becomes a bundle."""


def candidate_names(settings: Settings) -> tuple[str, ...]:
    """List the candidates to train: those that the settings name, or the whole written list.

    Raises:
        ContractError: naming one that is not on the list.
    """
    return tuple(candidate(name).name for name in settings.candidates) or tuple(each.name for each in CANDIDATES)


def choose_as_of(settings: Settings, asked: datetime | None = None) -> datetime:
    """Choose the watermark of a training: the moment asked for, or all that is refreshed.

    Raises:
        NotReadyError: if nothing is refreshed, not yet as far as was asked, or not without a gap or features that were
            built around one; what mends it is named.
        ContractError: if the moment asked for is naive.
    """
    if asked is not None:
        if asked.utcoffset() is None:
            raise ContractError(f"as_of must say its offset from UTC, got {asked.isoformat()}")
        asked = asked.astimezone(UTC)
    refuse_gaps(settings, asked)
    through = refreshed_through(settings)
    if through is None:
        raise NotReadyError(
            f"no interval is refreshed yet in {settings.home}: `marquee refresh` and `marquee backfill` do it"
        )
    if asked is not None and asked > through:
        raise NotReadyError(
            f"as_of must be refreshed, got {asked.isoformat()}, refreshed through {through.isoformat()}"
        )
    return asked or through


def train_candidate(
    settings: Settings, training_uri: str, name: str, progress: Callable[[int], None] | None = None
) -> str:
    """Train one candidate on the profiles that train, write its bundle and register it.

    Under the setting `warm_start` the champion's own candidate learns on from it (`warm_start.earlier_model`).

    Args: training_uri, of `TrainingSet`; progress, told how many decisions were read so far.

    Returns:
        The bundle's version: the same training set gives the same one.

    Raises:
        NotReadyError: if no decision of a training profile has matured.
        LearnerError: if the learner fails, diverges or is worse than chance, or its policy was compiled to something
            else than it learned.
        ContractError: if the champion cannot be learned on from.
        MarqueeError: if the registry cannot be used.
    """
    found = read_training_set(training_uri)

    def batches(from_at: datetime | None = None) -> Iterator[LoggedBatch]:
        return iter_training_batches(found.uri, Side.TRAIN, from_at=from_at)

    sample = next(batches(), None)
    if sample is None:
        raise NotReadyError(f"no decision of a training profile has matured in {found.uri}")
    workdir = settings.training_dir / moment_key(found.as_of) / "candidates" / "work" / name
    rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    earlier = earlier_model(settings, found, name, workdir / "earlier")
    from_at = earlier.learned_through_at if earlier else None
    n_decisions = sum(len(logged) for logged in batches(from_at))
    tried = rehearse(candidate(name), batches, n_decisions, workdir)
    fitted = fit(candidate(name), lambda: batches(from_at), workdir, progress, earlier.directory if earlier else None)
    if fitted.parity is not None:
        fitted.parity(sample.batch.take(np.arange(min(len(sample), _PROVED_DECISIONS))))
    manifest = write_bundle(
        candidates_url(found),
        candidate=name,
        fitted=replace(fitted, diagnostics=fitted.diagnostics | tried),
        fallback=fit(candidate(FALLBACK), batches, workdir).policy,
        sample=sample,
        learned_from_at=earlier.learned_from_at if earlier else found.learned_from_at,
        learned_through_at=found.learned_through_at,
        n_decisions=n_decisions + (earlier.n_decisions if earlier else 0),
        reward_rule=settings.reward_rule,
        holdout_share=found.holdout_share,
    )
    rmtree(workdir)
    Registry(settings.registry_uri).register(
        Registered(manifest.version, candidates_url(found), name, found.as_of, found.learned_through_at)
    )
    return manifest.version


def logged_progress(name: str) -> Callable[[int], None]:
    """Tell the task's log every few seconds how far a candidate has come."""
    told_at = monotonic()

    def tell(n_decisions: int) -> None:
        nonlocal told_at
        if monotonic() - told_at >= _TELL_SECONDS:
            told_at = monotonic()
            _log.info("%s has learned %s decisions", name, f"{n_decisions:,}")

    return tell


def candidates_url(found: TrainingSet) -> str:
    """Find the root of the bundles that were trained on a training set."""
    return f"{found.uri}/candidates"
