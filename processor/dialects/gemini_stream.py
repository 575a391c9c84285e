"""Gemini's streamed chat on its way to the client: each event is an answer of its own, with the counts so far."""

from __future__ import annotations

from msgspec import Struct

from processor.dialects.base import Asked
from processor.dialects.chat_answer import ChatStream
from processor.dialects.gemini_answer import (
    UNFINISHED,
    AnswerPart,
    Candidate,
    FunctionCall,
    call_of,
    finish_of,
    image_of,
    logprobs_of,
    read,
    signature_of,
)
from processor.dialects.vendor_events import SSEStream
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON
from processor.wire.sse import SSEDecoder, SSEEvent


class _Choice(Struct):
    """What is remembered of a candidate."""

    calls: int = 0
    images: int = 0
    finished: bool = False


class GeminiStream(SSEStream, ChatStream):
    """The StreamTranslator of streamGenerateContent. Its end is the connection's: there is no `[DONE]`."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._decoder = SSEDecoder()
        self._choices: dict[int, _Choice] = {}
        self._calls = 0

    def close(self) -> bytes:
        """The vendor's body has ended: well if every candidate has its finish reason."""
        out = self._rest()
        if out is None or not self._choices or not all(choice.finished for choice in self._choices.values()):
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + self.end()

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data:
            return b""
        answer = read(event.data)
        if (usage := answer.usage) is not None:
            self.usage = usage
        out = b"" if self._begun else self.begin(id=answer.response_id or "", model=answer.model_version or "")
        for candidate in answer.candidates or ():
            out += self._candidate(candidate)
        if answer.blocked and not self._choices:
            self._choices[0] = _Choice(finished=True)
            out += self.finish("content_filter")
        return out

    def _candidate(self, candidate: Candidate) -> bytes:
        index = candidate.index
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        out = b""
        for part in candidate.parts:
            out += self._part(part, choice, index)
        if candidate.logprobs_result is not None:
            out += self.logprobs(logprobs_of(candidate.logprobs_result), index=index)
        if candidate.finish_reason not in UNFINISHED and not choice.finished:
            choice.finished = True
            out += self.finish(finish_of(candidate.finish_reason, called=choice.calls > 0), index=index)
        return out

    def _part(self, part: AnswerPart, choice: _Choice, index: int) -> bytes:
        if part.function_call is not None:
            return self._call(part, part.function_call, choice, index)
        out = b""
        if part.text:
            out = self.reasoning(part.text, index=index) if part.thought else self.text(part.text, index=index)
        if part.inline_data is not None and not part.thought:
            self.content_seen = True
            image: JSON = {"index": choice.images, **image_of(part.inline_data)}
            choice.images += 1
            out += self.delta({"images": [image]}, index=index)
        if part.thought_signature:
            out += self.delta({"reasoning_details": [signature_of(part)]}, index=index)
        return out

    def _call(self, part: AnswerPart, function: FunctionCall, choice: _Choice, index: int) -> bytes:
        """A call, which comes in one piece."""
        out = self.call(choice.calls, call_of(part, function, self._asked, self._calls), index=index)
        choice.calls += 1
        self._calls += 1
        return out
