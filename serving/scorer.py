"""Decides pages: candidates, probabilities, draw and record. Knows neither HTTP nor files."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import msgspec
import numpy as np
import structlog

from models.assignment import in_uniform_cell
from models.batch import Floats
from models.catalogue import Catalogue
from models.decision import Cell, Page
from models.draw import draw, gumbel
from models.epoch import Epochs
from models.identity import keys_of
from models.kernel import CompiledPolicy
from models.kernel_shape import compiled, hold_to_policy
from models.policy import UniformPolicy
from models.shape import SHAPES
from serving.catalogue_index import CatalogueIndex, build_index, microseconds
from serving.chosen_page import ChosenPage, chosen_pages
from serving.features import InMemoryFeatures, OnlineFeatures
from serving.ladder import DefaultPolicy, Ladder, climb_down, ladder_of, tried, uniform, unlearned_ladder
from serving.log_setup import about_request
from serving.lookup import Lookup, look_up
from serving.page_batch import PageBatch, build_page_batch
from serving.page_id import PageIds, page_ids
from serving.page_rule import draw_in_turn
from serving.policy import LoadedPolicy
from serving.request import PageRequest
from serving.seldom import Seldom
from serving.settings import ScorerSettings
from serving.stage import Laps, Stage
from serving.status import VECTORS_UNAVAILABLE

UNIFORM_VERSION = "uniform"
DEFAULT_VERSION = "default"
Asked = tuple[Lookup, PageRequest]
_NOBODY = nullcontext()
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _InForce:
    """What pages are decided by; a group takes it once, and so is decided under one version from first to last title.

    `ladder` has the steps of the policy; None where there is none, or it is uniform: that knows no step and no rule.
    """

    index: CatalogueIndex
    policy: LoadedPolicy | None
    kernel: CompiledPolicy | None
    ladder: Ladder | None


class _Group(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Pages that are decided together: which of those asked they are, and their cells."""

    places: list[int]
    is_uniform: bool
    cells: list[Cell]


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
        self._replacing, self._seldom = Lock(), Seldom()
        self._in_force = _in_force(index or build_index(Catalogue((), ()), InMemoryFeatures()), policy)
        self._new_page_id = new_page_id or page_ids()
        self._uniform_share = settings.uniform_cell_share
        self._motif_factor = settings.repeated_motif_factor
        self._epochs = Epochs.of(settings.stickiness_hours, settings.stickiness_patience_hours)

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

    def epoch(self, at: datetime) -> int:
        """Tell the stickiness epoch, by number, that a page of this moment would be drawn in."""
        return self._epochs.at(microseconds(at), self.index.known_us)

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
        return self.choose_all([(lookup, request)], at, laps)[0]

    def choose_all(
        self, asked: Sequence[Asked], at: datetime, laps: Laps | None = None, request_ids: Sequence[str] = ()
    ) -> list[ChosenPage]:
        """Choose for several pages at one moment, all under one version; each is what `choose` makes of it alone.

        Args: asked, each page with its profile's features; at, aware UTC; laps, told how long scoring and drawing took;
        request_ids, each page's, named in log lines that are about it alone.

        Returns: the pages in the order in which they were asked for.
        """
        laps, now = laps or Laps(), self._in_force
        found: dict[int, ChosenPage] = {}
        groups = self._groups(asked, now)
        while groups:
            group = groups.pop()
            with about_request(request_ids[group.places[0]]) if request_ids and len(group.places) == 1 else _NOBODY:
                pages = self._group(group, [asked[place] for place in group.places], at, now, laps)
            if pages is None:
                # One page must not take others down with it: each climbs down the ladder by itself.
                alone = zip(group.places, group.cells, strict=True)
                groups += [_Group([place], group.is_uniform, [cell]) for place, cell in alone]
            else:
                found |= zip(group.places, pages, strict=True)
        return [found[place] for place in range(len(asked))]

    def choose_unlearned(
        self, lookup: Lookup, request: PageRequest, at: datetime, reason: str, laps: Laps | None = None
    ) -> ChosenPage:
        """Choose by the best known artwork, or the default alone: for a page that cannot be logged.

        Its propensities are as true as any, and say `fallback:<reason>`; but no log holds them, and so nothing that is
        reported of its decisions is ever joined, counted or learned from.
        """
        laps, now = laps or Laps(), self._in_force
        loaded = now.policy
        batch = build_page_batch([(request, lookup.profile)], now.index, at)
        version = DEFAULT_VERSION if loaded is None else loaded.version
        pmf, failure = climb_down(unlearned_ladder(loaded, reason), batch, version, self._seldom)
        laps.end(Stage.SCORE)
        verdict = _Verdict(version, [Cell.LIVE], pmf, [failure])
        return self._drawn(batch, [lookup], at, verdict, laps)[0]

    def choose_default(
        self, lookup: Lookup, request: PageRequest, at: datetime, laps: Laps | None = None
    ) -> ChosenPage:
        """Choose each title's default artwork, with probability 1: for a page that could not be decided otherwise."""
        laps, now = laps or Laps(), self._in_force
        (group,) = self._groups([(lookup, request)], now)
        batch = build_page_batch([(request, lookup.profile)], now.index, at)
        pmf = DefaultPolicy(batch).pmf(batch.batch)
        laps.end(Stage.SCORE)
        version = UNIFORM_VERSION if group.is_uniform or now.policy is None else now.policy.version
        return self._drawn(batch, [lookup], at, _Verdict(version, group.cells, pmf, ["best_failed"]), laps)[0]

    def _groups(self, asked: Sequence[Asked], now: _InForce) -> list[_Group]:
        """Tell which pages are decided together: those that are drawn uniformly, those of the live policy, or alone."""
        is_uniform = [False] * len(asked)
        if self._uniform_share > 0.0:
            keys = keys_of(request.profile_id for _, request in asked)
            is_uniform = in_uniform_cell(keys, self._uniform_share).tolist()
        cells = [Cell.UNIFORM if each else Cell.LIVE for each in is_uniform]
        places = list(range(len(asked)))
        if now.ladder is None:
            return [_Group(places, True, cells)]
        parts = [(each, [place for place in places if is_uniform[place] is each]) for each in (False, True)]
        return [_Group(part, each, [cells[place] for place in part]) for each, part in parts if part]

    def _group(
        self, group: _Group, asked: Sequence[Asked], at: datetime, now: _InForce, laps: Laps
    ) -> list[ChosenPage] | None:
        """Decide a group; None where its pages cannot be decided together."""
        is_alone, failure = len(asked) == 1, ""
        if not (is_alone or group.is_uniform or now.kernel is not None):
            return None  # sums of a policy itself may hang on what else is scored with a page
        batch = build_page_batch([(request, lookup.profile) for lookup, request in asked], now.index, at)
        pmf: Floats | None
        if now.ladder is None or now.policy is None or group.is_uniform:
            version, pmf = UNIFORM_VERSION, uniform(batch)
        else:
            version = now.policy.version
            if is_alone:
                pmf, failure = climb_down(now.ladder, batch, version, self._seldom)
            else:
                name, live = now.ladder[0]
                are_own = all(page.is_own for page in batch.pages)
                pmf = tried(live, batch, version, name or "live", self._seldom) if are_own else None
        laps.end(Stage.SCORE)
        if pmf is None:
            return None
        is_live = not (group.is_uniform or failure)
        guaranteed = _guaranteed(now, batch) if is_live and self._motif_factor < 1.0 else None
        unread = "" if now.index.is_read else VECTORS_UNAVAILABLE
        failures = [failure or lookup.failure or unread for lookup, _ in asked]
        return self._drawn(
            batch, [lookup for lookup, _ in asked], at, _Verdict(version, group.cells, pmf, failures, guaranteed), laps
        )

    def _drawn(
        self, batch: PageBatch, lookups: Sequence[Lookup], at: datetime, verdict: "_Verdict", laps: Laps
    ) -> list[ChosenPage]:
        epoch = self._epochs.at(microseconds(at), batch.index.known_us)
        epochs = np.full(len(batch), epoch, dtype=np.int64).view(np.uint64)
        pmf, keys = verdict.pmf, (batch.profile_keys, batch.title_keys, batch.artwork_keys, epochs)
        if verdict.guaranteed is None:
            chosen = draw(pmf, batch.offsets, *keys)
        else:
            noise, motifs = gumbel(batch.offsets, *keys), batch.index.motifs[batch.rows]
            chosen, pmf = draw_in_turn(
                pmf, verdict.guaranteed, noise, batch.offsets, motifs, self._motif_factor, firsts=batch.bounds[:-1]
            )
        found = chosen_pages(
            batch,
            pmf,
            chosen,
            [self._new_page_id(at) for _ in batch.pages],
            verdict.failures,
            verdict.cells,
            [bool(lookup.failure) for lookup in lookups],
            at=at,
            policy_version=verdict.version,
            epoch=epoch,
        )
        laps.end(Stage.DRAW)
        return found


class _Verdict(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a group is drawn from: `cells` and `failures` of each page, an empty word where there is none."""

    version: str
    cells: list[Cell]
    pmf: Floats
    failures: list[str]
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
        except Exception as error:
            # A kernel is a shortcut: whatever keeps it from being made, memory too, the policy itself can do without.
            kernel = None
            _log.error("policy not compiled", version=policy.version, error=str(error) or repr(error))
    is_uniform = policy is None or isinstance(policy.policy, UniformPolicy)
    return _InForce(index, policy, kernel, None if policy is None or is_uniform else ladder_of(policy, kernel))


def _guaranteed(now: _InForce, batch: PageBatch) -> Floats:
    """Give what each candidate has whatever it scores: `(m,)`."""
    policy = None if now.policy is None else now.policy.policy
    if not isinstance(policy, SHAPES):
        return np.zeros(len(batch.rows))
    launch = policy.exploration.launch
    is_new = None if launch is None else launch.is_new(batch.index.artwork_vectors[batch.rows])
    return policy.exploration.guaranteed(batch.offsets, is_new)
