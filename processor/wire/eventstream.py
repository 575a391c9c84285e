"""AWS event stream messages (`application/vnd.amazon.eventstream`) out of bytes.

    u32 length of all | u32 length of headers | u32 CRC of these two | headers | payload | u32 CRC of all before

Numbers are big-endian, CRCs are CRC-32. A header is `u8 length, name, u8 type, value`; AWS publishes the format as
"Event Stream Encoding".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct, error
from zlib import crc32

from processor.errors import WireError

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of one message."""

HEADERS_LIMIT = 128 * 1024
"""Bytes of one message's headers: AWS's own limit."""

HeaderValue = bool | int | str | bytes
Headers = dict[str, HeaderValue]

_PRELUDE = Struct(">III")
_CRC = Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size


@dataclass(slots=True)
class EventStreamMessage:
    """One message."""

    headers: Headers
    """Timestamps are milliseconds since the epoch, UUIDs their 16 bytes. Not to be changed: messages share them."""
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a string; empty when there is none."""
        found = self.headers.get(name)
        return found if isinstance(found, str) else ""


class EventStreamDecoder:
    """Splits a body into messages, wherever its chunks are cut."""

    def __init__(self, *, limit: int = MESSAGE_LIMIT) -> None:
        self._limit = limit
        self._rest: list[bytes] = []
        """The pieces of a message that is not whole yet: joined only when it is, or its next part must be read."""
        self._size = 0
        self._needed = _PRELUDE.size
        self._known: tuple[bytes, Headers] = (b"", {})
        """The latest headers: nearly every message of a stream has those of the one before."""

    def feed(self, chunk: bytes) -> list[EventStreamMessage]:
        """Take the next bytes; return the messages they complete.

        Raises:
            WireError: a checksum or a length is wrong, headers cannot be read, or a message is larger than the limit.
        """
        if self._size + len(chunk) < self._needed:
            self._keep(chunk)
            return []
        data = b"".join((*self._rest, chunk)) if self._rest else chunk
        messages: list[EventStreamMessage] = []
        at = 0
        while len(data) - at >= _PRELUDE.size:
            total, head = self._lengths(data, at)
            if len(data) - at < total:
                self._needed = total
                break
            messages.append(self._message(data[at : at + total], head))
            at += total
            self._needed = _PRELUDE.size
        self._rest, self._size = [], 0
        self._keep(data[at:])
        return messages

    def close(self) -> None:
        """The body has ended.

        Raises:
            WireError: in the middle of a message.
        """
        if self._size:
            raise WireError(f"the body ends within a message, {self._size} bytes after its beginning")

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._rest.append(rest)
            self._size += len(rest)

    def _lengths(self, data: bytes, at: int) -> tuple[int, int]:
        """Of the message and its headers. The prelude has its own checksum, so that no length is believed blindly."""
        total, head, checksum = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + 8]) != checksum:
            raise WireError("the checksum of a message's prelude is wrong")
        if total > self._limit or head > HEADERS_LIMIT:
            raise WireError(f"a message of {total} bytes, {head} of them headers")
        if total < head + _OVERHEAD:
            raise WireError(f"a message of {total} bytes cannot hold {head} bytes of headers")
        return total, head

    def _message(self, data: bytes, head: int) -> EventStreamMessage:
        if crc32(memoryview(data)[:-4]) != _CRC.unpack_from(data, len(data) - 4)[0]:
            raise WireError("the checksum of a message is wrong")
        start = _PRELUDE.size + head
        written = data[_PRELUDE.size : start]
        if written != self._known[0]:
            self._known = (written, _headers(written))
        return EventStreamMessage(self._known[1], data[start:-4])


def _headers(data: bytes) -> Headers:
    headers: Headers = {}
    at = 0
    try:
        while at < len(data):
            name, at = _sized(data, at, _U8)
            value, at = _READERS[data[at]](data, at + 1)
            if (text := name.decode()) in headers:
                raise WireError(f"the header {text!r} stands there twice")
            headers[text] = value
    except (error, IndexError, KeyError, UnicodeDecodeError) as cause:
        raise WireError(f"a message's headers cannot be read: {cause!r}") from None
    return headers


_U8, _U16 = Struct(">B"), Struct(">H")

_Reader = Callable[[bytes, int], tuple[HeaderValue, int]]
"""Reads the value at a place; returns it, and the place behind it."""


def _sized(data: bytes, at: int, length: Struct) -> tuple[bytes, int]:
    """Bytes behind their own length."""
    start = at + length.size
    end = start + length.unpack_from(data, at)[0]
    return _slice(data, start, end), end


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError(end)
    return data[start:end]


def _text(data: bytes, at: int) -> tuple[str, int]:
    value, end = _sized(data, at, _U16)
    return value.decode(), end


def _number(format: str) -> _Reader:  # noqa: A002 - the struct module's word
    packed = Struct(format)
    return lambda data, at: (packed.unpack_from(data, at)[0], at + packed.size)


_READERS: dict[int, _Reader] = {
    0: lambda _, at: (True, at),
    1: lambda _, at: (False, at),
    2: _number(">b"),
    3: _number(">h"),
    4: _number(">i"),
    5: _number(">q"),
    6: lambda data, at: _sized(data, at, _U16),
    7: _text,
    8: _number(">q"),
    9: lambda data, at: (_slice(data, at, at + 16), at + 16),
}
"""By a header's type: true, false, byte, short, integer, long, bytes, string, timestamp, UUID."""
