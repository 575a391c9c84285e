"""Content encodings undone piece by piece: gzip, deflate, brotli, zstd, and several on top of each other."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from processor.errors import WireError

OUTPUT_LIMIT = 256 * 1024 * 1024
"""Bytes one body may come to: twice the largest answer that is kept, and a bound on what a bomb can fill."""


class Decoder(Protocol):
    """Takes encoded bytes, gives decoded ones. Both methods raise WireError for bytes that are not that encoding."""

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes."""
        ...

    def close(self) -> bytes:
        """The body has ended; a cut one is an error."""
        ...


class GzipDecoder:
    """gzip, also of several members."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes."""
        out = b""
        while data:
            if self._stream.eof:
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self._fed = True
            out += _mapped(self._stream.decompress, data)
            data = self._stream.unused_data
        return out

    def close(self) -> bytes:
        """The body has ended."""
        if self._fed and not self._stream.eof:
            raise WireError("a gzip body that is cut")
        return b""


class DeflateDecoder:
    """deflate: zlib's format, or the bare one that some servers send under its name."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._first = True
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes."""
        if not data:
            return b""
        self._fed = True
        if self._first:
            self._first = False
            if (data[0] & 0x0F) != zlib.DEFLATED:  # RFC 1950: the low bits of zlib's first byte
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        return _mapped(self._stream.decompress, data)

    def close(self) -> bytes:
        """The body has ended."""
        if self._fed and not self._stream.eof:
            raise WireError("a deflate body that is cut")
        return b""


class BrotliDecoder:
    """br."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes."""
        if not data:
            return b""
        self._fed = True
        return _mapped(self._stream.process, data)

    def close(self) -> bytes:
        """The body has ended."""
        if self._fed and not self._stream.is_finished():
            raise WireError("a brotli body that is cut")
        return b""


class ZstdDecoder:
    """zstd, also of several frames."""

    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes."""
        out = b""
        while data:
            if self._stream.eof:
                self._stream = zstandard.ZstdDecompressor().decompressobj()
            self._fed = True
            out += _mapped(self._stream.decompress, data)
            data = self._stream.unused_data
        return out

    def close(self) -> bytes:
        """The body has ended."""
        if self._fed and not self._stream.eof:
            raise WireError("a zstd body that is cut")
        return b""


class BoundedDecoder:
    """Several encodings, the last applied first, and the bound on what comes out."""

    def __init__(self, decoders: list[Decoder], *, limit: int = OUTPUT_LIMIT) -> None:
        self._decoders = decoders
        self._left = limit
        self._limit = limit

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes."""
        for decoder in self._decoders:
            data = decoder.feed(data)
        return self._counted(data)

    def close(self) -> bytes:
        """The body has ended: flush each, through those that follow it."""
        data = b""
        for decoder in self._decoders:
            data = (decoder.feed(data) if data else b"") + decoder.close()
        return self._counted(data)

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise WireError(f"a compressed body of more than {self._limit} bytes")
        return data


SUPPORTED: dict[str, Callable[[], Decoder]] = {
    "gzip": GzipDecoder,
    "x-gzip": GzipDecoder,
    "deflate": DeflateDecoder,
    "br": BrotliDecoder,
    "zstd": ZstdDecoder,
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
    return BoundedDecoder([SUPPORTED[name]() for name in reversed(names)])


def _mapped(decode: Callable[[bytes], bytes], data: bytes) -> bytes:
    try:
        return decode(data)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise WireError(f"a body that is not as encoded as it says: {error}") from None
