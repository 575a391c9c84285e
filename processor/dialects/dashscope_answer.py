"""DashScope's native answers and events, typed, and what in them is an error."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from processor.dialects.usage_shapes import dashscope
from processor.dialects.vendor_errors import error_inside, refusal
from processor.dialects.vendor_events import Unreadable
from processor.domain import Usage
from processor.errors import UpstreamRefused
from processor.wire.json import JSON, JSONError, decode
from processor.wire.sse import SSEEvent

_NOT_FINISHED = (None, "", "null")
"""The reason is the word "null" until the last event."""

_FINISH_REASONS = {"length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}

_STATUS = re.compile(rb"^:\s?HTTP_STATUS/([0-9]{3})", re.MULTILINE)
"""The status an event would have had, in a comment line."""


class Function(Struct, gc=False):
    """The function of a call, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class Call(Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Piece(Struct, gc=False):
    """A piece of a multimodal answer; others than text are left to those who ask for them."""

    text: str | None = None


class Message(Struct, gc=False):
    """What was said: a text, or pieces where the model is multimodal."""

    content: str | list[Piece] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None

    def text(self) -> str:
        """The text alone."""
        if isinstance(self.content, str):
            return self.content
        return "".join(piece.text or "" for piece in self.content or ())


class Choice(Struct, gc=False):
    """A choice of an answer, or what an event adds to it."""

    index: int | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: JSON | None = None

    def reason(self, *, calls: bool) -> str | None:
        """OpenAI's reason why it ended, None while it has not; `calls` tells whether it called tools."""
        return finish_reason(self.finish_reason, calls=calls)


class Output(Struct, gc=False):
    """An answer's content. Old models answer with `text` alone, whatever `result_format` asks for."""

    choices: list[Choice] | None = None
    text: str | None = None
    finish_reason: str | None = None

    def all_choices(self) -> list[Choice]:
        """The choices, of which an old model's text is one."""
        if self.choices is None and self.text is not None:
            return [Choice(message=Message(content=self.text), finish_reason=self.finish_reason)]
        return self.choices or []


class Answer(Struct, gc=False):
    """A whole answer, or one event of a stream."""

    output: Output | None = None
    usage: JSON | None = None
    request_id: str = ""

    def counted(self) -> Usage | None:
        """Its token counts, which in a stream are those so far."""
        return dashscope({"usage": self.usage}) if self.usage else None


_decoder = msgspec.json.Decoder(Answer)


def finish_reason(reason: str | None, *, calls: bool) -> str | None:
    """OpenAI's for DashScope's, which says "stop" of calls too."""
    if reason in _NOT_FINISHED:
        return None
    return _FINISH_REASONS.get(reason or "", "tool_calls" if calls else "stop")


def answered(data: bytes) -> Answer:
    """Read an answer, or an event's data.

    Raises:
        UpstreamRefused: it is an error.
        Unreadable: it is neither.
    """
    try:
        answer = _decoder.decode(data)
    except JSONError as error:
        raise Unreadable(f"The vendor's answer is not DashScope's: {error}.") from None
    if answer.output is None:
        raise error_of(_decoded(data))
    return answer


def answered_event(event: SSEEvent) -> Answer:
    """Read an event that has data; raises as `answered` does."""
    if event.event == "error":
        raise refused_event(event)
    return answered(event.data)


def refused_event(event: SSEEvent) -> UpstreamRefused:
    """What an event named "error" reports, with the status it tells, or else that of its words."""
    if found := _STATUS.search(event.raw):
        return refusal(int(found[1]), event.data, vendor="DashScope")
    return _error_in(_decoded(event.data)) or refusal(502, event.data, vendor="DashScope")


def error_of(answer: Any) -> UpstreamRefused | Unreadable:
    """What an answer without output stands for: the error it reports, or else a broken protocol."""
    return _error_in(answer) or Unreadable("The vendor's answer holds no output.")


def _error_in(answer: Any) -> UpstreamRefused | None:
    return error_inside(answer, {}) if isinstance(answer, dict) else None


def _decoded(data: bytes) -> Any:
    try:
        return decode(data)
    except JSONError:
        return None
