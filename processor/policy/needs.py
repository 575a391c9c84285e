"""What a request needs of a target, read off its JSON without parsing it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from processor.domain import Feature
from processor.policy.estimate import estimate_tokens
from processor.wire.json import Fields

_PROMPTS = ("messages", "input", "contents")
_PICTURES = (b'"image_url"', b'"input_image"', b'"image"')
"""Types of parts: OpenAI's chat, its responses, Anthropic's messages. Inside a text their quotes would be escaped."""
_ANSWERS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_INLINE = re.compile(rb'(?:;base64,|"data": ?")([A-Za-z0-9+/=_-]{64,})')
_INLINE_FROM = 512
"""Bytes of a body below which nothing worth looking for is in it."""
_DIGITS = 10
"""Of a number of tokens; no model answers with so many."""
_PICTURE_TOKENS = 1024
"""What a picture or a file takes, roughly: vendors count them by size in pixels or pages, never by bytes."""
_EMPTY = (b"null", b"[]", b"{}", b'""')


def features_needed(fields: Fields) -> frozenset[Feature]:
    """The features of chat without which the request cannot be answered. Reasoning is a hint, never a need."""
    needed = set()
    if _present(fields, "tools") or _present(fields, "functions"):
        needed.add(Feature.TOOLS)
    if b'"json_schema"' in _bytes(fields, "response_format") or b'"json_schema"' in _bytes(fields, "text"):
        needed.add(Feature.STRUCTURED)
    if any(picture in prompt for prompt in _prompts(fields) for picture in _PICTURES):
        needed.add(Feature.VISION)
    return frozenset(needed)


def prompt_tokens(body: bytes) -> int:
    """Tokens in a request's body, estimated. Pictures and files in it count by the piece."""
    size = len(body)
    if size < _INLINE_FROM or (b";base64," not in body and b'"data":' not in body):
        return estimate_tokens(size)
    inline = [len(match[1]) for match in _INLINE.finditer(body)]
    return estimate_tokens(size - sum(inline)) + sum(min(_PICTURE_TOKENS, estimate_tokens(part)) for part in inline)


def answer_tokens(fields: Fields) -> int | None:
    """The most tokens that the client wants; None where it does not say."""
    for name in _ANSWERS:
        text = bytes(_bytes(fields, name))
        if text.isdigit() and len(text) < _DIGITS:
            return int(text)
    return None


def _prompts(fields: Fields) -> Sequence[bytes]:
    return [_bytes(fields, name) for name in _PROMPTS if name in fields]


def _present(fields: Fields, name: str) -> bool:
    return name in fields and _bytes(fields, name) not in _EMPTY


def _bytes(fields: Mapping[str, object], name: str) -> bytes:
    found = fields.get(name)
    return bytes(found) if found is not None else b""  # type: ignore[call-overload]
