"""Two days of a lake, and plays to fill them."""

from datetime import timedelta

import pyarrow as pa

from models.interval import Interval
from pipelines.lake import Lake
from pipelines.table import PLAYS

DAY = Interval.parse("20261101T000000Z", hours=24)
NEXT = Interval.parse("20261102T000000Z", hours=24)


def plays(interval: Interval, n: int, minutes: float = 5.0) -> pa.Table:
    return pa.table(
        {
            "play_id": [f"{interval.key}-{row}" for row in range(n)],
            "profile_id": ["p"] * n,
            "title_id": ["t"] * n,
            "started_at": [interval.start_at + timedelta(microseconds=row) for row in range(n)],
            "received_at": [interval.start_at + timedelta(seconds=row) for row in range(n)],
            "minutes": [minutes] * n,
            "completion": [0.5] * n,
        },
        schema=PLAYS.schema,
    )


def all_of(lake: Lake) -> pa.Table:
    return lake.read(PLAYS, DAY.start_at, NEXT.end_at)
