from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import WireError
from processor.wire.encoding import (
    CHUNK_LIMIT,
    SUPPORTED,
    BrotliCodec,
    Codec,
    Decoder,
    DeflateCodec,
    GzipCodec,
    ZstdCodec,
    decoder_for,
)
from tests.support.pieces import bytewise, cut, places

Encode = Callable[[bytes], bytes]


def bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


ENCODINGS: tuple[tuple[str, Encode], ...] = (
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("br", brotli.compress),
    ("zstd", zstd),
)
encodings = pytest.mark.parametrize(("name", "encode"), ENCODINGS)
bounded = pytest.mark.parametrize(
    ("codec", "encode"),
    [(GzipCodec, gzip.compress), (DeflateCodec, zlib.compress), (BrotliCodec, brotli.compress), (ZstdCodec, zstd)],
)

TEXT = "".join(f'data: {{"n":{number},"text":"日本"}}\n\n' for number in range(300)).encode()
NOISE = random.Random(7).randbytes(20_000)


def decoded(name: str, pieces: Iterable[bytes]) -> bytes:
    decoder = decoder_for(name)
    assert decoder is not None
    return b"".join(map(decoder.feed, pieces)) + decoder.close()


def test_the_encodings_are_these() -> None:
    assert {name for name, _ in ENCODINGS} == set(SUPPORTED)


@encodings
@pytest.mark.parametrize("body", [b"", b"a", TEXT, NOISE], ids=["empty", "byte", "text", "noise"])
def test_a_body_is_decoded_whole_and_byte_by_byte(name: str, encode: Encode, body: bytes) -> None:
    assert decoded(name, [encode(body)]) == body
    assert decoded(name, bytewise(encode(body))) == body


@given(encoding=st.sampled_from(ENCODINGS), body=st.binary(max_size=300), at=places)
def test_a_body_may_be_cut_anywhere(encoding: tuple[str, Encode], body: bytes, at: list[int]) -> None:
    name, encode = encoding
    assert decoded(name, cut(encode(body), at)) == body


@encodings
def test_a_body_that_is_truncated_gives_what_it_has_and_an_error(name: str, encode: Encode) -> None:
    decoder = decoder_for(name)
    assert decoder is not None
    written = encode(NOISE)
    out = decoder.feed(written[: len(written) // 2])
    assert NOISE.startswith(out)
    with pytest.raises(WireError, match="cut"):
        decoder.close()


@encodings
def test_a_body_whose_last_byte_is_missing_is_truncated(name: str, encode: Encode) -> None:
    decoder = decoder_for(name)
    assert decoder is not None
    decoder.feed(encode(TEXT)[:-1])
    with pytest.raises(WireError, match="cut"):
        decoder.close()


@encodings
def test_no_body_at_all_is_not_truncated(name: str, encode: Encode) -> None:
    assert decoded(name, []) == decoded(name, [b"", b""]) == b""


@pytest.mark.parametrize(
    ("name", "window"),
    [("gzip", zlib.MAX_WBITS | 16), ("deflate", zlib.MAX_WBITS), ("deflate", -zlib.MAX_WBITS)],
)
def test_zlib_gives_each_flushed_event_at_once(name: str, window: int) -> None:
    stream, decoder = zlib.compressobj(wbits=window), decoder_for(name)
    assert decoder is not None
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        assert decoder.feed(stream.compress(event) + stream.flush(zlib.Z_SYNC_FLUSH)) == event
    assert decoder.feed(stream.flush()) == decoder.close() == b""


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_members_follow_each_other(name: str, encode: Encode) -> None:
    body = encode(b"one") + encode(b"") + encode(b"two")
    assert decoded(name, [body]) == b"onetwo"
    assert decoded(name, bytewise(body)) == b"onetwo"


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_second_member_may_be_truncated(name: str, encode: Encode) -> None:
    with pytest.raises(WireError, match="cut"):
        decoded(name, [encode(b"one"), encode(b"two")[:-1]])


@encodings
@pytest.mark.parametrize("body", [b"\xff\xfe is not encoded at all" * 3, b"<html>busy</html>"])
def test_bytes_of_no_encoding_are_an_error(name: str, encode: Encode, body: bytes) -> None:
    with pytest.raises(WireError):
        decoded(name, [body])


@given(encoding=st.sampled_from(ENCODINGS), at=st.integers(min_value=0, max_value=10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_raises_nothing_but_a_wire_error(encoding: tuple[str, Encode], at: int, bit: int) -> None:
    name, encode = encoding
    written = bytearray(encode(TEXT))
    written[at % len(written)] ^= 1 << bit
    try:
        decoded(name, [bytes(written)])
    except WireError:
        return


def test_a_gzip_checksum_is_checked() -> None:
    written = bytearray(gzip.compress(TEXT))
    written[-6] ^= 1
    with pytest.raises(WireError):
        decoded("gzip", [bytes(written)])


@pytest.mark.parametrize("header", ["gzip, br", "GZIP,  identity , Br", "gzip, , br"])
def test_the_encoding_applied_last_is_undone_first(header: str) -> None:
    body = brotli.compress(gzip.compress(TEXT))
    assert decoded(header, [body]) == TEXT
    assert decoded(header, bytewise(body)) == TEXT


@pytest.mark.parametrize("header", ["", "identity", " Identity , "])
def test_a_body_that_is_not_encoded_needs_no_decoder(header: str) -> None:
    assert decoder_for(header) is None


@pytest.mark.parametrize("header", ["compress", "gzip, snappy"])
def test_an_encoding_that_is_not_known_is_named(header: str) -> None:
    with pytest.raises(WireError, match=r"compress|snappy"):
        decoder_for(header)


@bounded
def test_a_body_may_come_to_its_limit_and_no_further(codec: type[Codec], encode: Encode) -> None:
    body = bytes(1000)
    assert Decoder([codec()], limit=1000).feed(encode(body)) == body
    with pytest.raises(WireError, match="more than 999"):
        Decoder([codec()], limit=999).feed(encode(body))


@bounded
def test_the_limit_is_that_of_all_chunks_together(codec: type[Codec], encode: Encode) -> None:
    decoder = Decoder([codec()], limit=len(NOISE) - 1)
    pieces = cut(encode(NOISE), list(range(0, len(NOISE), 1000)))
    with pytest.raises(WireError):
        b"".join(map(decoder.feed, pieces))


@bounded
def test_a_chunk_has_a_limit_of_its_own(codec: type[Codec], encode: Encode) -> None:
    with pytest.raises(WireError, match="more than 999"):
        Decoder([codec()], chunk_limit=999).feed(encode(bytes(1000)))
    decoder = Decoder([codec()], chunk_limit=999)
    assert b"".join(map(decoder.feed, bytewise(encode(NOISE)))) == NOISE


@bounded
def test_a_bomb_is_stopped_before_it_has_filled_the_memory(codec: type[Codec], encode: Encode) -> None:
    with pytest.raises(WireError, match=str(CHUNK_LIMIT)):
        Decoder([codec()]).feed(encode(bytes(CHUNK_LIMIT + 1)))


def test_a_bomb_inside_an_encoding_is_stopped_at_each_layer() -> None:
    bomb = gzip.compress(gzip.compress(bytes(3_000_000)))
    with pytest.raises(WireError):
        Decoder([GzipCodec(), GzipCodec()], limit=100_000).feed(bomb)
