"""OpenAI's embeddings answer, written from another dialect's vectors: as numbers, or in base64."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Literal

from processor.dialects.base import ClientResponse
from processor.dialects.chat_request import Parameters
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, encode

Vector = Sequence[float]


def wants_base64(parameters: Parameters) -> bool:
    """Take `encoding_format`: OpenAI's SDKs ask for base64 where their caller does not choose.

    Raises:
        MalformedRequest: it is neither `float` nor `base64`.
    """
    return bool(parameters.take("encoding_format", Literal["float", "base64"], "float") == "base64")


def answer(
    vectors: Sequence[Vector], usage: Usage | None, *, base64: bool, model: str, answered_by: str = ""
) -> ClientResponse:
    """A list of embeddings in the vectors' order, by `model` unless the vendor said that it was `answered_by` another.

    OpenAI's form knows no unknown usage: None is told as zeros.

    Raises:
        UpstreamProtocolError: a number that no float32 holds.
    """
    tokens = usage.input_tokens if usage else 0
    body: JSON = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": base64_of(vector) if base64 else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": answered_by or model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return ClientResponse(body=encode(body), usage=usage, model=answered_by)


def base64_of(vector: Vector) -> str:
    """Its numbers as little-endian float32, in base64.

    Raises:
        UpstreamProtocolError: a number that no float32 holds.
    """
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (OverflowError, struct.error):
        raise UpstreamProtocolError("The vendor's vector holds a number that no float32 holds.") from None
