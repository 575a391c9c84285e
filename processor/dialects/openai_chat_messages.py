"""Changes to a chat request's messages, of which only the roles are read until a change is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from processor.dialects.base import Asked
from processor.errors import MalformedRequest
from processor.wire.json import JSON, Fields, JSONError, decode, raw


class Head(msgspec.Struct, gc=False):
    """What a message is skimmed for: 20 MB of images are passed over in 3 ms."""

    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")


Heads = Sequence[Head]
Raws = list[msgspec.Raw]
"""The messages, each as the bytes it came in."""

_heads = msgspec.json.Decoder(list[Head])
_raws = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Change:
    """One change, and how the heads tell whether it is needed."""

    needed: Callable[[Heads], bool]
    apply: Callable[[Heads, Raws], Raws]


@dataclass(frozen=True, slots=True)
class Messages:
    """The edit that makes these changes, one after the other. A message that needs none keeps its bytes."""

    changes: tuple[Change, ...]

    def apply(self, fields: Fields, asked: Asked) -> None:  # noqa: ARG002 - for every model
        """Make those that are needed."""
        if "messages" not in fields:
            return
        heads = _skimmed(fields["messages"])
        for change in self.changes:
            if change.needed(heads):
                fields["messages"] = raw(change.apply(heads, split(fields)))
                heads = _skimmed(fields["messages"])


def split(fields: Fields) -> Raws:
    """The request's messages."""
    try:
        return _raws.decode(fields["messages"]) if "messages" in fields else []
    except JSONError:
        raise _malformed() from None


def _skimmed(messages: msgspec.Raw) -> list[Head]:
    try:
        return _heads.decode(messages)
    except JSONError:
        raise _malformed() from None


def _malformed() -> MalformedRequest:
    return MalformedRequest("`messages` must be a list of objects, each with a role.", param="messages")


def _each(chosen: Callable[[Head], bool], change: Callable[[JSON], JSON]) -> Change:
    """A change to every message whose head is chosen."""
    return Change(
        needed=lambda heads: any(map(chosen, heads)),
        apply=lambda heads, raws: [
            raw(change(decode(message))) if chosen(head) else message for head, message in zip(heads, raws, strict=True)
        ],
    )


def _one_system_first(heads: Heads, raws: Raws) -> Raws:
    """One system message before all others; the texts of several are joined."""
    system = [decode(message) for head, message in zip(heads, raws, strict=True) if head.role == "system"]
    others = [message for head, message in zip(heads, raws, strict=True) if head.role != "system"]
    text = "\n\n".join(_text(message.get("content")) for message in system)
    return [raw({"role": "system", "content": text}), *others]


def _neighbours_merged(heads: Heads, raws: Raws) -> Raws:
    """Neighbours of one role as one message, where both are nothing but text."""
    merged: Raws = []
    last: JSON | None = None
    for number, message in enumerate(raws):
        beside = any(_alike(heads[a], heads[a + 1]) for a in (number - 1, number) if 0 <= a < len(heads) - 1)
        this = _plain(decode(message)) if beside else None
        if this and last and this["role"] == last["role"]:
            last = {"role": last["role"], "content": f"{last['content']}\n\n{this['content']}"}
            merged[-1] = raw(last)
        else:
            last = this
            merged.append(message)
    return merged


def _alike(one: Head, other: Head) -> bool:
    return one.role == other.role and one.role in ("user", "assistant")


def _plain(message: JSON) -> JSON | None:
    """The message if it is a role and a text."""
    return message if len(message) == 2 and isinstance(message.get("content"), str) else None


def _text_parts_only(head: Head) -> bool:
    content = bytes(memoryview(head.content)[:1])
    return content == b"[" and all(_is_text(part) for part in decode(head.content))


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if _is_text(part))
    return content if isinstance(content, str) else ""


DEVELOPER_TO_SYSTEM = _each(lambda head: head.role == "developer", lambda message: {**message, "role": "system"})
"""For vendors that do not know OpenAI's newer role."""

SYSTEM_FIRST = Change(
    needed=lambda heads: any(head.role == "system" for head in heads[1:]),
    apply=_one_system_first,
)
"""For vendors that take one system message, at the very beginning."""

MERGE_NEIGHBOURS = Change(
    needed=lambda heads: any(_alike(one, other) for one, other in pairwise(heads)),
    apply=_neighbours_merged,
)
"""For vendors whose turns must alternate."""

FILL_EMPTY_ASSISTANT = _each(
    lambda head: head.role == "assistant" and bytes(head.content) == b'""',
    lambda message: {**message, "content": None if message.get("tool_calls") else " "},
)
"""For vendors that refuse an assistant's turn which says nothing: a space, or null beside tool calls."""

FLATTEN_TEXT = _each(_text_parts_only, lambda message: {**message, "content": _text(message["content"])})
"""For models that read text only, and only as a string."""
