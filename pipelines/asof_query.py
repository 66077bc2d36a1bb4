"""The SQL of a point-in-time join by DuckDB's ASOF: first which row of each view, then what it holds.

What a view says of a key at a moment is its newest row (by event time, then by created time) among those known by then.
A row is known from the later of its two times, and what is said at a moment is said by the last row that became known
and was newer than all before it: those rows alone are kept, and of them ASOF finds the last. Features are fetched by
row number afterwards, so that nothing wide is ever sorted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Source:
    """A view's rows in SQL: what stands after FROM, and what numbers its rows, the same each time it is read.

    Args: files, those that it reads in place.
    """

    rows: str
    number: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """One view to join.

    Args: keys, pairs of columns to equate, the view's and the entities'; features, pairs of a column of the view and
    its name in the answer; created, the column of created times or "" for none; ttl, how long a row holds, None for
    ever.
    """

    source: Source
    keys: tuple[tuple[str, str], ...]
    event: str
    created: str
    features: tuple[tuple[str, str], ...]
    ttl: timedelta | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first and the last moment that is asked for; None if no row has a moment."""

    first_at: datetime | None
    last_at: datetime | None


def asof_query(
    entities: str, columns: Sequence[str], at: str, views: Sequence[View], bounds: Bounds, *, created_filter: bool
) -> str:
    """Write the join of entity rows with the rows of views that were known at each one's moment.

    Args: entities, their table; columns, its columns, all of which are in the answer; at, the one of moments;
    created_filter, whether a row counts only from its created time.

    Raises:
        ValueError: naming columns that the answer would have twice.
    """
    names = [*columns, *(name for view in views for _, name in view.features)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"columns of a joined table must differ, got more than one {', '.join(twice)}")
    moment = f"e.{quoted(at)}"
    places, joins, fetches = [], [], []
    for number, view in enumerate(views):
        within = f"WHEN s{number}.until >= {moment} " if view.ttl else f"WHEN {moment} IS NOT NULL "
        places.append(f", CASE {within}THEN s{number}.place END AS marquee_place_{number}")
        equal = [f"s{number}.key_{i} = e.{quoted(key)}" for i, (_, key) in enumerate(view.keys)]
        steps = _steps(view, bounds, created_filter=created_filter and bool(view.created))
        joins.append(f" ASOF LEFT JOIN ({steps}) s{number} ON {' AND '.join([*equal, f'{moment} >= s{number}.known'])}")
        wanted = ", ".join(quoted(column) for column in dict.fromkeys(column for column, _ in view.features))
        rows = f"SELECT {view.source.number} AS place, {wanted} FROM {view.source.rows} WHERE {_asked(view, bounds)}"
        fetches.append(f" LEFT JOIN ({rows}) w{number} ON w{number}.place = e.marquee_place_{number}")
    answer = [f"e.{quoted(column)}" for column in columns]
    answer += [
        f"w{n}.{quoted(column)} AS {quoted(name)}" for n, view in enumerate(views) for column, name in view.features
    ]
    rows = f"SELECT * REPLACE (CAST({quoted(at)} AS TIMESTAMPTZ) AS {quoted(at)}) FROM {entities}"
    placed = f"SELECT e.*{''.join(places)} FROM ({rows}) e{''.join(joins)}"
    return f"WITH placed AS ({placed}) SELECT {', '.join(answer)} FROM placed e{''.join(fetches)}"


def _steps(view: View, bounds: Bounds, *, created_filter: bool) -> str:
    """Write the rows that a view goes by: each from `known` on, until the next one's, and no longer than `until`.

    Two rows of one event time become known in the order of their created times, so that event times alone tell whether
    a row was newer than all before it.
    """
    keys = ", ".join(f"key_{i}" for i in range(len(view.keys)))
    named = "".join(f"{quoted(column)} AS key_{i}, " for i, (column, _) in enumerate(view.keys))
    created = _moment(view.created) if view.created else "NULL"
    known = "greatest(event, created)" if created_filter else "event"
    where = _asked(view, bounds)
    if created_filter:
        where += f" AND {created} <= {literal(bounds.last_at)}"
    rows = f"SELECT {named}{view.source.number} AS place, {_moment(view.event)} AS event, {created} AS created FROM "
    rows += f"{view.source.rows} WHERE {where}"
    order = f"OVER (PARTITION BY {keys} ORDER BY known, event, created NULLS FIRST"
    ranked = f"SELECT *, lead(known) {order}) AS next_known, max(event) {order} ROWS UNBOUNDED PRECEDING) AS newest "
    ranked += f"FROM (SELECT *, {known} AS known FROM ({rows}))"
    until = f", event + to_microseconds({view.ttl // timedelta(microseconds=1)}) AS until" if view.ttl else ""
    newest = "known IS DISTINCT FROM next_known AND event >= newest"
    return f"SELECT {keys}, place, known{until} FROM ({ranked}) WHERE {newest}"


def _asked(view: View, bounds: Bounds) -> str:
    """Write which rows can be an answer at all: what a parquet file knows of its row groups spares it most of a log."""
    if bounds.first_at is None or bounds.last_at is None:
        return "false"
    asked = f"{_moment(view.event)} <= {literal(bounds.last_at)}"
    if view.ttl:
        asked += f" AND {_moment(view.event)} >= {literal(bounds.first_at)} - to_microseconds("
        asked += f"{view.ttl // timedelta(microseconds=1)})"
    return asked


def literal(moment: datetime | None) -> str:
    """Write a moment in SQL; a naive one is UTC."""
    if moment is None:
        return "CAST(NULL AS TIMESTAMPTZ)"
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"TIMESTAMPTZ '{aware.isoformat(sep=' ', timespec='microseconds')}'"


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _moment(column: str) -> str:
    return f"CAST({quoted(column)} AS TIMESTAMPTZ)"
