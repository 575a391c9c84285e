from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.wire.json import JSONError, decode, decode_fields, encode, raw

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(value=_values)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert decode(encode(value)) == value
    assert json.loads(encode(value)) == value


@given(value=st.dictionaries(st.text(st.characters(codec="utf-8")), _values, max_size=4))
def test_fields_are_the_values_own_bytes(value: dict[str, Any]) -> None:
    written = json.dumps(value, indent=1).encode()
    fields = decode_fields(written)
    assert {name: decode(found) for name, found in fields.items()} == value
    assert all(bytes(found) in written for found in fields.values())
    assert decode(encode(fields)) == value


def test_the_way_a_value_is_written_is_kept() -> None:
    fields = decode_fields(b'{ "a" : [ 1.50, "caf\\u00e9" ] , "b":1e2 }')
    assert encode(fields) == b'{"a":[ 1.50, "caf\\u00e9" ],"b":1e2}'


def test_a_value_is_put_among_the_fields() -> None:
    fields = decode_fields(b'{"a":1}')
    fields["b"] = raw(["x"])
    assert encode(fields) == b'{"a":1,"b":["x"]}'


def test_the_last_of_two_fields_of_one_name_counts() -> None:
    assert bytes(decode_fields(b'{"a":1,"a":2}')["a"]) == b"2"


@pytest.mark.parametrize(
    "written", [b"", b"[1]", b'"a"', b"null", b"{", b'{"a":}', b'{"a":1}x', b"\xff", b"{'a':1}", b"NaN"]
)
def test_what_is_no_object_has_no_fields(written: bytes) -> None:
    with pytest.raises(JSONError):
        decode_fields(written)


@pytest.mark.parametrize("written", [b"", b"{", b'"\xff"', b"[" * 100_000, b'{"a":' * 100_000, b"1e999"])
def test_what_is_no_json_is_one_kind_of_error(written: bytes) -> None:
    with pytest.raises(JSONError):
        decode(written)


def test_nesting_beyond_reason_is_an_error_in_fields_too() -> None:
    with pytest.raises(JSONError):
        decode_fields(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
