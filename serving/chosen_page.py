"""A page that has been decided, and its three forms: the record, the line of the log, the answer.

The line and the answer are made without the record: what the record checks holds by how the page was chosen, and a
test holds the line to be the record's own, byte for byte of what it says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.batch import Floats
from models.decision import Cell, Decision, Page, RequestContext
from models.layout import FEATURE_SERVICE, PROFILE
from serving.answer import Choice, PageAnswer
from serving.page_batch import PageBatch

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


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPage:
    """What was chosen for a page of n titles.

    Args: page, what was asked and chosen among; chosen `(n,)`, rows of the candidates; failure, why the page stepped
    down, or an empty string; profile_failed, whether the profile could not be read; the lists, of the n titles: the
    artworks chosen, their probabilities, `live` or `fallback:<why>`, and ids.
    """

    page_id: str
    at: datetime
    page: PageBatch
    policy_version: str
    cell: Cell
    epoch: int
    chosen: NDArray[np.int64]
    failure: str
    profile_failed: bool
    artwork_ids: list[str]
    propensities: list[float]
    intents: list[str]
    decision_ids: list[str]

    @classmethod
    def of(
        cls, page: PageBatch, pmf: Floats, chosen: NDArray[np.int64], page_id: str, failure: str, **rest: Any
    ) -> "ChosenPage":
        """Look up what was chosen: `(n,)` rows of the candidates, drawn from pmf `(m,)`."""
        usual = f"fallback:{failure}" if failure else _LIVE
        places = (chosen - page.offsets[:-1]).tolist()
        return cls(
            page=page,
            chosen=chosen,
            page_id=page_id,
            failure=failure,
            artwork_ids=[each.actions[place] for each, place in zip(page.found, places, strict=True)],
            # Sums of floats may end a hair above 1; nothing else about a probability is touched.
            propensities=np.minimum(pmf[chosen], 1.0).tolist(),
            intents=[f"fallback:{each.reason}" if each.reason else usual for each in page.found],
            decision_ids=[f"{page_id}-{number}" for number in range(len(places))],
            **rest,
        )

    def named(self, page_id: str) -> "ChosenPage":
        """Give the same choices under another page id."""
        ids = [f"{page_id}-{number}" for number in range(len(self.decision_ids))]
        return replace(self, page_id=page_id, decision_ids=ids)

    def record(self) -> Page:
        """Give the record, checked field by field."""
        actions = [each.actions for each in self.page.found]
        return Page(
            **self._head(),
            decisions=tuple(Decision(**dict(zip(_FIELDS, row, strict=True))) for row in self._rows(actions)),
        )

    def line(self) -> bytes:
        """Give the line of the event log that `record` encodes to, without its newline."""
        rows = self._rows([each.line for each in self.page.found])
        return _encoder.encode(_PageLine(**self._head(), decisions=[_DecisionLine(*row) for row in rows]))

    def answer(self, *, explain: bool = False, unlogged: bool = False) -> PageAnswer:
        """Tell the page's choices; with `explain`, their propensities and intents too."""
        rows = zip(self.page.title_ids, self.artwork_ids, self.decision_ids, strict=True)
        if explain:
            told = zip(rows, self.propensities, self.intents, strict=True)
            choices = tuple(Choice(*row, propensity, intent) for row, propensity, intent in told)
        else:
            choices = tuple(Choice(*row) for row in rows)
        return PageAnswer(
            page_id=self.page_id,
            policy_version=self.policy_version,
            cell=self.cell.value,
            decisions=choices,
            unlogged=unlogged,
        )

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

    def _rows(self, actions: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """Give the fields of each decision, in the order of `_FIELDS`."""
        page, features = self.page, self.page.features_of(self.chosen)
        packed, width = features.tobytes(), features.shape[1] * 4
        return zip(
            self.decision_ids,
            page.title_ids,
            self.artwork_ids,
            actions,
            self.propensities,
            self.intents,
            page.page_rows,
            page.page_columns,
            page.scores,
            [packed[first : first + width] for first in range(0, len(packed), width)],
            strict=True,
        )

    def _profile_bytes(self) -> bytes:
        """Pack the profile vector as served; nothing at all where it could not be read."""
        if self.profile_failed:
            return b""
        profile = self.page.profile
        return _COLD_PROFILE if profile is None else profile.vector.astype("<f4", copy=False).tobytes()


_FIELDS = tuple(_DecisionLine.__struct_fields__)
