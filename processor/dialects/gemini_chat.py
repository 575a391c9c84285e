"""Gemini's generateContent: chat of Google's own API, and of Vertex below another path."""

from __future__ import annotations

from dataclasses import dataclass

from processor.dialects.base import Asked, ClientResponse, UpstreamRequest
from processor.dialects.chat_answer import Completion, completion
from processor.dialects.gemini_answer import (
    Answer,
    AnswerPart,
    Candidate,
    call_of,
    finish_of,
    image_of,
    logprobs_of,
    read,
    signature_of,
)
from processor.dialects.gemini_paths import MODELS_PATH, method_path
from processor.dialects.gemini_request import body_of
from processor.dialects.gemini_rules import RULES, GeminiRules
from processor.dialects.gemini_stream import GeminiStream
from processor.errors import UpstreamProtocolError
from processor.wire.json import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiChat:
    """The Translator of generateContent."""

    path: str = MODELS_PATH
    """What stands before the model's name."""
    rules: GeminiRules = RULES

    def request(self, asked: Asked) -> UpstreamRequest:
        """The conversation as `contents`; whether it streams is said by the path alone."""
        method = "streamGenerateContent?alt=sse" if asked.stream else "generateContent"
        return UpstreamRequest(
            path=method_path(self.path, asked.model, method), body=encode(body_of(asked, self.rules))
        )

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """A completion with a choice for each candidate; a blocked prompt is one empty, filtered choice."""
        answer = read(body)
        choices = _choices(answer, asked)
        return completion(asked, choices, answer.usage, id=answer.response_id or "", model=answer.model_version or "")

    def stream(self, asked: Asked) -> GeminiStream:
        """A stream's translator."""
        return GeminiStream(asked)


def _choices(answer: Answer, asked: Asked) -> list[Completion]:
    if not answer.candidates:
        if not answer.blocked:
            raise UpstreamProtocolError("The vendor's answer holds no candidates.")
        return [Completion(finish_reason="content_filter")]
    made = 0
    choices = []
    for candidate in sorted(answer.candidates, key=lambda candidate: candidate.index):
        choices.append(_choice(candidate, asked, made))
        made += len(choices[-1].tool_calls)
    return choices


def _choice(candidate: Candidate, asked: Asked, made: int) -> Completion:
    """One candidate; `made` calls stand in those before it."""
    choice = Completion()
    for part in candidate.parts:
        _add(choice, part, asked, made)
    choice.finish_reason = finish_of(candidate.finish_reason, called=bool(choice.tool_calls))
    if candidate.logprobs_result is not None:
        choice.logprobs = logprobs_of(candidate.logprobs_result)
    return choice


def _add(choice: Completion, part: AnswerPart, asked: Asked, made: int) -> None:
    if part.function_call is not None:
        choice.tool_calls.append(call_of(part, part.function_call, asked, made + len(choice.tool_calls)))
        return
    if part.text and part.thought:
        choice.reasoning += part.text
    elif part.text:
        choice.content = (choice.content or "") + part.text
    if part.inline_data is not None and not part.thought:
        choice.images.append(image_of(part.inline_data))
    if part.thought_signature:
        choice.reasoning_details.append(signature_of(part))
