"""HTTP/2 frames and gRPC messages, whole and cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import WireError
from processor.wire import http2
from processor.wire.grpc_messages import MessageDecoder, prefixed
from processor.wire.http2 import Frame, FrameDecoder, Kind, Setting

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=300))
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def fields(frames: list[Frame]) -> list[tuple[int, int, int, bytes]]:
    return [(frame.kind, frame.flags, frame.stream, frame.payload) for frame in frames]


@given(FRAMES, st.lists(st.integers(0, 5000), max_size=8))
def test_frames_are_read_back_however_they_are_cut(frames: list[Frame], places: list[int]) -> None:
    wire = http2.PREFACE + b"".join(http2.frame(f.kind, f.flags, f.stream, f.payload) for f in frames)
    for pieces in (cut(wire, places), [wire[i : i + 1] for i in range(len(wire))]):
        decoder = FrameDecoder()
        read = [frame for piece in pieces for frame in decoder.feed(piece)]
        assert fields(read) == fields(frames)


def test_what_does_not_begin_as_http2_is_refused_at_once() -> None:
    with pytest.raises(WireError):
        FrameDecoder().feed(b"GET / ")


def test_a_frame_above_the_agreed_size_is_refused() -> None:
    decoder = FrameDecoder()
    decoder.feed(http2.PREFACE)
    with pytest.raises(WireError, match="limit 16384"):
        decoder.feed(http2.frame(Kind.DATA, 0, 1, b"x" * 16_385)[:20])


def test_padding_and_priority_are_taken_off() -> None:
    padded = Frame(Kind.DATA, http2.PADDED, 1, b"\x03data\x00\x00\x00")
    assert http2.unpadded(padded) == b"data"
    both = Frame(Kind.HEADERS, http2.PADDED | http2.PRIORITY_FIELDS, 1, b"\x01\x00\x00\x00\x00\x10block\x00")
    assert http2.unpadded(both) == b"block"
    with pytest.raises(WireError):
        http2.unpadded(Frame(Kind.DATA, http2.PADDED, 1, b"\x09data"))


def test_settings_are_read_as_they_are_written() -> None:
    [written] = FrameDecoder().feed(http2.PREFACE + http2.settings({Setting.INITIAL_WINDOW_SIZE: 7}))
    assert list(http2.read_settings(written.payload)) == [(4, 7)]
    with pytest.raises(WireError):
        list(http2.read_settings(b"\x00"))


@given(st.lists(st.binary(max_size=400), max_size=12), st.lists(st.integers(0, 5000), max_size=10))
def test_messages_are_read_back_however_they_are_cut(messages: list[bytes], places: list[int]) -> None:
    wire = b"".join(map(prefixed, messages))
    for pieces in (cut(wire, places), [wire[i : i + 1] for i in range(len(wire))]):
        decoder = MessageDecoder(limit=1000)
        assert [message for piece in pieces for message in decoder.feed(piece)] == messages


def test_a_message_over_the_limit_or_compressed_is_refused() -> None:
    with pytest.raises(WireError, match="limit 10"):
        MessageDecoder(limit=10).feed(prefixed(b"x" * 11))
    with pytest.raises(WireError, match="compressed"):
        MessageDecoder(limit=10).feed(b"\x01\x00\x00\x00\x01x")
