"""What an OpenAI image request asks of Google's models: sizes become ratios, since neither family takes pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, Literal

from processor.dialects.base import Asked
from processor.dialects.chat_request import HINTS, Parameters, unsupported
from processor.errors import MalformedRequest
from processor.wire.json import JSON

MOST = 10
"""Pictures of one request, by OpenAI's own limit: each may be a call."""

_HINTS = HINTS | {"moderation"}

_HARMLESS: tuple[tuple[str, Any, tuple[object, ...]], ...] = (
    ("quality", str, ("auto", "standard")),
    ("background", str, ("auto", "opaque")),
    ("partial_images", int, (0,)),
)
"""Values that ask for what happens anyway."""

_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")

_WORDS = (("4K", 3072), ("2K", 1920))
"""Google's names for sizes, and the longer side from which they are meant; without one a picture has about 1024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWanted:
    """The request, read."""

    prompt: str
    count: int
    size: tuple[int, int] | None
    """Width and height; None where the model is to choose."""
    as_url: bool
    """Whether the picture is to come as a URL, which can only be a `data:` one."""
    output: JSON = field(default_factory=dict)
    """Imagen's `outputOptions`."""


def wanted_image(asked: Asked, *, imagen: bool) -> ImageWanted:
    """Read a request.

    Raises:
        MalformedRequest: a parameter is wrong, or the model cannot do what it asks.
    """
    if asked.stream and not asked.drop_params:
        raise unsupported("stream", asked.model)
    parameters = Parameters(asked)
    prompt = parameters.take("prompt", str, "")
    if not prompt:
        raise MalformedRequest("`prompt` must be a text.", param="prompt")
    count = parameters.take("n", int, 1)
    if not 1 <= count <= MOST:
        raise MalformedRequest(f"`n` must be between 1 and {MOST}.", param="n")
    wanted = ImageWanted(
        prompt=prompt,
        count=count,
        size=_size(parameters.take("size", str, "auto")),
        as_url=parameters.take("response_format", Literal["url", "b64_json"], "b64_json") == "url",
        output=_output(parameters, asked, imagen=imagen),
    )
    for name, kind, values in _HARMLESS:
        value = parameters.take(name, kind)
        if value is not None and value not in values and not asked.drop_params:
            raise unsupported(name, asked.model)
    parameters.settle(hints=_HINTS)
    return wanted


def nearest(size: tuple[int, int], ratios: Sequence[str]) -> str:
    """The ratio most like a size's; of two as near the first."""
    wanted = log(size[0] / size[1])
    return min(ratios, key=lambda ratio: abs(wanted - log(_quotient(ratio))))


def size_word(size: tuple[int, int], *, most: Literal["2K", "4K"]) -> str:
    """Google's name for a large size, empty for a common one; `most` is the largest the model makes."""
    word = next((word for word, side in _WORDS if max(size) >= side), "")
    return min(word, most)


def _quotient(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)


def _size(text: str) -> tuple[int, int] | None:
    if text == "auto":
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise MalformedRequest("`size` must be `<width>x<height>` or `auto`.", param="size")
    return int(found[1]), int(found[2])


def _output(parameters: Parameters, asked: Asked, *, imagen: bool) -> JSON:
    """The file's format: Imagen's to choose; the others' is PNG."""
    kind = parameters.take("output_format", Literal["png", "jpeg", "webp"])
    known = ("png", "jpeg") if imagen else ("png",)
    if kind is not None and kind not in known:
        if asked.drop_params:
            return {}
        raise unsupported("output_format", asked.model)
    if kind is None or not imagen:
        return {}
    output: JSON = {"mimeType": f"image/{kind}"}
    if kind == "jpeg" and (quality := parameters.take("output_compression", int)) is not None:
        output["compressionQuality"] = quality
    return output
