"""Answers for caches ahead of the balancer: every active profile × every title, drawn as the live scorer draws them.

The same policy, features, context and stickiness epoch give the same artwork and propensity bit for bit, cached or
live. A title is decided by itself, on row 0 and column 0: nobody knows yet on which page it will be seen, and so there
can be no page rules. Decisions go to the event log like any other, as `live`: impressions that a cache causes name them
with the delivery `cached`. They are durable before the file of answers appears.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from models.error import ContractError, FeatureUnavailableError, NotReadyError
from models.interval import Interval
from pipelines.settings import Settings
from serving.catalogue_refresh import CatalogueRefresh
from serving.chosen_page import ChosenPage, lines_of
from serving.event_log import EventLog
from serving.features import OnlineFeatures
from serving.lookup import look_up
from serving.policy_source import BundlePolicySource
from serving.request import AskedContext, AskedTitle, PageRequest
from serving.scorer import Scorer

SCHEMA: Final = pa.schema([
    ("profile_id", pa.string()),
    ("title_id", pa.string()),
    ("artwork_id", pa.string()),
    ("decision_id", pa.string()),
    ("propensity", pa.float64()),
    ("intent", pa.string()),
])
_TITLES_A_PAGE: Final = 100
_PAGES_TOGETHER: Final = 4
_PAGES_A_WRITE: Final = 200
"""Pages held in memory at a time, as lines and as rows."""


@dataclass(frozen=True, slots=True)
class Precomputed:
    """What was written, and what it holds for: one version, until the epoch ends."""

    path: str
    policy_version: str
    epoch: int
    n_profiles: int
    n_decisions: int


def precompute(
    settings: Settings,
    path: Path,
    context: AskedContext,
    clock: Callable[[], datetime],
    *,
    features: OnlineFeatures,
    profile_ids: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Precomputed:
    """Decide every title for every profile and replace the file at `path` in one step.

    Args: context, whose hour and day must be given: live requests have them too; clock, what each page is decided at;
    profile_ids, all that have features within their time to live where none are given; progress, told the
    decisions done. Memory is bounded: a few hundred pages are held at a time.

    Raises:
        ContractError: if no policy is published, page rules are on, or the context leaves hour or day open.
        FeatureUnavailableError: if a profile cannot be read.
        NotReadyError: if the epoch ended before all was decided; what was logged stays, the file is as it was.
    """
    if settings.repeated_motif_factor < 1.0:
        raise ContractError("titles are precomputed one by one: page rules (repeated_motif_factor) must be off, 1")
    if context.local_hour is None or context.day_of_week is None:
        raise ContractError("local_hour and day_of_week must be given: an answer for all hours would be for none")
    scorer = _scorer(settings, features)
    run = _Run(settings, scorer, context, clock)
    log = EventLog(settings.events_dir / "precomputed", segment_bytes=settings.segment_bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with draft.open("wb") as file:
            with pq.ParquetWriter(file, SCHEMA) as answers:
                for pages in _grouped(run, profile_ids):
                    log.append_parts((lines_of(list(group)), at) for at, group in groupby(pages, key=attrgetter("at")))
                    rows = [row for page in pages for row in _rows(page)]
                    answers.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
                    if progress:
                        progress(run.n_decisions)
            file.flush()
            os.fsync(file.fileno())
        log.close()
        draft.replace(path)
    except BaseException:
        with suppress(OSError):  # what failed first is what is told; a recovery closes a segment that cannot be closed
            log.close()
        raise
    finally:
        draft.unlink(missing_ok=True)
    return Precomputed(str(path), run.version, run.epoch, run.n_profiles, run.n_decisions)


class _Run:
    """One run: all its pages are of one version and one epoch."""

    def __init__(
        self, settings: Settings, scorer: Scorer, context: AskedContext, clock: Callable[[], datetime]
    ) -> None:
        self.n_profiles = self.n_decisions = 0
        self.version = scorer.policy.version if scorer.policy else ""
        self._settings, self._scorer, self._context, self._clock = settings, scorer, context, clock
        self._began_at = clock()
        self.epoch = scorer.epoch(self._began_at)
        ids = list(scorer.index.titles)
        self._titles = [
            tuple(AskedTitle(title_id=name, column=0) for name in ids[first : first + _TITLES_A_PAGE])
            for first in range(0, len(ids), _TITLES_A_PAGE)
        ]

    def profiles(self) -> Iterator[str]:
        """Stream the profiles that have features within their time to live."""
        parts = self._settings.features_dir / "profile_taste" / "*" / "part.parquet"
        since = self._began_at - timedelta(hours=self._settings.profile_ttl_hours)
        if not any(parts.parents[1].glob("*/part.parquet")):
            return
        with duckdb.connect() as database:
            asked = database.execute(
                "SELECT DISTINCT profile_id FROM read_parquet(?) WHERE event_timestamp >= ? ORDER BY profile_id",
                [str(parts), since],
            )
            while rows := asked.fetchmany(10_000):
                yield from (profile_id for (profile_id,) in rows)

    def pages(self, profile_id: str) -> Iterator[ChosenPage]:
        """Decide all titles for one profile."""
        lookup = look_up(self._scorer.features, profile_id, self._clock())
        if lookup.failure:
            raise FeatureUnavailableError(f"{lookup.failure} of profile {profile_id!r}: {lookup.detail}")
        self.n_profiles += 1
        for first in range(0, len(self._titles), _PAGES_TOGETHER):
            at = self._clock()
            if self._scorer.epoch(at) != self.epoch:
                raise NotReadyError(f"epoch {self.epoch} ended while its answers were made: begin again")
            asked = [
                (lookup, PageRequest(profile_id=profile_id, titles=titles, context=self._context))
                for titles in self._titles[first : first + _PAGES_TOGETHER]
            ]
            self.n_decisions += sum(len(request.titles) for _, request in asked)
            for number, page in enumerate(self._scorer.choose_all(asked, at), first):
                yield page.named(self._page_id(page, number))

    def _page_id(self, page: ChosenPage, number: int) -> str:
        """Make an id of what was decided: whoever decides the same again in the interval writes the same decisions.

        What was chosen, and how probably, belongs to it: features may have moved since an earlier run, and a decision
        id must never stand for two choices.
        """
        interval = Interval.containing(page.at, self._settings.interval_hours).key
        what = (self.version, self.epoch, interval, page.page.request.profile_id, number, self._context)
        choices = (page.artwork_ids, page.propensities, page.intents)
        return f"pre{blake2b(msgspec.json.encode((what, choices)), digest_size=14).hexdigest()}"


def _scorer(settings: Settings, features: OnlineFeatures) -> Scorer:
    loaded = BundlePolicySource(settings.policies_url).poll()
    if loaded is None:
        raise ContractError(f"no policy is published at {settings.policies_url}: there is nothing to decide by")
    index = CatalogueRefresh(settings.catalogue_path, features).build()
    return Scorer(settings, features, index=index, policy=loaded)


def _grouped(run: _Run, profile_ids: Sequence[str] | None) -> Iterator[list[ChosenPage]]:
    pages: list[ChosenPage] = []
    for profile_id in run.profiles() if profile_ids is None else profile_ids:
        for page in run.pages(profile_id):
            pages.append(page)
            if len(pages) == _PAGES_A_WRITE:
                yield pages
                pages = []
    if pages:
        yield pages


def _rows(page: ChosenPage) -> Iterator[dict[str, object]]:
    names = SCHEMA.names[1:]
    for row in zip(
        page.page.title_ids, page.artwork_ids, page.decision_ids, page.propensities, page.intents, strict=True
    ):
        yield {"profile_id": page.page.request.profile_id, **dict(zip(names, row, strict=True))}
