"""What Converse answers, whole or as a stream's events: its shapes, and how it says that it failed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from processor.dialects.vendor_errors import refused
from processor.dialects.vendor_events import Unreadable
from processor.errors import UpstreamProtocolError, UpstreamRefused
from processor.wire.eventstream import EventStreamMessage
from processor.wire.json import JSON, JSONError

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""`stopReason` to `finish_reason`; the others, such as `malformed_tool_use`, are no more than stops."""

_STATUSES: Mapping[str, int] = {
    "accessDeniedException": 403,
    "internalServerException": 500,
    "modelErrorException": 424,
    "modelNotReadyException": 429,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "resourceNotFoundException": 404,
    "serviceQuotaExceededException": 400,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
"""AWS's own HTTP statuses for its exceptions, from its service model; an unknown one is 502."""


class ToolUse(Struct, rename="camel", gc=False):
    """A call."""

    tool_use_id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class ReasoningText(Struct, rename="camel", gc=False):
    """Thinking, with what proves it."""

    text: str = ""
    signature: str | None = None


class ReasoningContent(Struct, rename="camel", gc=False):
    """A block of thinking."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class Text(Struct, gc=False):
    """A piece of cited text."""

    text: str = ""


class CitationsContent(Struct, gc=False):
    """Text with its sources."""

    content: list[Text] = []


class Block(Struct, rename="camel", gc=False):
    """A piece of the answer: one of these."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: ReasoningContent | None = None
    citations_content: CitationsContent | None = None


class AnswerMessage(Struct, gc=False):
    """The model's turn."""

    content: list[Block] = []


class Output(Struct, gc=False):
    """Where it stands."""

    message: AnswerMessage


class Answer(Struct, rename="camel", gc=False):
    """A whole answer."""

    output: Output | None = None
    stop_reason: str = ""
    usage: JSON | None = None


class ToolUseDelta(Struct, gc=False):
    """A piece of a call's arguments."""

    input: str = ""


class ReasoningDelta(Struct, rename="camel", gc=False):
    """A piece of thinking: one of these."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class Delta(Struct, rename="camel", gc=False):
    """A piece of a block: one of these."""

    text: str | None = None
    tool_use: ToolUseDelta | None = None
    reasoning_content: ReasoningDelta | None = None


class Start(Struct, rename="camel", gc=False):
    """How a block begins."""

    tool_use: ToolUse | None = None


class Event(Struct, rename="camel", gc=False):
    """A stream's event, of whichever type."""

    content_block_index: int = 0
    delta: Delta | None = None
    start: Start | None = None
    stop_reason: str = ""
    usage: JSON | None = None


class _Said(Struct, gc=False):
    message: str | None = None


_answers = msgspec.json.Decoder(Answer)
_events = msgspec.json.Decoder(Event)
_said = msgspec.json.Decoder(_Said)


def read_answer(body: bytes) -> Answer:
    """A whole answer.

    Raises:
        UpstreamRefused: it is an error.
        UpstreamProtocolError: it is no answer at all.
    """
    try:
        answer = _answers.decode(body)
    except JSONError as error:
        raise UpstreamProtocolError(f"The vendor's answer is not Converse's: {error}.") from None
    if answer.output is None:
        if message := _message(body):
            raise refused(502, message)
        raise UpstreamProtocolError("The vendor's answer holds no output.")
    return answer


def read_event(payload: bytes) -> Event:
    """An event of a stream.

    Raises:
        Unreadable: it is none.
    """
    try:
        return _events.decode(payload)
    except JSONError as error:
        raise Unreadable(f"An event of the vendor's stream is not Converse's: {error}.") from None


def failure(message: EventStreamMessage) -> UpstreamRefused:
    """What a message that is not an event stands for: an exception, or an error that AWS has not modelled."""
    code = message.text(":exception-type") or message.text(":error-code") or "exception"
    text = _message(message.payload) or message.text(":error-message")
    status = _STATUSES.get(code[:1].lower() + code[1:], 502)
    return refused(status, text or f"The vendor reported {code}.", code=code)


def finish_of(reason: str, *, called: bool) -> str:
    """OpenAI's finish reason; a call that is the answer in JSON is not `called`."""
    finish = _FINISH.get(reason, "stop")
    if finish in ("stop", "tool_calls"):
        return "tool_calls" if called else "stop"
    return finish


def _message(body: bytes) -> str:
    try:
        return _said.decode(body).message or ""
    except JSONError:
        return ""
