"""Decodes request bodies, which are refused with the field named, and encodes answers."""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from serving.answer import Problem, Refusal
from serving.request import CONTROL_CHARACTERS

JSON = "application/json"
_T = TypeVar("_T")
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*?)`(?: - at `|$)", re.DOTALL)
_LEADING_FIELD = re.compile(r"^(?P<name>[a-z_]+(?:\[\d+\]\.[a-z_]+)?) (?:(?:and|or) [a-z_]+ )?must ")
_CONTROLS = re.compile(f"[{CONTROL_CHARACTERS}]")
_MAX_FIELD = 200
_MAX_MESSAGE = 400
_encoder = msgspec.json.Encoder()
_plain = msgspec.json.Decoder()


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.message = message[:_MAX_MESSAGE]


def json_response(content: msgspec.Struct, status: int = 200) -> Response:
    """Answer with a record."""
    return Response(_encoder.encode(content), status_code=status, media_type=JSON)


def refusal(error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with an error."""
    response = json_response(
        Refusal(error=Problem(status=error.status, field=error.field, message=error.message)), error.status
    )
    response.headers.update(headers or {})
    return response


def decode(decoder: msgspec.json.Decoder[_T], body: bytes, *, has_moments: bool = True) -> _T:
    """Decode a body.

    Args: has_moments, whether its type has moments: they may be encoded with a colon more than they came with.

    Raises:
        RefusedError: 400 if it is not JSON, 422 with the field if it breaks the contract, comes twice, or holds
            control characters.
    """
    try:
        decoded = decoder.decode(body)
        # What is decoded is JSON, and no deeper than its type: what is left to be seen is what msgspec lets pass.
        if not (_is_printable(body) and _names_each_once(body, None if has_moments else decoded)):
            _refuse_controls(_once.decode(body.decode()), "")
        return decoded
    except msgspec.ValidationError as error:
        raise RefusedError(422, str(error), field_of(str(error))) from error
    except msgspec.DecodeError as error:
        raise RefusedError(400, str(error)) from error
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"JSON is malformed: not UTF-8: {error.reason}") from error


def _is_printable(body: bytes) -> bool:
    """Tell, for most JSON, that no string in it has a control character; False says nothing.

    Those below a space are no JSON unless they are spelled as escapes.
    """
    return b"\\" not in body and b"\x7f" not in body and (body.isascii() or not _CONTROLS.search(body.decode()))


def _names_each_once(body: bytes, decoded: object) -> bool:
    """Tell of JSON without escapes whether it has no name twice in one object.

    A decoder keeps one of the fields of a name. Where no colon is spelled as an escape, a body has more colons than
    what is kept of it exactly when a field was dropped: with the field goes at least the colon after its name. What is
    kept is `decoded` unless that leaves out what was given as its default anyway, or is None.
    """
    n_colons = body.count(b":")
    if decoded is not None and n_colons == _encoder.encode(decoded).count(b":"):
        return True
    return n_colons == _encoder.encode(_plain.decode(body)).count(b":")


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; refuse one with a name in it twice: every reader takes another one of the two for true."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise RefusedError(422, f"Object has the field `{repeated}` more than once", repeated)
    return made


def _refuse_controls(value: Any, path: str) -> None:
    """Refuse a string with a control character, wherever it is."""
    if isinstance(value, str) and _CONTROLS.search(value):
        raise RefusedError(422, f"{path} must have no control characters", path)
    if isinstance(value, dict):
        for name, each in value.items():
            _refuse_controls(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            _refuse_controls(each, f"{path}[{place}]")


_once = json.JSONDecoder(object_pairs_hook=_refuse_repeated)


def field_of(message: str) -> str:
    """Find the field that a validation message is about.

    Example:
        >>> field_of("Object missing required field `title_id` - at `$.titles[1]`")
        'titles[1].title_id'
    """
    at = _PATH.search(message)
    path = at["path"] if at else ""
    named = _MISSING.search(message) or _UNKNOWN.search(message) or _LEADING_FIELD.search(message)
    return ".".join(part for part in (path, named["name"] if named else "") if part)[:_MAX_FIELD]
