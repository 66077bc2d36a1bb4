"""The tables of the lake: their columns, and the key by which rows are told apart and ordered."""

from dataclasses import dataclass

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")
_TEXT = pa.string()


@dataclass(frozen=True, slots=True)
class Table:
    """One Delta table, partitioned by interval; rows of an interval are unique by `key` and sorted by `order`.

    The partition column, `interval_key`, is the lake's own and no part of `schema`.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    order: tuple[str, ...]


def _table(name: str, key: tuple[str, ...], order: tuple[str, ...], columns: dict[str, pa.DataType]) -> Table:
    return Table(name, pa.schema(list(columns.items())), key, order)


DECISIONS = _table(
    "decisions",
    key=("decision_id",),
    order=("decided_at", "decision_id"),
    columns={
        "decision_id": _TEXT,
        "page_id": _TEXT,
        "decided_at": _TIME,
        "profile_id": _TEXT,
        "title_id": _TEXT,
        "artwork_id": _TEXT,
        "actions": pa.list_(_TEXT),
        "propensity": pa.float64(),
        "intent": _TEXT,
        "row": pa.int32(),
        "column": pa.int32(),
        "score": pa.float64(),
        "policy_version": _TEXT,
        "cell": _TEXT,
        "epoch": pa.int64(),
        "feature_service": _TEXT,
        "device": _TEXT,
        "country": _TEXT,
        "language": _TEXT,
        "local_hour": pa.int32(),
        "day_of_week": pa.int32(),
        "profile_features": pa.binary(),
        "features": pa.binary(),
    },
)
"""Partitioned by the interval of `decided_at`, which is also when the page was logged."""

IMPRESSIONS = _table(
    "impressions",
    key=("decision_id", "seen_at"),
    order=("seen_at", "decision_id"),
    columns={
        "decision_id": _TEXT,
        "seen_at": _TIME,
        "received_at": _TIME,
        "delivery": _TEXT,
        "profile_id": _TEXT,
        "title_id": _TEXT,
        "artwork_id": _TEXT,
        "decided_at": _TIME,
    },
)
"""Partitioned by the interval of `received_at`; profile, title, artwork and decided_at come from the decision."""

PLAYS = _table(
    "plays",
    key=("play_id",),
    order=("started_at", "play_id"),
    columns={
        "play_id": _TEXT,
        "profile_id": _TEXT,
        "title_id": _TEXT,
        "started_at": _TIME,
        "received_at": _TIME,
        "minutes": pa.float64(),
        "completion": pa.float64(),
    },
)
"""Partitioned by the interval of `received_at`."""

REWARDS = _table(
    "rewards",
    key=("decision_id",),
    order=("matured_at", "decision_id"),
    columns={
        "decision_id": _TEXT,
        "profile_id": _TEXT,
        "title_id": _TEXT,
        "artwork_id": _TEXT,
        "decided_at": _TIME,
        "seen_at": _TIME,
        "matured_at": _TIME,
        "reward": pa.float64(),
        "minutes": pa.float64(),
        "play_id": _TEXT,
        "rule": _TEXT,
    },
)
"""Partitioned by the interval of `matured_at`, so that one run writes one partition and never touches an older one."""

QUARANTINE = _table(
    "quarantine",
    key=("source", "line"),
    order=("source", "line"),
    columns={"source": _TEXT, "line": pa.int64(), "kind": _TEXT, "reason": _TEXT, "raw": _TEXT},
)
"""What was refused at the door of an interval, and why; `raw` holds the first 2,000 characters."""

TABLES = (DECISIONS, IMPRESSIONS, PLAYS, REWARDS, QUARANTINE)
