"""Which requests one kept answer serves: those that ask the same, of the same, for the same. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from processor.wire.json import Fields

_UNREAD = frozenset({"model", "user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention"})
"""Fields that no answer depends on; the model is told by its targets as well."""


def answer_key(parts: Iterable[str], targets: Sequence[str], fields: Fields) -> str:
    """A digest of the question, in hex.

    Args:
        parts: who asks, for what, of which model.
        targets: who may answer; another list gives other answers.
        fields: the body's top level, as it was written. Other white space is another question.
    """
    digest = hashlib.sha256()
    for part in (*parts, "", *targets, ""):
        _add(digest, part.encode())
    for name in sorted(fields.keys() - _UNREAD):
        _add(digest, name.encode())
        _add(digest, memoryview(fields[name]))
    return digest.hexdigest()


def _add(digest: hashlib._Hash, part: bytes | memoryview) -> None:
    """With its length, so that no two lists of parts look alike."""
    digest.update(len(part).to_bytes(8, "big"))
    digest.update(part)
