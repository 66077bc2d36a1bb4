"""The scorer as a running thing: answers pages, takes events, and keeps policy, catalogue and log in order."""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Any

import msgspec
import structlog

from models.error import BundleError, MarqueeError
from serving.answer import EventsAnswer, PageAnswer
from serving.background import Background
from serving.catalogue_index import CatalogueIndex
from serving.catalogue_refresh import CatalogueRefresh
from serving.chosen_page import ChosenPage, lines_of
from serving.event_log import EventLog
from serving.event_recovery import recover
from serving.group_commit import GroupCommit
from serving.late_features import LateFeatures
from serving.log_setup import REQUEST_ID, about_request
from serving.lookup import BudgetedLookup
from serving.metric import Metrics
from serving.pace import unhurried
from serving.policy import PolicySource, refuse_unusable
from serving.request import EventsRequest, PageRequest
from serving.scorer import UNIFORM_VERSION, Asked, Scorer
from serving.seldom import Seldom
from serving.settings import ScorerSettings
from serving.stage import Laps, Stage
from serving.status import Readiness, StoreState
from serving.together import Together

Clock = Callable[[], datetime]
_Waiting = tuple[Asked, str]
"""A page that waits for its group, and the id of its request."""

_TICK_SECONDS = 1.0
_LOOK_SECONDS = 0.1
"""How often a start that waits for a step looks whether the process is to end."""

_END_SECONDS = 2.0
"""What the end waits for steps under way: whatever they do, it can be done again."""

_LAST_RECOVERY_SECONDS = 3600.0
"""Between two looks at a log that cannot be recovered: it may have hundreds of thousands of files."""

_MOST_TOGETHER = 16
"""Pages decided at once: what costs once for all of them is little by then; of more, the first wait for the last."""

_MOST_TITLES_TOGETHER = 800
"""Titles decided at once, or those of one page: pages that come meanwhile wait for all of them."""

_log = structlog.get_logger(__name__)


class _Decided(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a page is answered with, and the laps that it went with others."""

    answer: PageAnswer
    laps: Laps


def utc_now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


class Service:
    """Everything behind the HTTP application, and its background work."""

    def __init__(
        self,
        settings: ScorerSettings,
        scorer: Scorer,
        policies: PolicySource,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self.settings = settings
        self.scorer = scorer
        self.metrics = Metrics()
        self._policies = policies
        self._clock = clock
        self._lookup = BudgetedLookup(scorer.features, budget_ms=settings.feature_budget_ms)
        self._refresh = CatalogueRefresh(settings.catalogue_path, scorer.features)
        self._log = GroupCommit(
            EventLog(
                settings.events_dir,
                segment_seconds=settings.segment_seconds,
                segment_bytes=settings.segment_bytes,
            ),
            budget_ms=settings.log_budget_ms,
            durability=settings.log_durability,
        )
        self.metrics.log_lag.set_function(self._log.lag_seconds)
        self._seldom = Seldom()
        self._together = Together(self._decide, most=_MOST_TOGETHER, weigh=_n_titles, heaviest=_MOST_TITLES_TOGETHER)
        self._tasks: list[asyncio.Task[None]] = []
        self._background = Background()
        self._is_ending = Event()
        self._is_recovered = False
        self.is_leaving = False
        """Whether the process was told to end, which a start under way gives way to."""

        self._told: dict[str, str] = {}

    async def page(self, request: PageRequest, laps: Laps | None = None) -> PageAnswer:
        """Answer a page once its decisions are durable; if they cannot be, answer what is never learned from.

        What is shown is then the fallback's and not the live policy's, under decision ids that no log holds: an
        impression of it joins nothing. What the live policy had drawn was shown to nobody, so that it matters not
        whether a torn disk kept it.
        """
        laps = laps or Laps()
        lookup = await self._lookup.look_up(request.profile_id, self._clock())
        laps.end(Stage.FEATURES)
        decided = await self._together.ask(((lookup, request), REQUEST_ID.get("")))
        laps.went_along(decided.laps, Stage.SCORE)
        return decided.answer

    async def _decide(self, waiting: Sequence[_Waiting]) -> Sequence["_Decided | BaseException"]:
        """Decide pages that wait together; where that fails, each alone, so that none is harmed by the others."""
        try:
            return await self._decided(waiting)
        except Exception as error:
            if len(waiting) == 1:
                raise
            if self._seldom.is_due(("group", type(error))):
                _log.exception("pages could not be decided together", n_pages=len(waiting))
        # What the log may hold of the group was shown to nobody.
        alone = await asyncio.gather(*[self._decided([each]) for each in waiting], return_exceptions=True)
        return [each if isinstance(each, BaseException) else each[0] for each in alone]

    async def _decided(self, waiting: Sequence[_Waiting]) -> list["_Decided"]:
        """Decide pages at one moment, under one version, with one write to the log."""
        laps, at = Laps(), self._clock()
        asked = [each for each, _ in waiting]
        pages = self._chosen(asked, at, laps, [name for _, name in waiting]) if self._log.failure is None else None
        answers = None if pages is None else await self._logged(asked, pages, at, laps)
        if pages is None or answers is None:
            self.metrics.log_failures.inc(len(asked))
            pages = [self.scorer.choose_unlearned(*each, at, "log_unwritable", laps) for each in asked]
            answers = _answers(asked, pages, unlogged=True)
        self.metrics.decided([intent for page in pages for intent in page.intents])
        return [_Decided(answer, laps) for answer in answers]

    def _chosen(self, asked: Sequence[Asked], at: datetime, laps: Laps, request_ids: Sequence[str]) -> list[ChosenPage]:
        """Choose for pages; for one alone by its titles' defaults where nothing else can."""
        try:
            return self.scorer.choose_all(asked, at, laps, request_ids)
        except Exception as error:
            if len(asked) > 1:
                raise
            if self._seldom.is_due(("page", type(error))):
                with about_request(request_ids[0]):
                    _log.exception("page decided by its titles' defaults")
        return [self.scorer.choose_default(*asked[0], at, laps)]

    async def _logged(
        self, asked: Sequence[Asked], pages: Sequence[ChosenPage], at: datetime, laps: Laps
    ) -> list[PageAnswer] | None:
        """Log pages and tell their answers once they are durable; None if they cannot be."""
        try:
            durable = self._log.write_lines(lines_of(pages), at)
            answers = _answers(asked, pages)  # while the disk works
            await durable
        except OSError:
            return None
        finally:
            laps.end(Stage.LOG)
        return answers

    async def events(self, request: EventsRequest) -> EventsAnswer:
        """Accept events once they are durable. Repeated ones are logged again and counted once, by whoever reads.

        Raises:
            OSError: if the log cannot be written; the client is to send them again.
        """
        received_at = self._clock()
        events = request.stamped(received_at)
        try:
            await self._log.append(events, received_at)
        except OSError:
            self.metrics.log_failures.inc()
            raise
        self.metrics.events.inc(len(events))
        return EventsAnswer(accepted=len(events))

    def readiness(self) -> Readiness:
        """Tell whether pages can be logged, and what else is known."""
        policy, index, features = self.scorer.policy, self.scorer.index, self.scorer.features
        failure = self._log.failure
        return Readiness(
            ready=failure is None,
            log="ok" if failure is None else f"not writable: {failure.strerror or failure}",
            features=features.state if isinstance(features, LateFeatures) else StoreState.OK,
            catalogue=self._refresh.state,
            policy_version=UNIFORM_VERSION if policy is None else policy.version,
            n_titles=len(index.titles),
            n_artworks=len(index.artwork_row),
        )

    async def start(self, *, freeze: bool = False) -> None:
        """Close what a crash left, load catalogue and policy, and begin the background work.

        Whatever a step meets is counted and logged, and the step is done again beside the pages; what takes longer than
        `start_seconds` goes on beside them. With `freeze`, what has been loaded is never looked at by the garbage
        collector again: its pauses are what the slowest pages wait for.
        """
        first = self._background.begin
        await self._in_time("recovery", first("recovery", self.recover))
        await self._in_time("catalogue", first("catalogue", self._refresh_frozen if freeze else self.refresh))
        await self._in_time("policy", first("policy", self.poll_policy))
        await self._probe_log()
        if freeze:
            gc.collect()
            gc.freeze()
        refresh = self._refresh_frozen if freeze else self.refresh
        self._tasks = [
            asyncio.create_task(self._every(self.settings.policy_poll_seconds, "policy", self.poll_policy)),
            asyncio.create_task(
                self._every(self.settings.feature_refresh_seconds, "catalogue", lambda: self._unhurried(refresh))
            ),
            asyncio.create_task(self._until_recovered()),
            asyncio.create_task(self._tick()),
        ]

    async def _in_time(self, of: str, doing: "asyncio.Future[Any]") -> bool:
        """Wait for a step of the start, but no longer than a start may take, nor once the process is to end."""
        seconds = self.settings.start_seconds
        end = time.monotonic() + seconds
        while not doing.done() and not self.is_leaving:
            left = end - time.monotonic()
            if left <= 0:
                self.metrics.refresh_failures.labels(of).inc()
                _log.warning("started without it: it goes on beside the pages", of=of, after_seconds=seconds)
                break
            await asyncio.wait([doing], timeout=min(left, _LOOK_SECONDS))
        return doing.done()

    async def _probe_log(self) -> None:
        try:
            self._log.failure = await self._log.probe()
        except Exception as error:
            self.metrics.refresh_failures.labels("log").inc()
            self._log.failure = OSError(None, f"the event log failed: {error!r}")
        self._note_log_state()

    async def stop(self) -> None:
        """End the background work and close the open segment; what hangs is not waited for."""
        self._is_ending.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._background.settle(_END_SECONDS)
        self._lookup.close()
        closing = asyncio.ensure_future(self._log.close())
        await asyncio.wait([closing], timeout=self.settings.log_budget_ms / 1000 + _END_SECONDS)
        if closing.done():
            closing.result()
        else:
            _log.error("event log not closed: a recovery does it")

    def recover(self) -> None:
        """Close what a crash left of the log, unless that is done. Blocks.

        What this process writes is left alone, as it is by every recovery: its writer holds a lock.
        """
        if not self._is_recovered:
            self._is_recovered = self._attempt("recovery", lambda: recover(self.settings.events_dir))

    def refresh(self) -> None:
        """Read the catalogue and all title and artwork vectors again; keep what there is if that fails. Blocks.

        A scorer that has no title yet does not wait for the feature store: artworks are chosen among, cold, until then.
        """
        is_there = bool(self.scorer.index.titles) or self._attempt("catalogue", self._take_bare)
        self._open_features()
        if is_there:
            self._attempt("catalogue", self._take_index)

    def _take_bare(self) -> None:
        self._take(self._refresh.build_bare())

    def _take_index(self) -> None:
        self._take(self._refresh.build())

    def _take(self, index: CatalogueIndex) -> None:
        if index is self.scorer.index:
            return
        self.scorer.index = index
        if n_refused := index.n_refused_vectors:
            _log.warning("vectors refused, served as zeros", n_vectors=n_refused)

    def _open_features(self) -> None:
        features = self.scorer.features
        if not isinstance(features, LateFeatures):
            return
        features.try_open()
        if features.detail and self._told.get("features") != features.detail:
            _log.warning("no feature store", state=features.state, why=features.detail)
        self._told["features"] = features.detail

    def _refresh_frozen(self) -> None:
        """Refresh, and keep the garbage collector off a new catalogue too: looking it through stops every page."""
        before = self.scorer.index
        self.refresh()
        if self.scorer.index is not before:
            gc.collect(1)  # what is young and unreachable would never be freed
            gc.freeze()

    def _unhurried(self, step: Callable[[], None]) -> None:
        with unhurried(self._is_ending):
            step()

    def poll_policy(self) -> None:
        """Take the live policy if it changed and can be trusted; keep the one in force otherwise. Blocks."""

        def swap() -> None:
            began = time.perf_counter()
            loaded = self._policies.poll()
            if loaded is None:
                return
            try:
                refuse_unusable(loaded)
                self.scorer.policy = loaded
            except Exception:
                self._policies.take_back()
                raise
            self._told.pop("bundle", "")
            self.metrics.policy_swaps.inc()
            self.metrics.swap_seconds.observe(time.perf_counter() - began)
            _log.info("policy in force", version=loaded.version)

        try:
            self._attempt("policy", swap)
        except BundleError as error:
            if self._told.get("bundle") != str(error):
                self.metrics.bundles_refused.inc()
                _log.error("bundle refused", error=str(error))
            self._told["bundle"] = str(error)

    def _attempt(self, of: str, step: Callable[[], object]) -> bool:
        """Do a step that may fail and is tried again later: failures are counted, and logged when they change.

        Returns: whether it succeeded.
        """
        try:
            step()
        except BundleError:
            raise
        except Exception as error:
            # The boundary to stores and files, and to the clients of both, which raise what they like.
            self.metrics.refresh_failures.labels(of).inc()
            why = str(error) if isinstance(error, (MarqueeError, OSError)) else repr(error)
            if self._told.get(of) != why:
                _log.warning("kept what there is", of=of, error=why)
            self._told[of] = why
            return False
        self._told.pop(of, "")
        return True

    async def _every(self, seconds: float, of: str, step: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._background.do(of, step)

    async def _until_recovered(self) -> None:
        seconds = self.settings.feature_refresh_seconds
        while not self._is_recovered:
            await asyncio.sleep(seconds)
            await self._background.do("recovery", self.recover)
            seconds = min(2 * seconds, _LAST_RECOVERY_SECONDS)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(min(_TICK_SECONDS, self.settings.segment_seconds))
            try:
                await self._log.tick(self._clock())
            except Exception:
                # Whatever it was: a log that nobody ticks is never well again.
                _log.exception("tick of the event log failed")
            self._note_log_state()

    def _note_log_state(self) -> None:
        failure = self._log.failure
        self.metrics.ready.set(failure is None)
        if failure is None and self._told.pop("log", ""):
            _log.info("event log can be written again")
        elif failure is not None and self._told.get("log") != str(failure):
            self._told["log"] = str(failure)
            _log.error("event log cannot be written", error=str(failure))


def _n_titles(waiting: _Waiting) -> int:
    (_, request), _ = waiting
    return len(request.titles)


def _answers(asked: Sequence[Asked], pages: Sequence[ChosenPage], *, unlogged: bool = False) -> list[PageAnswer]:
    each = zip(pages, asked, strict=True)
    return [page.answer(explain=request.explain, unlogged=unlogged) for page, (_, request) in each]
