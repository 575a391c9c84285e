"""Which requests belong together: those of one session, one user, or with one beginning of their prompts. Pure.

Vendors keep what they have read of a prompt, by machine and account: a request that comes where its like came before is
answered sooner, for less. Keys are the same in every process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b

_PREFIX = 16_384
"""Bytes of a prompt's part that are looked at."""
_TEXT_PREFIX = 1024
"""Bytes of a part that is no list of messages: it has no end that would stay where it is from call to call. It is the
least that vendors keep."""
_LONGEST = 1024
"""Bytes of a session or user id that are looked at."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z|\\\Z)|[\[\]{}]', re.DOTALL)
"""A string, one that is cut at the end, or a bracket."""
_OF_USER = re.compile(rb'"role"\s*:\s*"user"')
"""Inside of a string its quotes would be escaped."""
_NOTHING = frozenset({b"", b"null", b'""', b"[]"})
_DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class Source(StrEnum):
    """What of a request may tell what it belongs to."""

    SESSION = "session"
    """A header that names a session."""
    USER = "user"
    """OpenAI's `user`, or what goes for it."""
    PROMPT = "prompt"
    """How its prompt begins."""


def affinity_key(
    sources: Sequence[Source],
    *,
    scope: str = "",
    session: str = "",
    user: bytes | memoryview = b"",
    prompt: Sequence[bytes | memoryview] = (),
) -> int | None:
    """64 bits of the first source that the request has; None where it has none of them.

    `scope` keeps one caller's names from those of another. `user` and the parts of `prompt` are raw JSON, in the order
    in which a vendor reads them (`system`, then `messages`).
    """
    for source in sources:
        parts: tuple[bytes, ...]
        match source:
            case Source.SESSION:
                parts = (session.encode(errors="replace")[:_LONGEST],)
            case Source.USER:
                parts = (bytes(user[:_LONGEST]),)
            case Source.PROMPT:
                parts = tuple(prompt_prefix(part) for part in prompt)
        if not _NOTHING.issuperset(parts):
            return _hash(scope.encode(errors="replace"), source.encode(), *parts)
    return None


def prompt_prefix(part: bytes | memoryview) -> bytes:
    """What the calls of one conversation begin with: messages up to the first of the user, or so many bytes."""
    if bytes(part[:1]) != b"[":
        return bytes(part[:_TEXT_PREFIX])
    head = bytes(part[:_PREFIX])
    depth = begins = 0
    for token in _TOKEN.finditer(head):
        step = _DEPTH.get(token[0], 0)
        if step == 1 and depth == 1:
            begins = token.start()
        depth += step
        if step == -1 and depth == 1 and _OF_USER.search(head, begins, token.end()):
            return head[: token.end()]
        if step and not depth:
            break
    return head


def _hash(*parts: bytes) -> int:
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big")
