"""HTTP/2 framing (RFC 9113) as far as a gRPC server for one client needs it: frames out of bytes, and into them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

from processor.errors import WireError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
FRAME_SIZE = 16_384
"""Bytes of the largest frame either side may send unless it was told otherwise; here nobody is told otherwise."""

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FIELDS = 0x20

_HEAD = struct.Struct(">BBL")
_SETTING = struct.Struct(">HL")


class Kind(IntEnum):
    """Frame types."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """The setting that matters here."""

    INITIAL_WINDOW_SIZE = 4


class Frame:
    """One frame. A plain class with slots: a request is a dozen of them."""

    __slots__ = ("flags", "kind", "payload", "stream")

    def __init__(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload


class FrameDecoder:
    """Splits a connection's bytes into frames, wherever they are cut; the client's preface comes first."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames the bytes complete.

        Raises:
            WireError: not HTTP/2, or a frame larger than was agreed.
        """
        if self._rest:
            data = self._rest + data
        position = 0
        if not self._begun:
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._rest = data
                return []
            if not data.startswith(PREFACE):
                raise WireError("a connection that does not begin as HTTP/2 does")
            self._begun = True
            position = len(PREFACE)
        frames = []
        size = len(data)
        while size - position >= 9:
            length = (data[position] << 16) | (data[position + 1] << 8) | data[position + 2]
            if length > FRAME_SIZE:
                raise WireError(f"a frame of {length} bytes, limit {FRAME_SIZE}")
            end = position + 9 + length
            if end > size:
                break
            kind, flags, stream = _HEAD.unpack_from(data, position + 3)
            frames.append(Frame(kind, flags, stream & LARGEST_WINDOW, data[position + 9 : end]))
            position = end
        self._rest = data[position:]
        return frames


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write one frame."""
    return len(payload).to_bytes(3, "big") + _HEAD.pack(kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """A SETTINGS frame's values, by identifier."""
    if len(payload) % _SETTING.size:
        raise WireError("a SETTINGS frame that is cut")
    yield from _SETTING.iter_unpack(payload)


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int = 0) -> bytes:
    """A RST_STREAM frame; code 0 says that nothing more is needed."""
    return frame(Kind.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def unpadded(found: Frame) -> bytes:
    """A DATA or HEADERS frame's payload without padding and priority fields."""
    payload = found.payload
    if found.flags & PADDED:
        if not payload or payload[0] >= len(payload):
            raise WireError("a frame with more padding than it holds")
        payload = payload[1 : len(payload) - payload[0]]
    if found.kind == Kind.HEADERS and found.flags & PRIORITY_FIELDS:
        payload = payload[5:]
    return payload
