"""Content encodings undone piece by piece: gzip, deflate, brotli, zstd, and several on top of each other."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from processor.errors import WireError

OUTPUT_LIMIT = 256 * 1024 * 1024
"""Bytes one body may come to: a stream of the longest answer there is, many times over."""

CHUNK_LIMIT = 32 * 1024 * 1024
"""Bytes one chunk may come to: as much of an answer as anyone here keeps, and a bound on what a bomb can fill."""

_ZSTD_STEP = 512
"""Bytes given to zstd at once, as it takes no bound on its output: four bytes can stand for a block of 128 KiB, so that
a step comes to 16 MiB at most.
"""


class Codec(Protocol):
    """One encoding undone. Bytes that are not in that encoding raise WireError."""

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode the next bytes; raise WireError if they come to more than `room`, soon after they do."""
        ...

    def close(self) -> None:
        """The body has ended; a cut one raises WireError."""
        ...


class GzipCodec:
    """gzip, also of several members."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._fed = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode the next bytes."""
        out = b""
        while data:
            if self._stream.eof:
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self._fed = True
            out += self._stream.decompress(data, room - len(out) + 1)
            _check(out, room)
            data = self._stream.unused_data
        return out

    def close(self) -> None:
        """The body has ended."""
        if self._fed and not self._stream.eof:
            raise WireError("a gzip body that is cut")


class DeflateCodec:
    """deflate: zlib's format, or the bare one that some servers send under its name."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._fed = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode the next bytes."""
        if not data:
            return b""
        if not self._fed and (data[0] & 0x0F) != zlib.DEFLATED:  # RFC 1950: the low bits of zlib's first byte
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._fed = True
        return _check(self._stream.decompress(data, room + 1), room)

    def close(self) -> None:
        """The body has ended."""
        if self._fed and not self._stream.eof:
            raise WireError("a deflate body that is cut")


class BrotliCodec:
    """br."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._fed = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode the next bytes."""
        if not data:
            return b""
        self._fed = True
        return _check(self._stream.process(data, output_buffer_limit=room + 1), room)

    def close(self) -> None:
        """The body has ended."""
        if self._fed and not self._stream.is_finished():
            raise WireError("a brotli body that is cut")


class ZstdCodec:
    """zstd, also of several frames."""

    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._fed = False

    def feed(self, data: bytes, room: int) -> bytes:
        """Decode the next bytes."""
        out = b""
        for start in range(0, len(data), _ZSTD_STEP):
            out += self._step(data[start : start + _ZSTD_STEP])
            _check(out, room)
        return out

    def close(self) -> None:
        """The body has ended."""
        if self._fed and not self._stream.eof:
            raise WireError("a zstd body that is cut")

    def _step(self, data: bytes) -> bytes:
        out = b""
        while data:
            if self._stream.eof:
                self._stream = zstandard.ZstdDecompressor().decompressobj()
            self._fed = True
            out += self._stream.decompress(data)
            data = self._stream.unused_data
        return out


class Decoder:
    """A body's encodings, the last applied first, and the bounds on what comes out, of each of them."""

    def __init__(self, codecs: list[Codec], *, limit: int = OUTPUT_LIMIT, chunk_limit: int = CHUNK_LIMIT) -> None:
        self._codecs = codecs
        self._left = limit
        self._chunk_limit = chunk_limit

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes.

        Raises:
            WireError: they are not as encoded as the header says, or come to more than a limit.
        """
        room = min(self._left, self._chunk_limit)
        try:
            for codec in self._codecs:
                data = codec.feed(data, room)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise WireError(f"a body that is not as encoded as it says: {error}") from None
        self._left -= len(data)
        return data

    def close(self) -> bytes:
        """The body has ended; nothing is held back by then.

        Raises:
            WireError: it was cut.
        """
        for codec in self._codecs:
            codec.close()
        return b""


SUPPORTED: dict[str, Callable[[], Codec]] = {
    "gzip": GzipCodec,
    "x-gzip": GzipCodec,
    "deflate": DeflateCodec,
    "br": BrotliCodec,
    "zstd": ZstdCodec,
}


def decoder_for(content_encoding: str) -> Decoder | None:
    """The decoder for a Content-Encoding header; None where the body is not encoded.

    Raises:
        WireError: an encoding that is not known.
    """
    names = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not names:
        return None
    unknown = [name for name in names if name not in SUPPORTED]
    if unknown:
        raise WireError(f"the content encoding {unknown[0]!r}")
    return Decoder([SUPPORTED[name]() for name in reversed(names)])


def _check(out: bytes, room: int) -> bytes:
    if len(out) > room:
        raise WireError(f"compressed bytes that come to more than {room}")
    return out
