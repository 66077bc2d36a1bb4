"""The Upworthy Research Archive as an event log: each aggregated impression one page of one decision.

A test is a title and its packages are the title's artworks. Visitors of a test were assigned to its K packages alike,
so that every propensity is 1/K. The archive counts by package and week alone: impressions are spread evenly over the
test's week, in an order that is random and, for one seed, always the same.

Source: Matias, Munger, Aubin Le Quere, Ebersole, "The Upworthy Research Archive", Scientific Data 2021.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.catalogue import Artwork, Catalogue, Title
from models.decision import Cell, Decision, Page, RequestContext
from models.error import ContractError
from models.event import encode_lines
from models.identity import ANONYMOUS_PREFIX, hash64
from models.layout import FEATURE_SERVICE
from models.moment import EARLIEST, LATEST
from pipelines.import_log import Imported, Progress, StagedLog, import_events, seen_page
from pipelines.settings import Settings

_COLUMNS = {
    "test_id": pa.string(),
    "test_week": pa.int64(),
    "headline": pa.string(),
    "eyecatcher_id": pa.string(),
    "impressions": pa.int64(),
    "clicks": pa.int64(),
}
_REQUIRED = ("test_id", "test_week", "impressions", "clicks")
_CLICK_MINUTES = 60.0
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Test:
    """One test: the counts of its K packages, in the order of the file."""

    test_id: str
    week: int
    headline: str
    eyecatcher_ids: tuple[str, ...]
    impressions: NDArray[np.int64]
    clicks: NDArray[np.int64]

    @property
    def title_id(self) -> str:
        return f"upworthy-{self.test_id}"

    @property
    def artwork_ids(self) -> tuple[str, ...]:
        return tuple(f"{self.title_id}-{package}" for package in range(len(self.eyecatcher_ids)))


def import_upworthy(
    settings: Settings,
    path: Path,
    *,
    max_impressions_per_title: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Imported:
    """Bring packages.parquet at `path` into the event log and the catalogue; the same again is a no-op.

    Args:
        path: the file, or the folder that holds it.
        max_impressions_per_title: of larger tests only so many impressions come in, a random sample: shares and click
            rates are those of the archive in expectation, whatever the bound.
        seed: which random sample, and which random order.
        progress: told how many decisions are done by now.

    Raises:
        ContractError: naming file, row and column of what is malformed, or a test that is there already from another
            file, scale or seed. Nothing is changed then.
        NotReadyError: if another import is running.
    """
    if max_impressions_per_title is not None and max_impressions_per_title < 1:
        raise ContractError(f"max_impressions_per_title must be at least 1, got {max_impressions_per_title}")
    file = path / "packages.parquet" if path.is_dir() else path
    table = _read(file)
    digest = blake2b(f"{max_impressions_per_title} {seed}".encode(), digest_size=8)
    digest.update(file.read_bytes())
    tests = _tests(file, table)
    if max_impressions_per_title is not None:
        tests = [_sampled(test, max_impressions_per_title, seed) for test in tests]
    content, sources = digest.hexdigest(), [test.title_id for test in tests]
    stage = partial(_stage, tests, content, seed, progress)
    return import_events(settings, content, "upworthy", sources, stage)


def week_bounds(week: int) -> tuple[datetime, datetime]:
    """Find [start, end) of a week as YYYYWW: weeks begin on Sunday, and week 00 is what lies before the first one.

    So do the archive's own weeks: the time in its test ids agrees for 98 % of them. Week 53, and 00, are cut at the
    year's end and beginning, unless nothing is left of them: then they are the whole week next to it.

    Raises:
        ContractError: if there is no such week.
    """
    year, number = divmod(week, 100)
    if not (EARLIEST.year <= year < LATEST.year and 0 <= number <= 53):
        expected = f"YYYYWW with YYYY in {EARLIEST.year}..{LATEST.year - 1} and WW in 00..53"
        raise ContractError(f"test_week must be {expected}, got {week}")
    new_year, next_year = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    first_sunday = new_year + timedelta(days=6 - new_year.weekday())
    start_at = first_sunday + (number - 1) * _WEEK
    cut = max(start_at, new_year), min(start_at + _WEEK, next_year)
    found = cut if cut[0] < cut[1] else (start_at, start_at + _WEEK)
    if found[0] < EARLIEST or found[1] > LATEST:
        raise ContractError(f"a week must lie between {EARLIEST.year} and {LATEST.year}, got {week}")
    return found


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise ContractError(f"cannot read {path} as parquet: {error}") from error
    for name, kind in _COLUMNS.items():
        if name not in table.schema.names:
            raise ContractError(f"{path}, column {name}: expected {kind}, found no such column")
        try:
            table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractError(f"{path}, column {name}: expected {kind}, got {table[name].type}: {error}") from error
    return table.select(list(_COLUMNS))


def _tests(path: Path, table: pa.Table) -> list[_Test]:
    rows: dict[str, list[dict[str, object]]] = {}
    for number, row in enumerate(table.to_pylist()):
        for column in _REQUIRED:
            if row[column] is None or row[column] == "":
                raise ContractError(f"{path}, row {number}, column {column}: expected a value, got {row[column]!r}")
        if row["impressions"] < 0:
            raise ContractError(
                f"{path}, row {number}, column impressions: expected at least 0, got {row['impressions']}"
            )
        if not 0 <= row["clicks"] <= row["impressions"]:
            expected = f"expected 0 to {row['impressions']}, the impressions, got {row['clicks']}"
            raise ContractError(f"{path}, row {number}, column clicks: {expected}")
        try:
            week_bounds(row["test_week"])
        except ContractError as error:
            raise ContractError(f"{path}, row {number}, column test_week: {error}") from error
        rows.setdefault(row["test_id"], []).append(row)
    return [_test(name, packages) for name, packages in sorted(rows.items())]


def _test(test_id: str, packages: list[dict[str, object]]) -> _Test:
    def counts(column: str) -> NDArray[np.int64]:
        return np.array([row[column] for row in packages], dtype=np.int64)

    return _Test(
        test_id=test_id,
        week=int(counts("test_week").min()),
        headline=str(packages[0]["headline"] or ""),
        eyecatcher_ids=tuple(str(row["eyecatcher_id"] or "") for row in packages),
        impressions=counts("impressions"),
        clicks=counts("clicks"),
    )


def _sampled(test: _Test, most: int, seed: int) -> _Test:
    """Draw `most` of a test's impressions without replacement, its clicks among them."""
    if test.impressions.sum() <= most:
        return test
    rng = np.random.default_rng([seed, hash64(test.test_id), most])
    impressions = rng.multivariate_hypergeometric(test.impressions, most)
    clicks = rng.hypergeometric(test.clicks, test.impressions - test.clicks, impressions)
    return _Test(test.test_id, test.week, test.headline, test.eyecatcher_ids, impressions, clicks)


def _stage(
    tests: list[_Test], content: str, seed: int, progress: Progress | None, log: StagedLog
) -> tuple[Catalogue, int, int]:
    n_decisions = n_plays = 0
    for test in tests:
        for page, clicked in _pages(test, content, seed):
            log.add(page.decided_at, encode_lines(seen_page(page, clicked=clicked, minutes=_CLICK_MINUTES)))
        n_decisions += int(test.impressions.sum())
        n_plays += int(test.clicks.sum())
        if progress is not None:
            progress(n_decisions)
    launched = {test.test_id: week_bounds(test.week)[0] for test in tests}
    titles = [Title(test.title_id, launched[test.test_id], name=test.headline) for test in tests]
    artworks = [
        Artwork(artwork_id, test.title_id, launched[test.test_id], motif=motif)
        for test in tests
        for artwork_id, motif in zip(test.artwork_ids, test.eyecatcher_ids, strict=True)
    ]
    return Catalogue(titles, artworks), n_decisions, n_plays


def _pages(test: _Test, content: str, seed: int) -> Iterator[tuple[Page, bool]]:
    n_packages, n_impressions = len(test.impressions), int(test.impressions.sum())
    package = np.repeat(np.arange(n_packages), test.impressions)
    nth = np.arange(n_impressions) - np.repeat(np.cumsum(test.impressions) - test.impressions, test.impressions)
    is_click = nth < test.clicks[package]
    order = np.random.default_rng([seed, hash64(test.test_id)]).permutation(n_impressions)
    start_at, end_at = week_bounds(test.week)
    step_microseconds = (end_at - start_at) / timedelta(microseconds=1) / max(n_impressions, 1)
    moments = ((np.arange(n_impressions) + 0.5) * step_microseconds).astype(np.int64)
    actions = test.artwork_ids
    rows = zip(package[order].tolist(), is_click[order].tolist(), moments.tolist(), strict=True)
    for number, (chosen, clicked, moment) in enumerate(rows):
        name = f"{test.title_id}-{content}-{number}"
        decision = Decision(
            decision_id=name,
            title_id=test.title_id,
            artwork_id=actions[chosen],
            actions=actions,
            propensity=1.0 / n_packages,
        )
        page = Page(
            page_id=name,
            decided_at=start_at + timedelta(microseconds=moment),
            profile_id=ANONYMOUS_PREFIX + name,
            policy_version="upworthy-random",
            cell=Cell.UNIFORM,
            epoch=0,
            feature_service=FEATURE_SERVICE,
            context=RequestContext(),
            decisions=(decision,),
        )
        yield page, clicked
