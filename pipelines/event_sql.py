"""The SQL of an ingest: one row a key, impressions with their decisions, and what must not be believed."""

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa

from pipelines.workspace import Workspace


def keep_first(space: Workspace, source: str, name: str, schema: pa.Schema, key: tuple[str, ...], time: str) -> int:
    """Make the view `name` of a source's rows with one a key, whatever the order they came in.

    The earliest by `time` stays, then the least by content.

    Returns: how many rows repeat a key that another has.
    """
    keys = quoted(key)
    space.do(
        f"CREATE TABLE {name}_repeated AS "
        f"SELECT {keys}, count(*) AS n_rows FROM {source} GROUP BY ALL HAVING n_rows > 1"
    )
    n_repeated = space.count(f"SELECT coalesce(sum(n_rows - 1), 0) FROM {name}_repeated")
    if not n_repeated:
        space.do(f"CREATE VIEW {name} AS FROM {source}")
        return 0
    rest = [field for field in schema if field.name not in key and field.name != time]
    content = [field.name for field in rest if not pa.types.is_list(field.type)]
    content += [field.name for field in rest if pa.types.is_list(field.type)]
    space.do(
        f"CREATE TABLE {name}_first AS FROM {source} SEMI JOIN {name}_repeated USING ({keys}) "
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {quoted([time, *content])}) = 1"
    )
    space.do(
        f"CREATE VIEW {name} AS FROM {source} ANTI JOIN {name}_repeated USING ({keys}) UNION ALL FROM {name}_first"
    )
    return n_repeated


def judge_impressions(
    space: Workspace, reported: str, known: str, name: str, *, tolerance: timedelta, max_cache: timedelta
) -> None:
    """Make the table `name` of reported impressions joined with their decisions, and why one is refused, if it is.

    An impression is `unknown_decision` where there is no such decision, `clock` where it was seen more than `tolerance`
    before its decision, and `late` where it came in more than `max_cache` after it.
    """
    space.do(
        f"""CREATE TABLE {name} AS
        SELECT reported.*, known.* EXCLUDE (decision_id), CASE
            WHEN known.decided_at IS NULL THEN 'unknown_decision'
            WHEN reported.seen_at < known.decided_at - {span(tolerance)} THEN 'clock'
            WHEN reported.received_at > known.decided_at + {span(max_cache)} THEN 'late'
        END AS reason
        FROM {reported} AS reported LEFT JOIN {known} AS known USING (decision_id)"""
    )


def span(length: timedelta) -> str:
    """Spell a length of time."""
    return f"to_microseconds({length // timedelta(microseconds=1)})"


def quoted(names: Sequence[str]) -> str:
    """Spell column names, some of which are words of SQL."""
    return ", ".join(f'"{name}"' for name in names)
