"""A page that has been decided, and its three forms: the record, the line of the log, the answer.

The line and the answer are made without the record: what the record checks holds by how the page was chosen, and a
test holds the line to be the record's own, byte for byte of what it says.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from models.batch import Floats
from models.decision import Cell, Decision, Page, RequestContext
from models.layout import FEATURE_SERVICE, PROFILE
from serving.answer import Choice, PageAnswer
from serving.page_batch import AskedPage, PageBatch

_COLD_PROFILE = np.zeros(len(PROFILE), dtype="<f4").tobytes()
_encoder = msgspec.json.Encoder()
_LIVE = "live"


class _DecisionLine(msgspec.Struct, frozen=True, gc=False):
    """The fields of `models.decision.Decision`, the actions as the JSON that the catalogue keeps of them."""

    decision_id: str
    title_id: str
    artwork_id: str
    actions: msgspec.Raw
    propensity: float
    intent: str
    row: int
    column: int
    score: float
    features: bytes


class _PageLine(msgspec.Struct, frozen=True, kw_only=True, tag="page", tag_field="kind"):
    """The fields of `models.decision.Page`."""

    page_id: str
    decided_at: datetime
    profile_id: str
    policy_version: str
    cell: Cell
    epoch: int
    feature_service: str
    context: RequestContext
    decisions: list[_DecisionLine]
    profile_features: bytes


class ChosenPage(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What was chosen for a page of n titles.

    Args: page, what was asked and chosen among; failure, why the page stepped down, or an empty string; profile_failed,
    whether the profile could not be read; the lists, of the n titles: the artworks chosen, their probabilities, `live`
    or `fallback:<why>`, ids, and the vectors as logged.
    """

    page_id: str
    at: datetime
    page: AskedPage
    policy_version: str
    cell: Cell
    epoch: int
    failure: str
    profile_failed: bool
    artwork_ids: list[str]
    propensities: list[float]
    intents: list[str]
    decision_ids: list[str]
    features: list[bytes]

    def named(self, page_id: str) -> "ChosenPage":
        """Give the same choices under another page id."""
        return replace(self, page_id=page_id, decision_ids=_decision_ids(page_id, len(self.decision_ids)))

    def record(self) -> Page:
        """Give the record, checked field by field."""
        actions = [each.actions for each in self.page.found]
        return Page(
            **self._head(),
            decisions=tuple(
                Decision(**dict(zip(_FIELDS, row, strict=True))) for row in zip(*self._columns(actions), strict=True)
            ),
        )

    def line(self) -> bytes:
        """Give the line of the event log that `record` encodes to, without its newline."""
        return _encoder.encode(self._line())

    def answer(self, *, explain: bool = False, unlogged: bool = False) -> PageAnswer:
        """Tell the page's choices; with `explain`, their propensities and intents too."""
        told = (self.propensities, self.intents) if explain else ()
        return PageAnswer(
            page_id=self.page_id,
            policy_version=self.policy_version,
            cell=self.cell.value,
            decisions=tuple(map(Choice, self.page.title_ids, self.artwork_ids, self.decision_ids, *told)),
            unlogged=unlogged,
        )

    def _line(self) -> "_PageLine":
        return _PageLine(**self._head(), decisions=list(map(_DecisionLine, *self._columns(self.page.lines))))

    def _head(self) -> dict[str, Any]:
        page = self.page
        return {
            "page_id": self.page_id,
            "decided_at": self.at,
            "profile_id": page.request.profile_id,
            "policy_version": self.policy_version,
            "cell": self.cell,
            "epoch": self.epoch,
            "feature_service": FEATURE_SERVICE,
            "context": page.context,
            "profile_features": self._profile_bytes(),
        }

    def _columns(self, actions: Sequence[Any]) -> tuple[Sequence[Any], ...]:
        """Give the n decisions' values of each field, in the order of `_FIELDS`."""
        page = self.page
        return (
            self.decision_ids,
            page.title_ids,
            self.artwork_ids,
            actions,
            self.propensities,
            self.intents,
            page.rows,
            page.columns,
            page.scores,
            self.features,
        )

    def _profile_bytes(self) -> bytes:
        """Pack the profile vector as served; nothing at all where it could not be read."""
        if self.profile_failed:
            return b""
        profile = self.page.profile
        return _COLD_PROFILE if profile is None else profile.vector.astype("<f4", copy=False).tobytes()


_FIELDS = tuple(_DecisionLine.__struct_fields__)


def lines_of(pages: Sequence[ChosenPage]) -> bytes:
    """Give the lines of several pages, each ended by a newline."""
    return _encoder.encode_lines([page._line() for page in pages])


def chosen_pages(
    batch: PageBatch,
    pmf: Floats,
    chosen: NDArray[np.int64],
    page_ids: Sequence[str],
    failures: Sequence[str],
    cells: Sequence[Cell],
    profiles_failed: Sequence[bool],
    *,
    at: datetime,
    policy_version: str,
    epoch: int,
) -> list[ChosenPage]:
    """Look up what was chosen for the P pages of a batch.

    Args: chosen `(n,)`, rows of the candidates, drawn from pmf `(m,)`; the sequences, one value a page; the rest, what
    all pages share.
    """
    known = batch.index.artwork_ids
    names = [known[row] for row in batch.rows[chosen].tolist()]
    for first, page in zip(batch.bounds, batch.pages, strict=False):
        for place, found in page.special.items():
            title = first + place
            names[title] = found.actions[chosen[title] - batch.offsets[title]]
    # Sums of floats may end a hair above 1; nothing else about a probability is touched.
    propensities = np.minimum(pmf[chosen], 1.0).tolist()
    features = batch.features_of(chosen)
    packed = features.view(f"V{features.shape[1] * features.itemsize}").reshape(-1).tolist()  # a row's bytes each
    spans = pairwise(batch.bounds)
    each = zip(batch.pages, spans, page_ids, failures, cells, profiles_failed, strict=True)
    return [
        ChosenPage(
            page_id=page_id,
            at=at,
            page=page,
            policy_version=policy_version,
            cell=cell,
            epoch=epoch,
            failure=failure,
            profile_failed=profile_failed,
            artwork_ids=names[first:stop],
            propensities=propensities[first:stop],
            intents=_intents(page, failure),
            decision_ids=_decision_ids(page_id, stop - first),
            features=packed[first:stop],
        )
        for page, (first, stop), page_id, failure, cell, profile_failed in each
    ]


def _intents(page: AskedPage, failure: str) -> list[str]:
    usual = f"fallback:{failure}" if failure else _LIVE
    intents = [usual] * len(page.title_ids)
    for place, found in page.special.items():
        if found.reason:
            intents[place] = f"fallback:{found.reason}"
    return intents


def _decision_ids(page_id: str, n: int) -> list[str]:
    return [page_id + suffix for suffix in _suffixes(n)]


@lru_cache(maxsize=1024)
def _suffixes(n: int) -> tuple[str, ...]:
    return tuple(f"-{number}" for number in range(n))
