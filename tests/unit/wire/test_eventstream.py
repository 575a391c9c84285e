from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.errors import WireError
from processor.wire.eventstream import EventStreamDecoder, EventStreamMessage
from tests.support.eventstream import encoded, header, message
from tests.support.pieces import bytewise, cut, fed, places

EVENTS = [
    {"type": "messageStart", "payload": {"role": "assistant"}},
    {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": "你好 👋"}}},
    {"type": "contentBlockDelta", "payload": {"contentBlockIndex": 0, "delta": {"text": ""}}},
    {"exception": "throttlingException", "payload": {"message": "slow down"}},
]
BODY = encoded(EVENTS)

_numbers = st.sampled_from([("byte", 7), ("short", 15), ("integer", 31), ("long", 63), ("timestamp", 63)]).flatmap(
    lambda kind: st.tuples(st.just(kind[0]), st.integers(min_value=-(2 ** kind[1]), max_value=2 ** kind[1] - 1))
)
_values = st.one_of(
    st.booleans(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.tuples(st.just("uuid"), st.binary(min_size=16, max_size=16)),
    _numbers,
)
_headers = st.dictionaries(st.text(min_size=1, max_size=10), _values, max_size=5)
_messages = st.lists(st.tuples(_headers, st.binary(max_size=60)), max_size=5)


def decoded(pieces: Iterable[bytes]) -> list[tuple[dict[str, Any], bytes]]:
    decoder = EventStreamDecoder()
    found = [(one.headers, one.payload) for one in fed(decoder.feed, pieces)]
    decoder.close()
    return found


def as_botocore_reads(body: bytes) -> list[tuple[dict[str, Any], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    return [(one.headers, one.payload) for one in buffer]


def broken(body: bytes) -> pytest.ExceptionInfo[WireError]:
    """How the body fails, whole and byte by byte."""
    with pytest.raises(WireError):
        EventStreamDecoder().feed(body)
    with pytest.raises(WireError) as refused:
        fed(EventStreamDecoder().feed, bytewise(body))
    return refused


def test_events_and_exceptions_are_told_apart_by_their_headers() -> None:
    first, *_, last = EventStreamDecoder().feed(BODY)
    assert first == EventStreamMessage(
        {":event-type": "messageStart", ":content-type": "application/json", ":message-type": "event"},
        b'{"role":"assistant"}',
    )
    assert (last.text(":message-type"), last.text(":exception-type")) == ("exception", "throttlingException")
    assert last.text(":event-type") == ""


def test_every_type_of_header_has_its_value() -> None:
    headers = {
        "yes": True,
        "no": False,
        "byte": ("byte", -1),
        "short": ("short", -2),
        "integer": ("integer", -3),
        "long": ("long", -4),
        "bytes": b"\x00\xff",
        "text": "é",
        "time": ("timestamp", 1790000000000),
        "uuid": ("uuid", bytes(range(16))),
    }
    ((found, payload),) = decoded([message(headers, b"")])
    plain = {name: value[1] if isinstance(value, tuple) else value for name, value in headers.items()}
    assert (found, payload) == (plain, b"")
    assert (found["yes"], found["no"]) == (True, False)


def test_a_header_that_is_no_string_has_no_text() -> None:
    (found,) = EventStreamDecoder().feed(message({"n": ("byte", 1)}, b""))
    assert found.text("n") == ""


def test_messages_are_found_byte_by_byte() -> None:
    assert decoded(bytewise(BODY)) == decoded([BODY])
    assert len(decoded([BODY])) == len(EVENTS)


@given(at=places)
@settings(deadline=None)
def test_messages_are_found_wherever_the_body_is_cut(at: list[int]) -> None:
    assert decoded(cut(BODY, at)) == decoded([BODY])


@given(messages=_messages, at=places)
@settings(max_examples=200, deadline=None)
def test_messages_are_read_as_botocore_reads_them(messages: list[tuple[dict[str, Any], bytes]], at: list[int]) -> None:
    body = b"".join(message(headers, payload) for headers, payload in messages)
    assert decoded(cut(body, at)) == as_botocore_reads(body)


@given(place=st.integers(min_value=0, max_value=len(BODY) - 1), bit=st.integers(min_value=0, max_value=7))
@settings(max_examples=200, deadline=None)
def test_no_flipped_bit_passes(place: int, bit: int) -> None:
    body = bytearray(BODY)
    body[place] ^= 1 << bit
    with pytest.raises(WireError):
        decoded([bytes(body)])


@given(body=st.binary(max_size=200))
def test_noise_is_a_wire_error_or_an_unfinished_message(body: bytes) -> None:
    try:
        assert decoded([body]) == []
    except WireError:
        return
    assert not body


@pytest.mark.parametrize("length", [1, 11, 12, 13, len(BODY) - 1])
def test_a_body_that_ends_within_a_message_is_cut(length: int) -> None:
    decoder = EventStreamDecoder()
    decoder.feed(BODY[:length])
    with pytest.raises(WireError, match="ends within a message"):
        decoder.close()


def test_a_message_over_the_limit_is_refused_before_its_payload_comes() -> None:
    body = message({}, b"x" * 100)
    assert len(EventStreamDecoder(limit=len(body)).feed(body)) == 1
    with pytest.raises(WireError, match="116 bytes"):
        EventStreamDecoder(limit=len(body) - 1).feed(body[:12])


def test_lengths_are_not_believed_without_their_checksum() -> None:
    body = message({}, b"x" * 100)
    with pytest.raises(WireError, match="prelude"):
        EventStreamDecoder().feed(body[:8] + b"\0\0\0\0")


def test_headers_over_the_limit_are_refused() -> None:
    headers = {str(number): b"x" * 60_000 for number in range(3)}
    assert "of them headers" in str(broken(message(headers, b"")).value)


def test_a_message_shorter_than_its_headers_is_refused() -> None:
    prelude = (20).to_bytes(4, "big") + (5).to_bytes(4, "big")
    body = prelude + crc32(prelude).to_bytes(4, "big") + bytes(8)
    assert "cannot hold" in str(broken(body).value)


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05abc",  # a name that is longer than the headers
        b"\x01a",  # no type
        b"\x01a\x0a",  # an unknown type
        b"\x01a\x04\x00\x00",  # half a number
        b"\x01a\x07\x00",  # half a length
        b"\x01a\x07\x00\x05hi",  # a text that is longer than the headers
        b"\x01a\x09" + bytes(15),  # half a UUID
        b"\x01\xff\x00",  # a name that is not UTF-8
        b"\x01a\x07\x00\x01\xff",  # a text that is not UTF-8
        header("a", True) + header("a", False),  # one name twice
    ],
)
def test_headers_that_break_the_format_are_refused(headers: bytes) -> None:
    prelude = (16 + len(headers)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    body = prelude + crc32(prelude).to_bytes(4, "big") + headers
    broken(body + crc32(body).to_bytes(4, "big"))


def test_a_long_message_is_found_in_many_small_chunks() -> None:
    body = message({}, b"x" * 400_000) + message({}, b"y")
    found = fed(EventStreamDecoder().feed, (body[at : at + 400] for at in range(0, len(body), 400)))
    assert [one.payload for one in found] == [b"x" * 400_000, b"y"]
