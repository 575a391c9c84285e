from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processor.errors import WireError
from processor.wire.sse import SSEDecoder, SSEEvent, encode_data
from tests.support.pieces import bytewise, cut, fed, places

Told = list[tuple[str, bytes]]
"""Name and data of each event."""


def events(pieces: Iterable[bytes]) -> list[SSEEvent]:
    decoder = SSEDecoder()
    return [*fed(decoder.feed, pieces), *decoder.close()]


def told(body: bytes) -> Told:
    return [(event.event, event.data) for event in events([body])]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data\n\n", [("", b"")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"event: ping\ndata: a\n\n", [("ping", b"a")]),
        (b"data: a\nevent: ping\nid: 7\nretry: 9\n\n", [("ping", b"a")]),
        (b": keep-alive\n\ndata: a\n\n", [("", b""), ("", b"a")]),
        (b": said\ndata: a\n\n", [("", b"a")]),
        (b"data: a: b\n\n", [("", b"a: b")]),
        (b"id:7\nevent:result\n:HTTP_STATUS/200\ndata:{}\n\n", [("result", b"{}")]),  # DashScope's
    ],
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_lines_may_end_in_any_way(body: bytes, expected: Told, line_end: bytes) -> None:
    assert told(body.replace(b"\n", line_end)) == expected


def test_line_ends_may_be_mixed() -> None:
    assert told(b"data: a\r\n\ndata: b\r\rdata: c\n\r\ndata: d\n\n") == [
        ("", letter) for letter in (b"a", b"b", b"c", b"d")
    ]


def test_blank_lines_are_no_events() -> None:
    assert told(b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n") == [("", b"a"), ("", b"b")]
    assert told(b"\r\n\r\n\r\ndata: a\r\n\r\n\r\n") == [("", b"a")]


def test_a_byte_order_mark_is_dropped_from_the_beginning_alone() -> None:
    assert told(b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbf\n\n") == [("", b"a"), ("", b"\xef\xbb\xbf")]


def test_a_byte_order_mark_may_be_cut() -> None:
    assert [event.data for event in events(bytewise(b"\xef\xbb\xbfdata: a\n\n"))] == [b"a"]


def test_an_event_comes_as_soon_as_its_empty_line() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert [event.data for event in decoder.feed(b"\nda")] == [b"a"]
    assert [event.data for event in decoder.feed(b"ta: b\r\n\r\n")] == [b"b"]


def test_a_carriage_return_waits_for_its_line_feed() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == []
    assert [event.raw for event in decoder.feed(b"\n")] == [b"data: a\r\n\r\n"]
    assert decoder.close() == []


def test_the_last_event_may_lack_its_empty_line() -> None:
    for body in (b"data: a", b"data: a\n", b"data: a\r", b"data: a\r\n", b"data: a\r\r"):
        assert told(body) == [("", b"a")], body


def test_an_event_keeps_its_own_bytes() -> None:
    written = [b": hi\n\n", b"data:a\ndata: b\n\n", b"id: 1\r\ndata: c\r\n\r\n", b"data: d\n\n"]
    assert [event.raw for event in events([b"".join(written)])] == written


def test_an_event_over_the_limit_is_refused_before_it_ends() -> None:
    decoder = SSEDecoder(limit=10)
    decoder.feed(b"data: 7890")
    with pytest.raises(WireError, match="10 bytes"):
        decoder.feed(b"1")


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_lines_that_never_end_an_event_are_refused(line_end: bytes) -> None:
    with pytest.raises(WireError):
        fed(SSEDecoder(limit=1000).feed, [b"data: a" + line_end] * 200)


def test_the_limit_is_that_of_one_event() -> None:
    decoder = SSEDecoder(limit=30)
    assert len(fed(decoder.feed, cut(b"data: a\n\n" * 100, list(range(0, 900, 7))))) == 100


@pytest.mark.parametrize("chunk", [b"a" * 64, b"a" * 57 + b"\ndata: "], ids=["one line", "many lines"])
def test_a_long_event_in_small_chunks_is_not_copied_with_each(chunk: bytes) -> None:
    """Quadratic copying would take minutes."""
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(200_000):
        decoder.feed(chunk)
    assert [len(event.raw) for event in decoder.feed(b"\n\n")] == [200_000 * len(chunk) + 8]


_line = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"event: x", b": c", b"id: 1", b"", b"", b"", "data: 日".encode()]
)
_bodies = st.builds(
    b"".join,
    st.lists(st.builds(lambda line, end: line + end, _line, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12),
)


@given(body=_bodies, at=places, bom=st.booleans())
@example(body=b"data: a\n\n\ndata: b\n\r\ndata: c\n\n", at=[10], bom=False)
@example(body=b"data: a\n\rdata: b", at=[9], bom=False)
@example(body=b"data:a\ndata:b\n\rdata: c\n", at=[15], bom=False)
def test_it_does_not_matter_where_a_body_is_cut(body: bytes, at: list[int], bom: bool) -> None:
    body = b"\xef\xbb\xbf" + body if bom else body
    assert events(cut(body, at)) == events([body])
    assert events(bytewise(body)) == events([body])


@given(body=_bodies)
def test_the_way_lines_end_changes_nothing_else(body: bytes) -> None:
    plain = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert told(body) == told(plain)


@given(body=st.binary(max_size=60), at=places)
def test_any_bytes_will_do(body: bytes, at: list[int]) -> None:
    assert [event.data for event in events(cut(body, at))] == [event.data for event in events([body])]


@given(
    data=st.binary(max_size=30).filter(lambda data: not set(b"\r\n") & set(data)), name=st.sampled_from(["", "ping"])
)
def test_what_is_written_is_read_back(data: bytes, name: str) -> None:
    assert told(encode_data(data, name)) == [(name, data)]
