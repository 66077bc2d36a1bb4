"""A body that names a field twice is refused, however it is spelled; any other is not."""

import json
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.body import RefusedError, decode
from serving.request import PageRequest

_decoder = msgspec.json.Decoder(PageRequest)
_anything: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x7f\x85\u2028\u2029\x00"), min_size=1, max_size=6
)
_names = st.text(alphabet='ab:"\\ué', max_size=3)
_values = st.recursive(
    st.none() | st.integers(-9, 9) | _names,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(_names, inner), max_size=3).map(tuple),
)


def _json(value: Any, *, ascii_only: bool) -> str:
    """Write JSON in which an object is a tuple of pairs, so that it can name a field twice."""
    if isinstance(value, tuple):
        pairs = (f"{json.dumps(k, ensure_ascii=ascii_only)} :{_json(v, ascii_only=ascii_only)}" for k, v in value)
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_json(each, ascii_only=ascii_only) for each in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def _repeats(value: Any) -> bool:
    if isinstance(value, tuple):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(_repeats(each) for _, each in value)
    return isinstance(value, list) and any(_repeats(each) for each in value)


@given(_values, st.booleans())
def test_a_name_twice_in_an_object_is_always_found_and_never_made_up(value: Any, ascii_only: bool) -> None:
    body = _json(value, ascii_only=ascii_only).encode()
    if _repeats(value):
        with pytest.raises(RefusedError, match="more than once"):
            decode(_anything, body)
    else:
        decode(_anything, body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"profile_id": "p", "titles": ["t"], "profile_id": "p"}', "profile_id"),
        (b'{"profile_id": "a:b", "titles": [{"title_id": "t", "row": 1}, {"title_id": "u", "row":1,"row":1}]}', "row"),
        (b'{"profile_id": "p", "titles": ["a\\u003ab"], "titles" : ["a\\u003ab"]}', "titles"),
        (b'{"profile_id": "\\u003a", "titles": ["t"], "expl\\u0061in": true, "explain": true}', "explain"),
        (b'{"titles": ["t"], "context": {"device": ":", "device": ""}, "profile_id": "p"}', "device"),
    ],
)
def test_a_field_twice_is_named(body: bytes, field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        decode(_decoder, body)
    assert (refused.value.status, refused.value.field) == (422, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"profile_id": "p\\u0000", "titles": ["t"]}', "profile_id"),
        (b'{"profile_id": "p", "titles": ["t", "\x7f"]}', "titles[1]"),
        (b'{"profile_id": "p", "titles": [{"title_id": "t\\n"}]}', "titles[0].title_id"),
        (b'{"profile_id": "p", "titles": [{"title_id": "t", "artworks": ["a", "\\r"]}]}', "titles[0].artworks[1]"),
        ('{"profile_id": "p", "titles": ["t"], "context": {"device": "\u2028"}}'.encode(), "context.device"),
        ('{"profile_id": "\u0085", "titles": ["t"]}'.encode(), "profile_id"),
    ],
)
def test_a_control_character_is_refused_however_it_is_spelled(body: bytes, field: str) -> None:
    with pytest.raises(RefusedError, match="control characters") as refused:
        decode(_decoder, body)
    assert (refused.value.status, refused.value.field) == (422, field)


@given(_texts, st.booleans(), st.booleans())
def test_text_without_control_characters_passes_and_no_other_does(text: str, ascii_only: bool, is_spread: bool) -> None:
    page = {"profile_id": text, "titles": ["t"]}
    body = json.dumps(page, ensure_ascii=ascii_only, indent=2 if is_spread else None).encode()
    if any(unicodedata.category(each) in {"Cc", "Zl", "Zp"} for each in text):
        with pytest.raises(RefusedError, match="control characters"):
            decode(_decoder, body)
    else:
        assert decode(_decoder, body).profile_id == text


def test_artworks_that_repeat_are_named_with_their_title() -> None:
    with pytest.raises(RefusedError, match="must not repeat") as refused:
        decode(_decoder, b'{"profile_id": "p", "titles": ["t", {"title_id": "u", "artworks": ["a", "a"]}]}')
    assert (refused.value.status, refused.value.field) == (422, "titles[1].artworks")
