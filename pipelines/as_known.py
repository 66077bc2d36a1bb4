"""The point-in-time join as one expression for any engine: range join and argmax, where there is no ASOF."""

from datetime import timedelta

import ibis
import numpy as np
import pyarrow as pa

from pipelines.column import TIME, Column
from pipelines.engine import open_engine
from pipelines.feature_part import view_parts
from pipelines.feature_rows import VIEWS
from pipelines.point_in_time import PointInTime, Times

_ASKED = "asked"


def as_known(asked: ibis.Table, rows: ibis.Table, *, key: str, ttl: timedelta | None) -> ibis.Table:
    """Find the row of each question's key that was known at its moment: the latest by event, then created timestamp.

    Args:
        asked: columns `asked` (a number of its own for each question), the key and `at`.
        rows: a feature view's rows, unique by key, event and created timestamp.
        ttl: a row counts this long after its event timestamp, to the microsecond; None for ever.

    Returns: `asked` and the view's features; no row for a question that has no answer.
    """
    known = rows.rename(known_of=key)
    conditions = [
        asked[key] == known.known_of,
        known.event_timestamp <= asked.at,
        known.created_timestamp <= asked.at,
    ]
    if ttl is not None:
        conditions.append(
            known.event_timestamp >= asked.at - ibis.interval(microseconds=ttl // timedelta(microseconds=1))
        )
    found = asked.inner_join(known, conditions)
    features = [name for name in rows.columns if name != key and not name.endswith("_timestamp")]
    latest = ibis.struct({"event": found.event_timestamp, "created": found.created_timestamp})
    value = ibis.struct({name: found[name] for name in features})
    chosen = found.group_by(_ASKED).agg(value=value.argmax(latest))
    return chosen.select(_ASKED, **{name: chosen["value"][name] for name in features})


class ExpressionPointInTime(PointInTime):
    """`PointInTime` by the expression, on the settings' engine, which reads the view's parts itself."""

    def ask(self, keys: Column, at: Times) -> pa.Table:
        """Answer every question as it is: the view's features, in the order of `keys`, null where none was known."""
        schema = VIEWS[self._view]
        asked = pa.table({
            _ASKED: np.arange(len(keys)),
            self._key: keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys,
            "at": pa.array(at).cast(TIME),
        })
        answer = pa.schema([(_ASKED, pa.int64()), *(schema.field(name) for name in self._features)])
        with open_engine(self._settings) as engine:
            rows = engine.files([str(path) for path in view_parts(self._settings, self._view)], schema)
            expression = as_known(engine.rows(asked), rows, key=self._key, ttl=self._ttl)
            found = engine.to_arrow(expression, answer)
        place = np.full(len(keys), -1)
        place[found[_ASKED].to_numpy()] = np.arange(len(found))
        wanted = pa.array(place, mask=place < 0)
        return found.select(self._features).take(wanted).combine_chunks()
