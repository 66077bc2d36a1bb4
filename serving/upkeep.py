"""What a scorer does beside its pages: its start, catalogue, vectors and policy read anew, and the log kept well."""

import asyncio
import gc
import time
from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Any

import structlog

from models.error import BundleError, MarqueeError
from serving.background import Background
from serving.catalogue_index import CatalogueIndex
from serving.catalogue_refresh import CatalogueRefresh
from serving.event_recovery import recover
from serving.group_commit import LOG_FAILED, GroupCommit
from serving.late_features import LateFeatures
from serving.metric import Metrics
from serving.pace import unhurried
from serving.policy import PolicySource, refuse_unusable
from serving.scorer import Scorer
from serving.settings import ScorerSettings
from serving.status import CatalogueState

_TICK_SECONDS = 1.0
_LOOK_SECONDS = 0.1
"""How often a start that waits for a step looks whether the process is to end."""

_END_SECONDS = 2.0
"""What the end waits for steps under way: whatever they do, it can be done again."""

_LAST_RECOVERY_SECONDS = 3600.0
"""Between two looks at a log that cannot be recovered: it may have hundreds of thousands of files."""

_log = structlog.get_logger(__name__)


class Upkeep:
    """The background work of a scorer. Its steps block, may fail, and are done again."""

    def __init__(
        self,
        settings: ScorerSettings,
        scorer: Scorer,
        policies: PolicySource,
        log: GroupCommit,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self.is_leaving = False
        """Whether the process was told to end, which a start under way gives way to."""

        self._settings, self._scorer, self._policies = settings, scorer, policies
        self._event_log, self._metrics, self._clock = log, metrics, clock
        self._refresh = CatalogueRefresh(settings.catalogue_path, scorer.features)
        self._tasks: list[asyncio.Task[None]] = []
        self._background = Background()
        self._is_ending = Event()
        self._is_recovered = False
        self._told: dict[str, str] = {}

    @property
    def catalogue(self) -> CatalogueState:
        """How the last reading of the catalogue's file went."""
        return self._refresh.state

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
            asyncio.create_task(self._every(self._settings.policy_poll_seconds, "policy", self.poll_policy)),
            asyncio.create_task(
                self._every(self._settings.feature_refresh_seconds, "catalogue", lambda: self._unhurried(refresh))
            ),
            asyncio.create_task(self._until_recovered()),
            asyncio.create_task(self._tick()),
        ]

    async def _in_time(self, of: str, doing: "asyncio.Future[Any]") -> None:
        """Wait for a step of the start, but no longer than a start may take, nor once the process is to end."""
        seconds = self._settings.start_seconds
        end = time.monotonic() + seconds
        while not doing.done() and not self.is_leaving:
            left = end - time.monotonic()
            if left <= 0:
                self._metrics.refresh_failures.labels(of).inc()
                _log.warning("started without it: it goes on beside the pages", of=of, after_seconds=seconds)
                break
            await asyncio.wait([doing], timeout=min(left, _LOOK_SECONDS))

    async def _probe_log(self) -> None:
        try:
            self._event_log.failure = await self._event_log.probe()
        except Exception:
            self._metrics.refresh_failures.labels("log").inc()
            self._event_log.failure = OSError(None, LOG_FAILED)
            _log.exception("probe of the event log failed")
        self._note_log_state()

    async def stop(self) -> None:
        """End the background work and close the open segment; what hangs is not waited for."""
        self._is_ending.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._background.settle(_END_SECONDS)
        closing = asyncio.ensure_future(self._event_log.close())
        await asyncio.wait([closing], timeout=self._settings.log_budget_ms / 1000 + _END_SECONDS)
        if closing.done():
            closing.result()
        else:
            _log.error("event log not closed: a recovery does it")

    def recover(self) -> None:
        """Close what a crash left of the log, unless that is done. Blocks.

        What this process writes is left alone, as it is by every recovery: its writer holds a lock.
        """
        if not self._is_recovered:
            self._is_recovered = self._attempt("recovery", lambda: recover(self._settings.events_dir))

    def refresh(self) -> None:
        """Read the catalogue and all title and artwork vectors again; keep what there is if that fails. Blocks.

        Neither waits for the other: an artwork that is withdrawn is not shown for want of a feature store, and one that
        is new is chosen among, cold, until its vector is read.
        """
        self._attempt("catalogue", lambda: self._take(self._refresh.read_file()))
        self._open_features()
        if self._scorer.index.titles:
            self._attempt("vectors", lambda: self._take(self._refresh.read_vectors()))

    def _take(self, index: CatalogueIndex) -> None:
        if index is self._scorer.index:
            return
        self._scorer.index = index
        if n_refused := index.n_refused_vectors:
            _log.warning("vectors refused, served as zeros", n_vectors=n_refused)

    def _open_features(self) -> None:
        features = self._scorer.features
        if not isinstance(features, LateFeatures):
            return
        features.try_open()
        if features.detail and self._told.get("features") != features.detail:
            _log.warning("no feature store", state=features.state, why=features.detail)
        self._told["features"] = features.detail

    def _refresh_frozen(self) -> None:
        """Refresh, and keep the garbage collector off a new catalogue too: looking it through stops every page."""
        gc.collect()  # what is unreachable by now would be kept for good; what was frozen before is not looked at
        before = self._scorer.index
        self.refresh()
        if self._scorer.index is not before:
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
                self._scorer.policy = loaded
            except Exception:
                self._policies.take_back()
                raise
            self._told.pop("bundle", "")
            self._metrics.policy_swaps.inc()
            self._metrics.swap_seconds.observe(time.perf_counter() - began)
            _log.info("policy in force", version=loaded.version)

        try:
            self._attempt("policy", swap)
        except BundleError as error:
            if self._told.get("bundle") != str(error):
                self._metrics.bundles_refused.inc()
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
            self._metrics.refresh_failures.labels(of).inc()
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
        seconds = self._settings.feature_refresh_seconds
        while not self._is_recovered:
            await asyncio.sleep(seconds)
            await self._background.do("recovery", self.recover)
            seconds = min(2 * seconds, _LAST_RECOVERY_SECONDS)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(min(_TICK_SECONDS, self._settings.segment_seconds))
            try:
                await self._event_log.tick(self._clock())
            except Exception:
                # Whatever it was: a log that nobody ticks is never well again.
                _log.exception("tick of the event log failed")
            self._note_log_state()

    def _note_log_state(self) -> None:
        failure = self._event_log.failure
        self._metrics.ready.set(failure is None)
        if failure is None and self._told.pop("log", ""):
            _log.info("event log can be written again")
        elif failure is not None and self._told.get("log") != str(failure):
            self._told["log"] = str(failure)
            _log.error("event log cannot be written", error=str(failure))
