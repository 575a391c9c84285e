"""Demo images: a small PNG with a pattern made from a hash of the prompt and the word DEMO on it."""

from __future__ import annotations

import base64
import colorsys
import hashlib
import struct
import zlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from processor.demo.texts import shortened
from processor.errors import MalformedRequest
from processor.wire.json import JSON

MODEL = "demo-image"

_SIDE = 256
_SMALLEST, _LARGEST = 32, 2048

_LETTERS = (
    "##. ### #...# ###",
    "#.# #.. ##.## #.#",
    "#.# ##. #.#.# #.#",
    "#.# #.. #...# #.#",
    "##. ### #...# ###",
)
"""The word DEMO, a row of its pixels a line."""
_CELLS = len(_LETTERS[0]) + 2
"""The picture is a square of this many cells a side: the word with a margin, the pattern above it."""
_PATTERN_ROWS = _CELLS - len(_LETTERS) - 3


class ImagesRequest(msgspec.Struct, frozen=True):
    """`POST /images/generations`, the fields the demo looks at."""

    prompt: Annotated[str, Meta(min_length=1)]
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: Annotated[str, Meta(pattern=r"^(auto|\d{1,4}x\d{1,4})$")] | None = None
    response_format: Literal["url", "b64_json"] | None = None

    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        if self.size is None or self.size == "auto":
            return _SIDE, _SIDE
        width, _, height = self.size.partition("x")
        if not all(_SMALLEST <= int(side) <= _LARGEST for side in (width, height)):
            raise MalformedRequest(f"A side is from {_SMALLEST} to {_LARGEST} pixels long.", param="size")
        return int(width), int(height)


def images(request: ImagesRequest, *, created: int) -> JSON:
    """The whole answer; a `url` is a `data:` URI, for there is no place to keep files."""
    width, height = request.pixels()
    encoded = [base64.b64encode(png(request.prompt, index, width, height)).decode() for index in range(request.n or 1)]
    revised = f"Demo vendor, no model was asked: {shortened(request.prompt)}"
    if request.response_format == "b64_json":
        data = [{"b64_json": picture, "revised_prompt": revised} for picture in encoded]
    else:
        data = [{"url": f"data:image/png;base64,{picture}", "revised_prompt": revised} for picture in encoded]
    return {"created": created, "model": MODEL, "data": data}


def png(prompt: str, index: int, width: int, height: int) -> bytes:
    """The picture of a prompt; each index has a picture of its own."""
    digest = hashlib.sha256(f"{index} {prompt}".encode()).digest()
    lines = [b"\0" + bytes(row[x * _CELLS // width] for x in range(width)) for row in _cells(digest)]
    pixels = b"".join(lines[y * _CELLS // height] for y in range(height))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", _palette(digest[0])),
            _chunk(b"IDAT", zlib.compress(pixels)),
            _chunk(b"IEND", b""),
        )
    )


def _cells(digest: bytes) -> list[list[int]]:
    """Rows of palette indices: 0 background, 1 and 2 the pattern, 3 the word."""
    blank = [0] * _CELLS
    bits = iter(hashlib.shake_256(digest).digest(_PATTERN_ROWS * _CELLS))
    rows = [blank]
    for _ in range(_PATTERN_ROWS):
        half = [(0, 0, 1, 2)[next(bits) & 3] for _ in range(_CELLS // 2 - 1)]
        rows.append([0, *half, next(bits) & 1, *reversed(half), 0])
    rows.append(blank)
    rows.extend([0, *(3 if mark == "#" else 0 for mark in line), 0] for line in _LETTERS)
    return [*rows, blank]


def _palette(seed: int) -> bytes:
    hue = seed / 256
    colours = ((hue, 0.1, 1.0), (hue, 0.5, 0.8), ((hue + 0.4) % 1, 0.5, 0.8), (hue, 0.8, 0.3))
    return bytes(round(255 * part) for colour in colours for part in colorsys.hsv_to_rgb(*colour))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
