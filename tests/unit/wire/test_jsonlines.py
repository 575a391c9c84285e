from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import WireError
from processor.wire.jsonlines import JSONArrayDecoder, LineDecoder
from tests.support.pieces import bytewise, cut, fed, places

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"', "\\", '\\"', "{", "}]", "\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_objects = st.lists(st.dictionaries(st.text(max_size=5), _values, max_size=3), max_size=4)


def lines_of(*pieces: bytes) -> list[bytes]:
    decoder = LineDecoder()
    return [*fed(decoder.feed, pieces), *decoder.close()]


def elements_of(*pieces: bytes) -> list[Any]:
    decoder = JSONArrayDecoder()
    return [json.loads(found) for found in (*fed(decoder.feed, pieces), *decoder.close())]


def test_a_line_is_a_value() -> None:
    assert lines_of(b'{"a":1}\n{"b"', b":2}\n") == [b'{"a":1}', b'{"b":2}']


def test_blank_lines_are_no_values() -> None:
    assert lines_of(b"\n\r\n1\r\n  \n2\n\n") == [b"1\r", b"2"]


def test_the_last_line_may_lack_its_end() -> None:
    assert lines_of(b"1\n2") == [b"1", b"2"]


def test_a_line_over_the_limit_is_refused() -> None:
    decoder = LineDecoder(limit=4)
    assert decoder.feed(b"1234") == []
    with pytest.raises(WireError, match="4 bytes"):
        decoder.feed(b"5")


@given(values=st.lists(_values, max_size=4), at=places)
def test_lines_may_be_cut_anywhere(values: list[Any], at: list[int]) -> None:
    body = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    assert [json.loads(line) for line in lines_of(*cut(body, at))] == values
    assert [json.loads(line) for line in lines_of(*bytewise(body))] == values


def test_an_element_comes_as_soon_as_it_is_whole() -> None:
    decoder = JSONArrayDecoder()
    assert decoder.feed(b'[{"a": {') == []
    assert decoder.feed(b'"b": "}"}}') == [b'{"a": {"b": "}"}}']
    assert decoder.feed(b'\r\n,{"c": 1}, {"d') == [b'{"c": 1}']
    assert decoder.feed(b'": 2}]') == [b'{"d": 2}']


def test_brackets_and_quotes_inside_text_are_text() -> None:
    body = rb'[{"a":"\"}","b\\":"{\\"},{"c":"[{"}]'
    assert elements_of(body) == json.loads(body)
    assert elements_of(*bytewise(body)) == json.loads(body)


def test_an_element_that_is_cut_is_none() -> None:
    assert elements_of(b'[{"a":1},{"b":') == [{"a": 1}]


def test_an_element_over_the_limit_is_refused() -> None:
    decoder = JSONArrayDecoder(limit=8)
    assert decoder.feed(b'[{"a": 1}, {"a": 2}') == [b'{"a": 1}', b'{"a": 2}']
    with pytest.raises(WireError, match="8 bytes"):
        decoder.feed(b', {"a": "long')


def test_stray_ends_are_passed_over() -> None:
    assert elements_of(b'}}[{"a":1}]}') == [{"a": 1}]


@given(objects=_objects, indent=st.sampled_from([None, 2]), ascii_only=st.booleans(), at=places)
def test_elements_may_be_cut_anywhere(objects: list[Any], indent: int | None, ascii_only: bool, at: list[int]) -> None:
    body = json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert elements_of(body) == objects
    assert elements_of(*cut(body, at)) == objects
    assert elements_of(*bytewise(body)) == objects


@given(body=st.binary(max_size=60), at=places)
def test_any_bytes_will_do(body: bytes, at: list[int]) -> None:
    whole, pieces = JSONArrayDecoder(), JSONArrayDecoder()
    assert fed(pieces.feed, cut(body, at)) == whole.feed(body)
