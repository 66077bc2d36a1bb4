"""Decides a page: candidates, probabilities, draw and record. Knows neither HTTP nor files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import numpy as np
import structlog

from models.assignment import in_uniform_cell
from models.batch import Batch, Floats
from models.catalogue import Catalogue
from models.decision import Cell, Page
from models.draw import draw, gumbel
from models.error import MarqueeError
from models.kernel import CompiledPolicy
from models.kernel_shape import compiled, hold_to_policy
from models.policy import Policy, UniformPolicy
from models.shape import SHAPES
from serving.catalogue_index import CatalogueIndex, build_index, microseconds
from serving.chosen_page import ChosenPage
from serving.features import InMemoryFeatures, OnlineFeatures
from serving.lookup import Lookup, look_up
from serving.page_batch import PageBatch, build_page_batch
from serving.page_id import PageIds, page_ids
from serving.page_rule import draw_in_turn
from serving.policy import LoadedPolicy, is_pmf
from serving.request import PageRequest
from serving.settings import ScorerSettings
from serving.stage import Laps, Stage

UNIFORM_VERSION = "uniform"
DEFAULT_VERSION = "default"
_Step = Callable[[PageBatch], Floats]
_Ladder = Sequence[tuple[str, _Step]]
_log = structlog.get_logger(__name__)


class DefaultPolicy:
    """The title's default artwork with probability 1: the last step down, which cannot fail."""

    def __init__(self, page: PageBatch) -> None:
        self._page = page

    def pmf(self, batch: Batch) -> Floats:
        """Give 1 to each decision's default artwork."""
        places = [each.actions.index(each.default) for each in self._page.found]
        pmf = np.zeros(len(batch.artwork_keys))
        pmf[batch.offsets[:-1] + places] = 1.0
        return pmf


@dataclass(frozen=True, slots=True)
class _InForce:
    """What pages are decided by; a page takes it once, and so is decided under one version from first title to last."""

    index: CatalogueIndex
    policy: LoadedPolicy | None
    kernel: CompiledPolicy | None


class Scorer:
    """Chooses artworks under the policy and the catalogue in force.

    `index` and `policy` may be replaced at any time, from any thread: the policy is laid out over the catalogue beside
    the requests, and then all is replaced by one assignment. A `policy` of None means that none is published: uniform.
    """

    def __init__(
        self,
        settings: ScorerSettings,
        features: OnlineFeatures,
        *,
        index: CatalogueIndex | None = None,
        policy: LoadedPolicy | None = None,
        new_page_id: PageIds | None = None,
    ) -> None:
        self.features = features
        self._replacing = Lock()
        self._in_force = _in_force(index or build_index(Catalogue((), ()), InMemoryFeatures()), policy)
        self._new_page_id = new_page_id or page_ids()
        self._uniform_share = settings.uniform_cell_share
        self._motif_factor = settings.repeated_motif_factor
        self._epoch_us = timedelta(hours=settings.stickiness_hours) // timedelta(microseconds=1)

    @property
    def index(self) -> CatalogueIndex:
        """The catalogue in force."""
        return self._in_force.index

    @index.setter
    def index(self, index: CatalogueIndex) -> None:
        with self._replacing:
            self._in_force = _in_force(index, self._in_force.policy)

    @property
    def policy(self) -> LoadedPolicy | None:
        """The policy in force."""
        return self._in_force.policy

    @policy.setter
    def policy(self, policy: LoadedPolicy | None) -> None:
        with self._replacing:
            self._in_force = _in_force(self._in_force.index, policy)

    def decide(self, request: PageRequest, at: datetime) -> Page:
        """Read the profile's features, choose an artwork for each title, and record how.

        Args: request, decoded or made by hand within the limits that its types state; at, aware UTC, the moment of the
        decision (a simulator passes its own clock).

        Returns: the page as it goes to the event log, each propensity the one that was drawn with.
        """
        return self.decide_with(look_up(self.features, request.profile_id, at), request, at)

    def decide_with(self, lookup: Lookup, request: PageRequest, at: datetime) -> Page:
        """Decide with features that were read before."""
        return self.choose(lookup, request, at).record()

    def choose(self, lookup: Lookup, request: PageRequest, at: datetime, laps: Laps | None = None) -> ChosenPage:
        """Choose with features that were read before. Args: laps, told how long scoring and drawing took."""
        laps, now = laps or Laps(), self._in_force
        page = build_page_batch(request, request.context.at(at), lookup.profile, now.index, at)
        keys = np.array([page.profile_key], dtype=np.uint64)
        is_uniform = self._uniform_share > 0.0 and bool(in_uniform_cell(keys, self._uniform_share)[0])
        cell = Cell.UNIFORM if is_uniform else Cell.LIVE
        loaded, failure = now.policy, ""
        if loaded is None or is_uniform:
            version, pmf = UNIFORM_VERSION, _uniform(page)
        else:
            version = loaded.version
            live = ("", _live(loaded.policy, now.kernel))
            ladder = (live, ("policy_failed", _step(loaded.fallback)), ("best_failed", _default))
            pmf, failure = _climb_down(ladder, page, version)
        laps.end(Stage.SCORE)
        is_live = loaded is not None and not is_uniform and not failure
        guaranteed = _guaranteed(now, page) if is_live and self._motif_factor < 1.0 else None
        verdict = _Verdict(version, cell, pmf, failure or lookup.failure, guaranteed)
        return self._drawn(page, lookup, at, verdict, laps)

    def choose_unlearned(
        self, lookup: Lookup, request: PageRequest, at: datetime, reason: str, laps: Laps | None = None
    ) -> ChosenPage:
        """Choose by the best known artwork, or the default alone: for a page that cannot be logged.

        Its propensities are as true as any, and say `fallback:<reason>`; but no log holds them, and so nothing that is
        reported of its decisions is ever joined, counted or learned from.
        """
        laps, now = laps or Laps(), self._in_force
        loaded = now.policy
        page = build_page_batch(request, request.context.at(at), lookup.profile, now.index, at)
        last = (reason, _default)
        ladder: _Ladder = (last,) if loaded is None else ((reason, _step(loaded.fallback)), last)
        version = DEFAULT_VERSION if loaded is None else loaded.version
        pmf, failure = _climb_down(ladder, page, version)
        laps.end(Stage.SCORE)
        verdict = _Verdict(version, Cell.LIVE, pmf, failure)
        return self._drawn(page, lookup, at, verdict, laps)

    def _drawn(self, page: PageBatch, lookup: Lookup, at: datetime, verdict: "_Verdict", laps: Laps) -> ChosenPage:
        epoch = microseconds(at) // self._epoch_us
        epochs = np.full(len(page), epoch, dtype=np.int64).view(np.uint64)
        pmf, keys = verdict.pmf, (page.profile_keys, page.title_keys, page.artwork_keys, epochs)
        if verdict.guaranteed is None:
            chosen = draw(pmf, page.offsets, *keys)
        else:
            noise, motifs = gumbel(page.offsets, *keys), page.index.motifs[page.rows]
            chosen, pmf = draw_in_turn(pmf, verdict.guaranteed, noise, page.offsets, motifs, self._motif_factor)
        found = ChosenPage.of(
            page,
            pmf,
            chosen,
            self._new_page_id(at),
            verdict.failure,
            at=at,
            policy_version=verdict.version,
            cell=verdict.cell,
            epoch=epoch,
            profile_failed=bool(lookup.failure),
        )
        laps.end(Stage.DRAW)
        return found


@dataclass(frozen=True, slots=True)
class _Verdict:
    version: str
    cell: Cell
    pmf: Floats
    failure: str
    guaranteed: Floats | None = None
    """What page rules leave each candidate; None where there are no page rules."""


def _in_force(index: CatalogueIndex, policy: LoadedPolicy | None) -> _InForce:
    """Lay the policy out over the catalogue; one that cannot be scores pages itself, as truly and more slowly."""
    kernel = None
    if policy is not None and isinstance(policy.policy, SHAPES):
        table = index.table
        try:
            kernel = compiled(policy.policy, table)
            hold_to_policy(kernel, policy.policy, table)
        except MarqueeError as error:
            kernel = None
            _log.error("policy not compiled", version=policy.version, error=str(error))
    return _InForce(index, policy, kernel)


def _guaranteed(now: _InForce, page: PageBatch) -> Floats:
    """Give what each candidate has whatever it scores: `(m,)`."""
    policy = None if now.policy is None else now.policy.policy
    if not isinstance(policy, SHAPES):
        return np.zeros(len(page.rows))
    launch = policy.exploration.launch
    is_new = None if launch is None else launch.is_new(page.index.artwork_vectors[page.rows])
    return policy.exploration.guaranteed(page.offsets, is_new)


def _uniform(page: PageBatch) -> Floats:
    found: Floats = (1.0 / page.counts).repeat(page.counts)
    return found


def _live(policy: Policy, kernel: CompiledPolicy | None) -> _Step:
    def pmf(page: PageBatch) -> Floats:
        within = None if kernel is None else page.kernel_page
        return policy.pmf(page.batch) if kernel is None or within is None else kernel.probabilities(within)

    return _uniform if isinstance(policy, UniformPolicy) else pmf


def _step(policy: Policy) -> _Step:
    return lambda page: policy.pmf(page.batch)


def _default(page: PageBatch) -> Floats:
    return DefaultPolicy(page).pmf(page.batch)


def _climb_down(ladder: _Ladder, page: PageBatch, version: str) -> tuple[Floats, str]:
    """Take the first step of the ladder that gives probabilities, and its reason."""
    for reason, step in ladder:
        try:
            pmf = step(page)
        except (MarqueeError, ValueError, ArithmeticError, LookupError) as error:
            _log.error("policy failed", version=version, step=reason or "live", error=str(error))
            continue
        if is_pmf(pmf, page.offsets):
            return pmf, reason
        _log.error("policy gave no probabilities", version=version, step=reason or "live")
    raise AssertionError("the ladder's last step cannot fail")
