"""Anthropic's answers, read: the shapes of blocks and events, and what they mean in OpenAI's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder

from processor.dialects.anthropic_turns import REASONING_FORMAT
from processor.dialects.chat_answer import reasoning_encrypted, reasoning_text
from processor.dialects.vendor_errors import error_inside, refused
from processor.dialects.vendor_events import Unreadable
from processor.errors import UpstreamProtocolError, UpstreamRefused
from processor.wire.json import JSON, JSONError, decode

_FINISH: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 503,  # 529 where it is a status
    "timeout_error": 504,
}


class Delta(Struct, gc=False):
    """What an event adds: to a block, or to the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class Block(Struct, gc=False):
    """A content block, whole or as it begins."""

    type: str = ""
    id: str = ""
    name: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Raw = Raw()

    @property
    def arguments(self) -> str:
        """A call's arguments; empty where there are none, or (as a stream begins) none yet."""
        text = bytes(self.input).decode()
        return "" if text in ("null", "{}") else text


class Head(Struct, gc=False):
    """What `message_start` tells of the message."""

    id: str = ""
    model: str = ""
    usage: JSON | None = None


class Event(Struct, gc=False):
    """An event of the stream."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Head | None = None
    usage: JSON | None = None
    error: Any = None


class Answer(Struct, gc=False):
    """A whole message."""

    type: str = ""
    id: str = ""
    model: str = ""
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: JSON | None = None
    error: Any = None


class _Kind(Struct, gc=False):
    type: str = ""


EVENTS = frozenset(
    {
        "content_block_delta",
        "content_block_start",
        "content_block_stop",
        "error",
        "message_delta",
        "message_start",
        "message_stop",
    }
)
"""The types of events that are read; `ping` and what may come are not."""

_event = Decoder(Event)
_answer = Decoder(Answer)
_kind = Decoder(_Kind)


def read_event(data: bytes) -> Event:
    """An event's data. Of an event of a later day, whose fields may be of other types, only its type is read.

    Raises:
        Unreadable: it is not Anthropic's.
    """
    try:
        return _event.decode(data)
    except ValidationError as error:
        problem: Exception = error
        if (kind := _kind_of(data)) and kind not in EVENTS:
            return Event(type=kind)
    except JSONError as error:
        problem = error
    raise Unreadable(f"The vendor's event cannot be read: {problem}.")


def read_answer(body: bytes) -> Answer:
    """A whole answer.

    Raises:
        UpstreamRefused: it is an error.
        UpstreamProtocolError: it is neither.
    """
    try:
        answer = _answer.decode(body)
    except JSONError as error:
        raise UpstreamProtocolError(f"The vendor's answer is not Anthropic's: {error}.") from None
    if answer.error is not None or answer.type == "error":
        raise failure(body)
    if answer.content is None:
        raise error_inside(decode(body), {}) or UpstreamProtocolError("The vendor's answer holds no content.")
    return answer


def failure(data: bytes) -> UpstreamRefused:
    """The error that an event, or a body under a 200, holds."""
    try:
        value = decode(data)
    except JSONError:
        value = None
    error = value.get("error") if isinstance(value, dict) else None
    said: Mapping[str, Any] = error if isinstance(error, dict) else {}
    kind = str(said.get("type") or "api_error")
    return refused(_STATUSES.get(kind, 502), str(said.get("message") or "The vendor reported an error."), code=kind)


def finish_of(reason: str | None, *, called: bool) -> str:
    """OpenAI's reason for a stop; a call that is the answer in JSON is not `called`."""
    finish = _FINISH.get(reason or "", "stop")
    if finish in ("stop", "tool_calls"):
        return "tool_calls" if called else "stop"
    return finish


def thought(kind: str, *, text: str, signature: str, data: str) -> JSON | None:
    """A block of thinking that Claude wants to see again; None for one that it would not know."""
    if kind == "redacted_thinking":
        return reasoning_encrypted(data, REASONING_FORMAT) if data else None
    return reasoning_text(text, signature, REASONING_FORMAT) if signature else None


def _kind_of(data: bytes) -> str:
    try:
        return _kind.decode(data).type
    except JSONError:
        return ""
