"""JSON for the whole package: one parser, one writer.

`decode` gives plain dicts, lists and scalars, so fields we do not know survive. `decode_fields` parses only
the top level of an object and keeps each value as the bytes it came in: a 20 MB chat body whose
`model` is rewritten costs one scan, and its messages reach the vendor as they were written.
"""

from __future__ import annotations

from typing import Any

import msgspec

JSON = dict[str, Any]
"""An object as it came over the wire."""

Fields = dict[str, msgspec.Raw]
"""An object's top level: name to the value's own bytes."""

JSONError = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What every function here raises for bytes that are not the JSON asked for: not UTF-8, or nested beyond reason too."""

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_fields_decoder = msgspec.json.Decoder(Fields)
_encoder = msgspec.json.Encoder()


def decode(data: bytes | bytearray | memoryview | msgspec.Raw) -> Any:
    """Parse any JSON value."""
    return _decoder.decode(data)


def decode_fields(data: bytes | bytearray | memoryview) -> Fields:
    """Parse the top level of an object, leaving the values as bytes."""
    return _fields_decoder.decode(data)


def encode(value: object) -> bytes:
    """Write a value; `msgspec.Raw` inside it is copied as it is."""
    return _encoder.encode(value)


def raw(value: object) -> msgspec.Raw:
    """Write a value to stand inside `Fields`."""
    return msgspec.Raw(_encoder.encode(value))
