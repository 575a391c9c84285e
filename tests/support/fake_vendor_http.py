"""Reads HTTP/1.1 requests strictly, and keeps them as they came: header case, order, duplicates, framing, bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from processor.wire.json import decode

Headers = tuple[tuple[str, str], ...]

_HEAD_LIMIT = 256 * 1024  # Envoy's own is 60 KiB of headers
_BODY_LIMIT = 128 * 1024 * 1024  # several times what the gateway takes

_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~\x80-\xff]+) HTTP/(1\.[01])")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")


class BadRequestBytes(ValueError):
    """What a client sent is not HTTP/1.1."""


class Framing(StrEnum):
    """How a body's end is told."""

    NONE = "none"
    LENGTH = "content-length"
    CHUNKED = "chunked"
    CLOSE = "close"
    """It ends with the connection; answers only."""
    RAW = "raw"
    """The bytes are all there is, head included; answers only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request, as it came."""

    method: str
    target: str
    """What stands between method and version, undecoded."""
    version: str
    """`1.1` or `1.0`."""
    headers: Headers
    """As sent, names in their own case, duplicates in their own places; bytes read as Latin-1."""
    head: bytes
    """Everything before the body, byte for byte."""
    body: bytes = b""
    """Without its framing, not decompressed."""
    framing: Framing
    chunk_sizes: tuple[int, ...] = ()
    """Of a chunked body, in bytes, without the last one of 0."""
    trailers: Headers = ()
    connection: int
    """Which connection it came on, counted from 1."""
    complete: bool = True
    """Whether all of the body came; never False among `FakeVendor.requests`."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The target's query, undecoded; empty when there is none."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """A header's value, None when it was not sent; that it was sent twice is an assertion error."""
        values = self.all(name)
        assert len(values) < 2, f"{name} was sent {len(values)} times: {values}"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order; names are compared without regard to case."""
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    def json(self) -> Any:
        """The body, parsed."""
        return decode(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    method: str
    target: str
    version: str
    headers: Headers
    head: bytes
    framing: Framing
    length: int
    expects_continue: bool


class RequestReader:
    """One connection's requests: `feed` bytes, then take `next` until it is None."""

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._chunks: _Chunks | None = None
        self._continue_wanted = False

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data
        if len(self._buffer) > _BODY_LIMIT + _HEAD_LIMIT:
            raise BadRequestBytes(f"more than {_BODY_LIMIT} bytes")

    def next(self) -> Received | None:
        """The next whole request; None when more bytes are needed.

        Raises:
            BadRequestBytes: the bytes break the protocol; nothing more can be read.
        """
        head = self._head
        if head is None:
            end = self._buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                self._check_head_size(len(self._buffer))
                return None
            self._check_head_size(end)
            head = self._head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[:end]
            self._chunks = _Chunks() if head.framing is Framing.CHUNKED else None
            self._continue_wanted = head.expects_continue
        if self._chunks is not None:
            return self._received(head, self._chunks) if self._chunks.take(self._buffer) else None
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        return self._received(head, _Chunks(body))

    def continue_wanted(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends its body; told once."""
        wanted, self._continue_wanted = self._continue_wanted and not self._buffer, False
        return wanted

    def cut(self) -> Received | None:
        """The request that was under way when the connection ended: its head, and what came of the body."""
        if self._head is None:
            return None
        return self._received(self._head, self._chunks or _Chunks(bytes(self._buffer)), complete=False)

    def rest(self) -> bytes:
        """Take the bytes behind the last request: after an upgrade they are another protocol's."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _received(self, head: _Head, chunks: _Chunks, *, complete: bool = True) -> Received:
        self._head = self._chunks = None
        return Received(
            method=head.method,
            target=head.target,
            version=head.version,
            headers=head.headers,
            head=head.head,
            body=bytes(chunks.body),
            framing=head.framing,
            chunk_sizes=tuple(chunks.sizes),
            trailers=chunks.trailers,
            connection=self._connection,
            complete=complete,
        )

    @staticmethod
    def _check_head_size(size: int) -> None:
        if size > _HEAD_LIMIT:
            raise BadRequestBytes(f"a head of more than {_HEAD_LIMIT} bytes")


class _Chunks:
    """A chunked body as it grows; also the plain holder of a body that came whole."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = bytearray(body)
        self.sizes: list[int] = []
        self.trailers: Headers = ()
        self._last = False

    def take(self, buffer: bytearray) -> bool:
        """Move what is whole from `buffer` here; whether the body is."""
        at = 0
        while not self._last:
            taken = self._chunk(buffer, at)
            if taken < 0:
                break
            at = taken
        del buffer[:at]
        return self._last and self._trailers(buffer)

    def _chunk(self, buffer: bytearray, at: int) -> int:
        """Take one chunk; return where the next begins, -1 when it is not whole yet."""
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return -1
        line = _SIZE_LINE.fullmatch(buffer, at, end)
        if line is None:
            raise BadRequestBytes(f"{bytes(buffer[at:end])!r} is no chunk size")
        size = int(line[1], 16)
        if size == 0:
            self._last = True
            return end + 2
        start, stop = end + 2, end + 2 + size
        if len(buffer) < stop + 2:
            return -1
        if buffer[stop : stop + 2] != b"\r\n":
            raise BadRequestBytes("a chunk is longer than it says")
        self.body += buffer[start:stop]
        self.sizes.append(size)
        return stop + 2

    def _trailers(self, buffer: bytearray) -> bool:
        if buffer[:2] == b"\r\n":
            del buffer[:2]
            return True
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.trailers = _parse_headers(bytes(buffer[:end]).split(b"\r\n"))
        del buffer[: end + 4]
        return True


def _parse_head(head: bytes) -> _Head:
    first, *lines = head[:-4].split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        raise BadRequestBytes(f"{first!r} is no request line")
    headers = _parse_headers(lines)
    told = {name.lower(): value for name, value in headers}
    framing, length = _framing(headers, told)
    method, target, version = (part.decode("latin-1") for part in request_line.groups())
    return _Head(
        method=method,
        target=target,
        version=version,
        headers=headers,
        head=head,
        framing=framing,
        length=length,
        expects_continue=told.get("expect", "").lower() == "100-continue",
    )


def _parse_headers(lines: list[bytes]) -> Headers:
    headers = []
    for line in lines:
        header = _HEADER_LINE.fullmatch(line)
        if header is None:
            raise BadRequestBytes(f"{line!r} is no header")
        headers.append((header[1].decode("ascii"), header[2].decode("latin-1")))
    return tuple(headers)


def _framing(headers: Headers, told: Mapping[str, str]) -> tuple[Framing, int]:
    """How the body ends, and its length where that is told; RFC 9112 section 6.3, and no leniency."""
    names = [name.lower() for name, _ in headers]
    if names.count("content-length") + names.count("transfer-encoding") > 1:
        raise BadRequestBytes("more than one content-length or transfer-encoding")
    if (coding := told.get("transfer-encoding")) is not None:
        if coding.lower() != "chunked":
            raise BadRequestBytes(f"transfer-encoding {coding!r}")
        return Framing.CHUNKED, 0
    if (length := told.get("content-length")) is None:
        return Framing.NONE, 0
    if not re.fullmatch(r"[0-9]{1,18}", length) or int(length) > _BODY_LIMIT:
        raise BadRequestBytes(f"content-length {length!r}")
    return Framing.LENGTH, int(length)
