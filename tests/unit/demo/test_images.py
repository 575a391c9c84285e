from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator

import pytest

from processor.demo.images import ImagesRequest, images, png
from processor.errors import MalformedRequest


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A PNG's chunks, each checksum checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + length


@pytest.mark.parametrize(("width", "height"), [(256, 256), (512, 300), (32, 32)])
def test_a_picture_is_a_whole_png_of_the_size_asked_for(width: int, height: int) -> None:
    data = png("a cat", 0, width, height)
    chunks = dict(png_chunks(data))
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (width, height, 8, 3, 0, 0, 0)
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(pixels) == height * (width + 1)
    rows = [pixels[start : start + width + 1] for start in range(0, len(pixels), width + 1)]
    assert {row[0] for row in rows} == {0}
    assert max(max(row) for row in rows) == 3, "the word DEMO is drawn in the palette's last colour"
    assert len(chunks[b"PLTE"]) == 4 * 3
    assert len(data) < 4_000


def test_a_picture_belongs_to_its_prompt() -> None:
    assert png("a cat", 0, 64, 64) == png("a cat", 0, 64, 64)
    assert png("a cat", 0, 64, 64) != png("a dog", 0, 64, 64)
    assert png("a cat", 0, 64, 64) != png("a cat", 1, 64, 64)


def test_pictures_come_in_base64_or_as_data_uris() -> None:
    inline = images(ImagesRequest(prompt="a cat", n=2, response_format="b64_json"), created=7)
    assert inline["created"] == 7
    assert [base64.b64decode(item["b64_json"]) for item in inline["data"]] == [
        png("a cat", index, 256, 256) for index in range(2)
    ]
    linked = images(ImagesRequest(prompt="a cat", n=2), created=7)
    assert [item["url"] for item in linked["data"]] == [
        "data:image/png;base64," + item["b64_json"] for item in inline["data"]
    ]
    assert all("Demo vendor" in item["revised_prompt"] for item in linked["data"])


@pytest.mark.parametrize("size", ["31x256", "256x4096"])
def test_a_size_that_is_no_picture_is_refused(size: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        images(ImagesRequest(prompt="a cat", size=size), created=7)
    assert caught.value.param == "size"
