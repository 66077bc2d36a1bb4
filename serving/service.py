"""The scorer as a running thing: answers pages, and takes events."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from serving.answer import EventsAnswer, PageAnswer
from serving.chosen_page import ChosenPage, lines_of
from serving.event_log import EventLog
from serving.group_commit import LOG_FAILED, GroupCommit
from serving.late_features import LateFeatures
from serving.log_setup import REQUEST_ID, about_request
from serving.lookup import BudgetedLookup
from serving.metric import Metrics
from serving.policy import PolicySource
from serving.request import EventsRequest, PageRequest
from serving.scorer import UNIFORM_VERSION, Asked, Scorer
from serving.seldom import Seldom
from serving.settings import ScorerSettings
from serving.stage import Laps, Stage
from serving.status import Readiness, StoreState
from serving.together import Together
from serving.upkeep import Upkeep

Clock = Callable[[], datetime]
_Waiting = tuple[Asked, str]
"""A page that waits for its group, and the id of its request."""

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
    """Everything behind the HTTP application; `Upkeep` is its background work."""

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
        self._clock = clock
        self._lookup = BudgetedLookup(scorer.features, budget_ms=settings.feature_budget_ms)
        self._log = GroupCommit(
            EventLog(
                settings.events_dir,
                segment_seconds=settings.segment_seconds,
                segment_bytes=settings.segment_bytes,
            ),
            budget_ms=settings.log_budget_ms,
            durability=settings.log_durability,
            took=self.metrics.log_write_seconds.observe,
        )
        self.metrics.log_lag.set_function(self._log.lag_seconds)
        self._seldom = Seldom()
        self._together = Together(self._decide, most=_MOST_TOGETHER, weigh=_n_titles, heaviest=_MOST_TITLES_TOGETHER)
        self._upkeep = Upkeep(settings, scorer, policies, self._log, self.metrics, clock)

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
        state = features.state if isinstance(features, LateFeatures) else StoreState.OK
        if state is StoreState.OK and index.titles and not index.is_read:
            state = StoreState.UNREAD_YET
        return Readiness(
            ready=failure is None,
            log="ok" if failure is None else f"not writable: {failure.strerror or LOG_FAILED}",
            features=state,
            catalogue=self._upkeep.catalogue,
            policy_version=UNIFORM_VERSION if policy is None else policy.version,
            n_titles=len(index.titles),
            n_artworks=len(index.artwork_row),
        )

    async def start(self, *, freeze: bool = False) -> None:
        """Begin the background work as `Upkeep.start` does."""
        await self._upkeep.start(freeze=freeze)

    async def stop(self) -> None:
        """End the background work and close the open segment; what hangs is not waited for."""
        await self._upkeep.stop()
        self._lookup.close()

    def leave(self) -> None:
        """Hear that the process is to end: a start under way waits for nothing any more."""
        self._upkeep.is_leaving = True


def _n_titles(waiting: _Waiting) -> int:
    (_, request), _ = waiting
    return len(request.titles)


def _answers(asked: Sequence[Asked], pages: Sequence[ChosenPage], *, unlogged: bool = False) -> list[PageAnswer]:
    each = zip(pages, asked, strict=True)
    return [page.answer(explain=request.explain, unlogged=unlogged) for page, (_, request) in each]
