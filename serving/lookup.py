"""One profile's features within a budget: late, stale or broken rows count as missing, and the page says so."""

import asyncio
from datetime import datetime

import msgspec
import structlog

from models.error import ContractError
from models.identity import is_anonymous
from serving.daemon_threads import DaemonThreads
from serving.features import InMemoryFeatures, OnlineFeatures, ProfileFeatures, ProfileReader
from serving.seldom import Seldom

_log = structlog.get_logger(__name__)


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """A profile's features, None for a cold profile; `failure` tells in a word why they could not be read at all."""

    profile: ProfileFeatures | None = None
    failure: str = ""
    detail: str = ""


COLD = Lookup()


def look_up(features: OnlineFeatures, profile_id: str, at: datetime) -> Lookup:
    """Read a profile's features, however long it takes; whatever the store does, a page can be decided."""
    if is_anonymous(profile_id):
        return COLD
    try:
        return Lookup(features.profile(profile_id, at))
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> Lookup:
    """Say what failed. Behind a look-up is another process and its client: no error of theirs may fail a page."""
    if isinstance(error, ContractError):
        return Lookup(failure="features_invalid", detail=str(error))
    return Lookup(failure="features_unavailable", detail=repr(error))


class BudgetedLookup:
    """Reads profiles, on the event loop where the store can or in threads, and waits no longer than the budget.

    A store that hangs holds its threads; requests that queue behind them run out of their own budget and are answered
    without features, so that a dead store costs each page the budget and no more.
    """

    def __init__(self, features: OnlineFeatures, *, budget_ms: float, n_threads: int = 8) -> None:
        self._features = features
        self._budget_seconds = budget_ms / 1000
        self._threads = DaemonThreads(n_threads, "features")
        # What lies in memory answers at once: a hop to a thread would cost more than the look-up.
        self._inline = type(features) is InMemoryFeatures
        self._reader: ProfileReader | None = None
        self._seldom = Seldom()

    async def look_up(self, profile_id: str, at: datetime) -> Lookup:
        """Read a profile's features, or say why the page must do without."""
        if self._inline or is_anonymous(profile_id):
            found = look_up(self._features, profile_id, at)
        else:
            found = await self._read(profile_id, at)
        if found.failure and self._seldom.is_due():
            _log.warning("page without features", why=found.failure, detail=found.detail)
        return found

    async def _read(self, profile_id: str, at: datetime) -> Lookup:
        try:
            # A store that comes late has a reader once it is open, and keeps it.
            self._reader = self._reader or self._features.profile_reader(self._budget_seconds)
            if self._reader is not None:
                return Lookup(await self._reader.profile(profile_id, at))
        except TimeoutError:
            return Lookup(failure="features_timeout")
        except Exception as error:
            return _failed(error)
        return await self._in_thread(profile_id, at)

    async def _in_thread(self, profile_id: str, at: datetime) -> Lookup:
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, look_up, self._features, profile_id, at)
            return await asyncio.wait_for(reading, self._budget_seconds)
        except TimeoutError:
            return Lookup(failure="features_timeout")
        except RuntimeError as error:  # there is no thread
            return _failed(error)

    def close(self) -> None:
        """Let the threads end; one that hangs is not waited for."""
        if self._reader is not None:
            self._reader.close()
        self._threads.shutdown(cancel_futures=True)
