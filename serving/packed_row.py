"""One packed value for all features of an entity in a view: what an online store keeps, and what a page reads.

Layout, little-endian: event and created time (int64, microseconds since the epoch; the smallest int64 for no created
time), then for each feature its kind (uint8), the lengths of its name (uint16) and of its value (uint32), name, value.
Lists of floats and of 64-bit numbers are their bare items, so that a reader views them in place; any other value, and
one without content, is Feast's own message.
"""

import struct
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.error import ContractError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_STAMPS: Final = struct.Struct("<qq")
_FEATURE: Final = struct.Struct("<BHI")
NEVER: Final = -(2**63)
"""The created time of a row that has none: older than any other."""

_MESSAGE, _FLOATS, _INTEGERS = 0, 1, 2
_KINDS: Final = (_MESSAGE, _FLOATS, _INTEGERS)
_ITEMS: Final[dict[int, np.dtype[Any]]] = {_FLOATS: np.dtype("<f4"), _INTEGERS: np.dtype("<i8")}

Arrays = dict[str, NDArray[Any]]


def pack(values: Mapping[str, Any], event_us: int, created_us: int) -> bytes:
    """Pack features by name, Feast's values, with the row's two times."""
    parts = [_STAMPS.pack(event_us, created_us)]
    for name, value in values.items():
        kind, content = _content(value)
        encoded = name.encode()
        parts += [_FEATURE.pack(kind, len(encoded), len(content)), encoded, content]
    return b"".join(parts)


def stamps(row: bytes) -> tuple[int, int]:
    """Read a row's event and created time, microseconds since the epoch."""
    event_us, created_us = _STAMPS.unpack_from(row)
    return event_us, created_us


def unpack(row: bytes, wanted: Collection[str] | None = None) -> dict[str, Any]:
    """Read features by name, as Feast's values: all of them, or those that are wanted."""
    return {
        name: _value(kind, row[start:end])
        for name, kind, start, end in _features(row)
        if wanted is None or name in wanted
    }


def unpack_arrays(row: bytes, whose: str) -> Arrays:
    """Read the lists of numbers of a row by name, float32 or int64, without a copy; what has no content is left out.

    Raises:
        ContractError: naming whose row it is, if it is not in the layout.
    """
    try:
        return {
            name: np.frombuffer(row, _ITEMS[kind], (end - start) // _ITEMS[kind].itemsize, start)
            for name, kind, start, end in _features(row)
            if kind in _ITEMS
        }
    except (struct.error, ValueError) as error:
        raise ContractError(f"not a packed row of {whose!r}: {error}") from error


def microseconds(moment: datetime | None) -> int:
    """Count microseconds since the epoch; Feast's naive times are UTC."""
    if moment is None:
        return NEVER
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (aware - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    """Find the moment of a count of microseconds since the epoch."""
    return _EPOCH + us * _MICROSECOND


def _features(row: bytes) -> list[tuple[str, int, int, int]]:
    """List name, kind, and where the value lies, of each feature."""
    found, at = [], _STAMPS.size
    while at < len(row):
        kind, n_name, n_value = _FEATURE.unpack_from(row, at)
        at += _FEATURE.size
        start = at + n_name
        found.append((row[at:start].decode(), kind, start, start + n_value))
        at = start + n_value
        if at > len(row) or kind not in _KINDS:
            raise ValueError(f"it is cut short, or has values of kind {kind}")
    return found


def _content(value: Any) -> tuple[int, bytes]:
    kind = value.WhichOneof("val")
    if kind == "float_list_val":
        return _FLOATS, np.array(value.float_list_val.val, _ITEMS[_FLOATS]).tobytes()
    if kind == "int64_list_val":
        return _INTEGERS, np.array(value.int64_list_val.val, _ITEMS[_INTEGERS]).tobytes()
    return _MESSAGE, value.SerializeToString()


def _value(kind: int, content: bytes) -> Any:
    # Whoever only views arrays does not wait the seconds that importing Feast takes.
    from feast.protos.feast.types.Value_pb2 import FloatList, Int64List, Value

    if kind == _FLOATS:
        return Value(float_list_val=FloatList(val=np.frombuffer(content, _ITEMS[kind]).tolist()))
    if kind == _INTEGERS:
        return Value(int64_list_val=Int64List(val=np.frombuffer(content, _ITEMS[kind]).tolist()))
    return Value.FromString(content)
