"""What Gemini answers, typed, and its pieces in OpenAI's terms: calls, finish reasons, log probabilities, errors."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from processor.dialects import usage_shapes
from processor.dialects.base import Asked
from processor.dialects.chat_answer import call_id, reasoning_encrypted, tool_call
from processor.dialects.gemini_contents import SIGNATURE_FORMAT
from processor.dialects.vendor_errors import refusal
from processor.dialects.vendor_events import Unreadable
from processor.domain import Usage
from processor.errors import UpstreamRefused
from processor.wire.json import JSON, JSONError, decode, encode

T = TypeVar("T")

_FINISH_REASONS = {
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
        ),
        "content_filter",
    ),
}
"""The others, such as MALFORMED_FUNCTION_CALL, have no word in OpenAI's list, which clients take for complete."""

_IMPOSSIBLE = -9999.0
"""OpenAI's number for a token that is very unlikely."""

UNFINISHED = (None, "", "FINISH_REASON_UNSPECIFIED")


class Blob(Struct, gc=False, rename="camel"):
    """A file in base64."""

    mime_type: str = ""
    data: str = ""

    @property
    def url(self) -> str:
        """It, as a `data:` URL."""
        return f"data:{self.mime_type or 'image/png'};base64,{self.data}"


class FunctionCall(Struct, gc=False):
    """A call; `id` since Gemini 3."""

    name: str = ""
    args: JSON | None = None
    id: str | None = None


class AnswerPart(Struct, gc=False, rename="camel"):
    """A piece of a turn: text, thinking, a call or a picture."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None


class Content(Struct, gc=False):
    """A turn; without parts where thinking used up all tokens."""

    parts: list[AnswerPart] | None = None


class Score(Struct, gc=False, rename="camel"):
    """A token with its log probability."""

    token: str = ""
    log_probability: float | str = 0.0
    """A text where it is infinite, as JSON has no number for that."""


class TopScores(Struct, gc=False):
    """The likeliest tokens of one place."""

    candidates: list[Score] | None = None


class LogprobsResult(Struct, gc=False, rename="camel"):
    """The chosen token of each place, and the likeliest ones."""

    chosen_candidates: list[Score] | None = None
    top_candidates: list[TopScores] | None = None


class Candidate(Struct, gc=False, rename="camel"):
    """One of the answers."""

    index: int = 0
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: LogprobsResult | None = None

    @property
    def parts(self) -> list[AnswerPart]:
        """What it says."""
        return (self.content.parts or []) if self.content else []


class PromptFeedback(Struct, gc=False, rename="camel"):
    """Why a prompt is not answered."""

    block_reason: str | None = None


class Answer(Struct, gc=False, rename="camel"):
    """A whole answer, or one event of a stream."""

    candidates: list[Candidate] | None = None
    usage_metadata: JSON | None = None
    prompt_feedback: PromptFeedback | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: JSON | None = None

    @property
    def usage(self) -> Usage | None:
        """Its counts; those of a stream's events are running totals."""
        return usage_shapes.gemini({"usageMetadata": self.usage_metadata}) if self.usage_metadata else None

    @property
    def blocked(self) -> bool:
        """Whether the prompt was refused, which leaves no candidates."""
        return self.prompt_feedback is not None and bool(self.prompt_feedback.block_reason)


_decoder = msgspec.json.Decoder(Answer)


def read(body: bytes) -> Answer:
    """A whole answer or an event.

    Raises:
        UpstreamRefused: it is an error, alone or, as for a stream that never began, in a list.
        Unreadable: it is not JSON of this form.
    """
    try:
        answer = _decoder.decode(body)
    except JSONError as error:
        raise failure_in(body) or not_its_form(error) from None
    if answer.error is not None:
        raise failure(answer.error, body)
    return answer


def read_as(body: bytes, kind: type[T]) -> T:
    """An answer of another method than generateContent; raises as `read` does."""
    if (refused := failure_in(body)) is not None:
        raise refused
    try:
        return msgspec.json.decode(body, type=kind)
    except JSONError as error:
        raise not_its_form(error) from None


def not_its_form(error: Exception) -> Unreadable:
    """The error for a body that is no answer."""
    return Unreadable(f"The vendor's answer is not of its form: {error}.")


def failure_in(body: bytes) -> UpstreamRefused | None:
    """The error a 2xx holds, if it holds one."""
    if b'"error"' not in body:
        return None
    try:
        found = decode(body)
    except JSONError:
        return None
    first = found[0] if isinstance(found, list) and found else found
    error = first.get("error") if isinstance(first, dict) else None
    return failure(error, body) if isinstance(error, dict) else None


def failure(error: JSON, body: bytes) -> UpstreamRefused:
    """An error object; its code is the HTTP status it would have had."""
    code = error.get("code")
    return refusal(code if isinstance(code, int) else 502, body, vendor="The vendor")


def finish_of(reason: str | None, *, called: bool) -> str:
    """OpenAI's finish reason: a call is not told apart from an end by Gemini."""
    if called and reason not in _FINISH_REASONS:
        return "tool_calls"
    return _FINISH_REASONS.get(reason or "", "stop")


def call_of(part: AnswerPart, call: FunctionCall, asked: Asked, number: int) -> JSON:
    """A tool call; `number` counts those of the whole answer, for ids where Gemini gives none.

    The signature travels where Google's own OpenAI endpoint puts it.
    """
    id_ = call.id or call_id(asked, number)
    more: dict[str, Any] = {}
    if part.thought_signature:
        more["extra_content"] = {"google": {"thought_signature": part.thought_signature}}
    return tool_call(id_, call.name, encode(call.args or {}).decode(), **more)


def signature_of(part: AnswerPart) -> JSON:
    """The entry of `reasoning_details` for the signature of a part that is not a call."""
    return reasoning_encrypted(part.thought_signature or "", SIGNATURE_FORMAT)


def image_of(blob: Blob) -> JSON:
    """A picture in a message's `images`, which is OpenRouter's form."""
    return {"type": "image_url", "image_url": {"url": blob.url}}


def logprobs_of(result: LogprobsResult) -> JSON:
    """OpenAI's `logprobs` of a choice."""
    chosen = result.chosen_candidates or []
    tops = result.top_candidates or []
    content = []
    for place, score in enumerate(chosen):
        likeliest = (tops[place].candidates or []) if place < len(tops) else []
        content.append({**_scored(score), "top_logprobs": [_scored(other) for other in likeliest]})
    return {"content": content, "refusal": None}


def _scored(score: Score) -> JSON:
    known = score.log_probability if isinstance(score.log_probability, float) else _IMPOSSIBLE
    return {"token": score.token, "logprob": known, "bytes": list(score.token.encode())}
