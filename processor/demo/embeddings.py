"""Demo embeddings: a unit vector made from a hash of the text, always the same and near no other."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from processor.policy.estimate import estimate_text
from processor.wire.json import JSON

MODEL = "demo-embedding"

_DIMENSIONS = 1536
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048  # OpenAI's limit for one request

_Tokens = list[int]


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """`POST /embeddings`, the fields the demo looks at."""

    input: str | Annotated[list[str | int | _Tokens], Meta(min_length=1, max_length=_MOST_INPUTS)]
    dimensions: Annotated[int, Meta(ge=1, le=_MOST_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

    def texts(self) -> list[str]:
        """What is to be embedded, one text a vector; token numbers stand for themselves."""
        if isinstance(self.input, str):
            return [self.input]
        if all(isinstance(part, int) for part in self.input):
            return [" ".join(map(str, self.input))]
        return [" ".join(map(str, part)) if isinstance(part, list) else str(part) for part in self.input]


def embeddings(request: EmbeddingsRequest) -> JSON:
    """The whole answer."""
    texts = request.texts()
    dimensions = request.dimensions or _DIMENSIONS
    tokens = sum(estimate_text(text) for text in texts)
    return {
        "object": "list",
        "model": MODEL,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _encoded(text, dimensions, request.encoding_format),
            }
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector(text: str, dimensions: int) -> bytes:
    """A unit vector, as little-endian 32-bit floats: what OpenAI's base64 form holds."""
    digest = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    # Odd numbers only: a vector of zeros has no direction.
    values = [2 * value + 1 for value in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(value * value for value in values))
    return struct.pack(f"<{dimensions}f", *(value / length for value in values))


def _encoded(text: str, dimensions: int, encoding: str | None) -> str | list[float]:
    packed = vector(text, dimensions)
    if encoding == "base64":
        return base64.b64encode(packed).decode("ascii")
    return list(struct.unpack(f"<{dimensions}f", packed))
