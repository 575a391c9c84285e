"""Tokens from text, for answers whose vendor gave no count. Rough on purpose, and always marked as an estimate."""

from __future__ import annotations

from processor.domain import Operation

_UNITS_PER_TOKEN = 4
"""Bytes of UTF-8 a token: about four letters of Latin script, and one and a third Chinese characters of three bytes."""


def estimate_tokens(size: int) -> int:
    """Tokens in `size` bytes of UTF-8, rounded up."""
    return -(-size // _UNITS_PER_TOKEN)


def estimate_text(text: str) -> int:
    """Tokens in a text, at least one if there is any."""
    return estimate_tokens(len(text.encode()))


GENERATING = frozenset(
    {
        Operation.CHAT,
        Operation.TEXT_COMPLETION,
        Operation.MESSAGES,
        Operation.RESPONSES,
        Operation.GENERATE_CONTENT,
    }
)
"""Operations whose tokens, in and out, can be estimated from text."""
READING = frozenset({Operation.EMBEDDINGS, Operation.RERANK, Operation.MODERATIONS})
"""Operations that only take tokens. Images and sound are neither: what they cost does not show in bytes."""
