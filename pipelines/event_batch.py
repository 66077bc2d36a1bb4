"""From decoded events to Arrow, a chunk at a time, column by column."""

from collections.abc import Iterable, Sequence
from datetime import UTC
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from models.decision import Page
from models.event import Impression, Play
from pipelines.table import DECISIONS, PLAYS

_TEXT, _TIME = pa.string(), pa.timestamp("us", tz="UTC")
REPORTED = pa.schema([
    ("decision_id", _TEXT),
    ("seen_at", _TIME),
    ("received_at", _TIME),
    ("delivery", _TEXT),
    ("source", pa.int32()),
    ("line", pa.int64()),
])
"""Impressions as reported, not yet joined with their decisions; `source` counts the interval's segments from 0."""

_OF_DECISION = (
    "decision_id", "title_id", "artwork_id", "propensity", "intent", "row", "column", "score", "features",
)  # fmt: skip
_OF_PAGE = ("page_id", "profile_id", "policy_version", "epoch", "feature_service", "profile_features")
_OF_CONTEXT = ("device", "country", "language")


class Reported(NamedTuple):
    """An impression and where its line is."""

    event: Impression
    source: int
    line: int


def decision_batch(pages: Sequence[Page]) -> pa.RecordBatch:
    """Lay out the decisions of some pages as rows of `DECISIONS`; where a device does not say its time, it is UTC's."""
    decisions = [one for page in pages for one in page.decisions]
    owner = pa.array(np.repeat(np.arange(len(pages)), [len(page.decisions) for page in pages]))
    of_page: dict[str, Iterable[Any]] = {name: map(attrgetter(name), pages) for name in _OF_PAGE}
    of_page |= {name: map(attrgetter(f"context.{name}"), pages) for name in _OF_CONTEXT}
    decided_at = [page.decided_at.astimezone(UTC) for page in pages]
    of_page["decided_at"] = decided_at
    of_page["cell"] = [page.cell.value for page in pages]
    hours = [page.context.local_hour for page in pages]
    days = [page.context.day_of_week for page in pages]
    of_page["local_hour"] = [at.hour if hour is None else hour for at, hour in zip(decided_at, hours, strict=True)]
    of_page["day_of_week"] = [at.weekday() if day is None else day for at, day in zip(decided_at, days, strict=True)]
    columns = {name: _column(DECISIONS.schema, name, values).take(owner) for name, values in of_page.items()}
    columns |= {name: _column(DECISIONS.schema, name, map(attrgetter(name), decisions)) for name in _OF_DECISION}
    columns["actions"] = _actions([one.actions for one in decisions])
    return pa.RecordBatch.from_arrays([columns[name] for name in DECISIONS.schema.names], schema=DECISIONS.schema)


def reported_batch(reported: Sequence[Reported]) -> pa.RecordBatch:
    """Lay out impressions as rows of `REPORTED`."""
    events = [one.event for one in reported]
    columns: dict[str, Iterable[Any]] = {
        "decision_id": map(attrgetter("decision_id"), events),
        "seen_at": map(attrgetter("seen_at"), events),
        "received_at": map(attrgetter("received_at"), events),
        "delivery": [event.delivery.value for event in events],
        "source": [one.source for one in reported],
        "line": [one.line for one in reported],
    }
    return _batch(REPORTED, columns)


def play_batch(plays: Sequence[Play]) -> pa.RecordBatch:
    """Lay out plays as rows of `PLAYS`."""
    return _batch(PLAYS.schema, {name: map(attrgetter(name), plays) for name in PLAYS.schema.names})


def _batch(schema: pa.Schema, columns: dict[str, Iterable[Any]]) -> pa.RecordBatch:
    arrays = [_column(schema, name, columns[name]) for name in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(schema: pa.Schema, name: str, values: Iterable[Any]) -> pa.Array:
    return pa.array(list(values), schema.field(name).type)


def _actions(eligible: Iterable[tuple[str, ...]]) -> pa.Array:
    """Make the column of eligible artworks: many decisions have the same ones, and each list is converted once."""
    codes: dict[tuple[str, ...], int] = {}
    places = [codes.setdefault(actions, len(codes)) for actions in eligible]
    return pa.array(list(codes), DECISIONS.schema.field("actions").type).take(pa.array(places, pa.int64()))
