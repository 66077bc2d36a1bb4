"""The Open Bandit Dataset as an event log: each row one page of one decision, its click a quality play.

A campaign is a title, its items are the title's artworks, and the three positions are columns. The data knows no
persons, so that every row is a profile of its own, seen once. Propensities are those of the data, never recomputed.

Source: Saito, Aihara, Matsutani, Narita, "Open Bandit Dataset and Pipeline", arXiv 2008.07146.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.catalogue import Artwork, Catalogue, Title
from models.decision import Cell, Decision, Page, RequestContext
from models.error import ContractError
from models.event import encode_lines
from models.identity import ANONYMOUS_PREFIX
from models.layout import FEATURE_SERVICE
from models.moment import EARLIEST, LATEST
from pipelines.csv_column import Piece, read_pieces
from pipelines.import_log import Imported, Progress, StagedLog, import_events, midnight, seen_page
from pipelines.settings import Settings

_CELLS = {"random": Cell.UNIFORM, "bts": Cell.LIVE}
_CAMPAIGNS = ("all", "men", "women")
_ITEMS = "item_context.csv"
_ITEM_FEATURES = ("item_feature_1", "item_feature_2", "item_feature_3")
_PLACE = ("user_feature_0", "user_feature_1", "user_feature_2")
_COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score", *_PLACE)
_TIME = pa.timestamp("us", tz="UTC")
_CLICK_MINUTES = 60.0


@dataclass(frozen=True, slots=True)
class _Campaign:
    """One logging policy's file of one campaign."""

    policy: str
    name: str
    log: Path
    items: Path

    @property
    def title_id(self) -> str:
        return f"obd-{self.name}"

    @property
    def log_name(self) -> str:
        """Name the log of this policy on this campaign."""
        return f"obd-{self.policy}-{self.name}"

    def artwork_id(self, item: int) -> str:
        return f"{self.title_id}-{item}"


def import_obd(settings: Settings, path: Path, *, progress: Progress | None = None) -> Imported:
    """Bring the data at `path` into the event log and the catalogue; the same data again is a no-op.

    Args:
        path: the dataset's root, a policy's folder (`random`, `bts`) or a campaign's folder in one.
        progress: told how many decisions are done by now.

    Raises:
        ContractError: naming file, line and column of what is malformed, or a log that is there already from other
            data. Nothing is changed then.
        NotReadyError: if another import is running.
    """
    campaigns = _find(path.resolve())
    content = _content_key(campaigns)
    sources = [campaign.log_name for campaign in campaigns]
    return import_events(settings, content, "obd", sources, lambda log: _stage(campaigns, content, log, progress))


def _find(path: Path) -> list[_Campaign]:
    if path.name in _CAMPAIGNS:
        folders = [path]
    elif path.name in _CELLS:
        folders = [path / name for name in _CAMPAIGNS]
    else:
        folders = [path / policy / name for policy in _CELLS for name in _CAMPAIGNS]
    found = [_Campaign(one.parent.name, one.name, one / f"{one.name}.csv", one / _ITEMS) for one in folders]
    found = [campaign for campaign in found if campaign.log.is_file()]
    if not found:
        raise ContractError(f"expected (random|bts)/(all|men|women)/<campaign>.csv at or below {path}, found none")
    for campaign in found:
        if campaign.policy not in _CELLS:
            raise ContractError(f"a campaign's folder must lie in random/ or bts/, got {campaign.log}")
        if not campaign.items.is_file():
            raise ContractError(f"expected the campaign's items at {campaign.items}, found none")
    return found


def _content_key(campaigns: Sequence[_Campaign]) -> str:
    digest = blake2b(digest_size=8)
    for campaign in campaigns:
        for path in (campaign.log, campaign.items):
            digest.update(f"\0{campaign.policy}/{campaign.name}/{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


def _stage(
    campaigns: Sequence[_Campaign], content: str, log: StagedLog, progress: Progress | None
) -> tuple[Catalogue, int, int]:
    titles: dict[str, Title] = {}
    artworks: dict[str, Artwork] = {}
    n_decisions = n_plays = 0
    for campaign in campaigns:
        styles = _read_items(campaign)
        first_at: datetime | None = None
        names = (f"{campaign.log_name}-{content}-{number}" for number in count())
        for piece in read_pieces(campaign.log, _COLUMNS):
            times, n_clicks = _stage_piece(campaign, piece, sorted(styles), names, log)
            first_at = min([*times, first_at] if first_at else times)
            n_decisions, n_plays = n_decisions + len(piece), n_plays + n_clicks
            if progress is not None:
                progress(n_decisions)
        launched_at = midnight(first_at) if first_at else datetime(1970, 1, 1, tzinfo=UTC)
        known = titles.get(campaign.title_id)
        launched_at = min(launched_at, known.launched_at) if known else launched_at
        titles[campaign.title_id] = Title(campaign.title_id, launched_at, name=f"Open Bandit: {campaign.name}")
        for item, style in sorted(styles.items()):
            name = campaign.artwork_id(item)
            kept = artworks[name].styles if name in artworks else style
            artworks[name] = Artwork(name, campaign.title_id, launched_at, kept)
    return Catalogue(titles.values(), artworks.values()), n_decisions, n_plays


def _read_items(campaign: _Campaign) -> dict[int, dict[str, float]]:
    """Read the campaign's items with their hashed categories as styles."""
    found: dict[int, dict[str, float]] = {}
    for piece in read_pieces(campaign.items, ("item_id", *_ITEM_FEATURES)):
        items = piece.values("item_id", pa.int64(), "a whole number").to_pylist()
        features = [piece.text(name) for name in _ITEM_FEATURES]
        for row, item in enumerate(items):
            if item in found or item < 0:
                raise piece.fault(row, "item_id", "an item of its own, from 0")
            styles = zip(_ITEM_FEATURES, features, strict=True)
            found[item] = {f"{name}:{column[row]}": 1.0 for name, column in styles if column[row]}
    if not found:
        raise ContractError(f"{campaign.items}, line 2, column item_id: expected an item, got the end of the file")
    return found


def _stage_piece(
    campaign: _Campaign, piece: Piece, items: list[int], names: Iterator[str], log: StagedLog
) -> tuple[list[datetime], int]:
    moments = piece.values("timestamp", _TIME, "a time with its zone, as 2019-11-24 00:00:01.5+00:00")
    piece.refuse(~_is_believable(moments), "timestamp", f"a time between {EARLIEST.year} and {LATEST.year}")
    times = moments.to_pylist()
    chosen = piece.values("item_id", pa.int64(), "a whole number").to_numpy()
    position = piece.values("position", pa.int32(), "a whole number from 1").to_numpy()
    click = piece.values("click", pa.int8(), "0 or 1").to_numpy()
    propensity = piece.values("propensity_score", pa.float64(), "a number in (0, 1]").to_numpy()
    piece.refuse(~np.isin(chosen, items), "item_id", f"an item of {campaign.items.name}")
    piece.refuse(position < 1, "position", "a whole number from 1")
    piece.refuse((click != 0) & (click != 1), "click", "0 or 1")
    piece.refuse(~((propensity > 0) & (propensity <= 1)), "propensity_score", "a number in (0, 1]")
    actions = tuple(campaign.artwork_id(item) for item in items)
    places = zip(*(piece.text(name) for name in _PLACE), strict=True)
    rows = zip(
        times, chosen.tolist(), (position - 1).tolist(), propensity.tolist(), places, click.tolist(), strict=True
    )
    for at, item, column, probability, place, clicked in rows:
        decision = Decision(
            decision_id=next(names),
            title_id=campaign.title_id,
            artwork_id=campaign.artwork_id(item),
            actions=actions,
            propensity=probability,
            column=column,
        )
        page = _page(campaign, decision, at, place)
        log.add(at, encode_lines(seen_page(page, clicked=bool(clicked), minutes=_CLICK_MINUTES)))
    return times, int(click.sum())


def _is_believable(moments: pa.ChunkedArray) -> NDArray[np.bool_]:
    earliest, latest = (pa.scalar(moment, _TIME) for moment in (EARLIEST, LATEST))
    return np.asarray(pc.and_(pc.greater_equal(moments, earliest), pc.less(moments, latest)))


def _page(campaign: _Campaign, decision: Decision, at: datetime, place: tuple[str, ...]) -> Page:
    return Page(
        page_id=decision.decision_id,
        decided_at=at,
        profile_id=ANONYMOUS_PREFIX + decision.decision_id,
        policy_version=f"obd-{campaign.policy}",
        cell=_CELLS[campaign.policy],
        epoch=0,
        feature_service=FEATURE_SERVICE,
        context=RequestContext(device=place[0], country=place[1], language=place[2]),
        decisions=(decision,),
    )
