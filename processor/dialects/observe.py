"""Watches passthrough bodies for usage, model and content. Nothing here returns a byte, and nothing raises."""

from __future__ import annotations

import re
from collections.abc import Iterable

from processor.dialects import usage_shapes
from processor.dialects.base import Observer
from processor.dialects.observe_request import RequestObserver
from processor.dialects.observe_text import generated_size
from processor.dialects.operations import model_of, operation_of
from processor.dialects.usage_shapes import Shape
from processor.domain import Operation, Usage
from processor.errors import WireError
from processor.wire.encoding import Decoder, decoder_for
from processor.wire.eventstream import EventStreamDecoder
from processor.wire.json import JSON, JSONError, decode, decode_fields
from processor.wire.jsonlines import JSONArrayDecoder, LineDecoder
from processor.wire.sse import SSEDecoder

__all__ = ["RequestObserver", "model_of", "observe_response", "operation_of"]

_WHOLE_LIMIT = 32 * 1024 * 1024
"""Bytes of a whole answer that are kept to find its usage: a few images in base64."""

_SHAPES: tuple[tuple[Operation | None, str, Shape], ...] = (
    (Operation.MESSAGES, "", usage_shapes.anthropic),
    (Operation.RESPONSES, "", usage_shapes.responses),
    (Operation.GENERATE_CONTENT, "", usage_shapes.gemini),
    (None, r":(embedContent|batchEmbedContents)$", usage_shapes.gemini),
    (None, r"/services/|/apps/", usage_shapes.dashscope),
    (None, r"/converse(-stream)?$|/model/[^/]+/invoke$", usage_shapes.bedrock),
    (None, r"/api/(chat|generate|embed)$", usage_shapes.ollama),
    (None, r"/bots/", usage_shapes.ark_bots),
    (Operation.EMBEDDINGS, "", usage_shapes.minimax_embeddings),
    (Operation.RERANK, "", usage_shapes.rerank),
    (Operation.TRANSCRIPTION, "", usage_shapes.transcription),
    (Operation.TRANSLATION, "", usage_shapes.transcription),
)
"""Operation and a pattern of the path to the shape; the first that fits, else OpenAI's. A protocol's own operation
comes before a host's paths: DashScope serves Anthropic's and OpenAI's protocols below `/apps/` too.
"""

_NO_USAGE = frozenset({Operation.MODELS, Operation.OTHER})
_NO_TEXT = frozenset(
    {Operation.EMBEDDINGS, Operation.RERANK, Operation.IMAGE_GENERATION, Operation.IMAGE_EDIT, Operation.SPEECH}
)
"""Operations whose answers are not parsed for generated text: megabytes of numbers, or of base64."""
_WORTH_KEEPING = (
    *("usage", "usageMetadata", "bot_usage", "message", "response", "model", "modelVersion"),
    *("total_tokens", "tokens", "meta", "done", "prompt_eval_count", "eval_count", "inputTextTokenCount", "duration"),
)
"""What is parsed of a whole answer, of which texts, images and vectors are the bulk."""


def observe_response(*, method: str, path: str, status: int, content_type: str, content_encoding: str) -> Observer:
    """The observer for an answer, from its head."""
    operation = operation_of(method, path)
    if operation in _NO_USAGE or not 200 <= status < 300:
        return Blind()
    try:
        decoder = decoder_for(content_encoding)
    except WireError:
        return Blind()
    shape = _shape(operation, path)
    kind = content_type.partition(";")[0].strip().lower()
    if framing := _framing(kind, path):
        streamed = usage_shapes.AnthropicStream() if shape is usage_shapes.anthropic else shape
        return EventsObserver(streamed, decoder, framing)
    return WholeObserver(shape, decoder, has_text=operation not in _NO_TEXT) if "json" in kind else Blind()


def _framing(kind: str, path: str) -> Framing | None:
    if kind == "text/event-stream":
        return SSEFraming()
    if kind == "application/vnd.amazon.eventstream":
        return EventStreamFraming()
    if kind in ("application/x-ndjson", "application/jsonl"):
        return LineDecoder()
    return JSONArrayDecoder() if path.endswith(":streamGenerateContent") else None


def _shape(operation: Operation, path: str) -> Shape:
    fits = (shape for of, pattern, shape in _SHAPES if of in (None, operation) and re.search(pattern, path))
    return next(fits, usage_shapes.openai)


class Blind:
    """For bodies that hold no usage."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.complete = False

    def feed(self, chunk: bytes) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class WholeObserver(Blind):
    """A JSON body, read once it is whole."""

    def __init__(self, shape: Shape, decoder: Decoder | None, *, has_text: bool) -> None:
        super().__init__()
        self._shape = shape
        self._decoder = decoder
        self._has_text = has_text
        self._body: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Keep the bytes."""
        if self._body is None:
            return
        try:
            self._body += self._decoder.feed(chunk) if self._decoder else chunk
        except WireError:
            self._body = None
            return
        if len(self._body) > _WHOLE_LIMIT:
            self._body = None

    def close(self) -> None:
        """Read it, if it is all there."""
        body, self._body = self._body, None
        if not body:
            return
        try:
            if self._decoder:
                body += self._decoder.close()
            self._read(bytes(body).strip())
        except (WireError, *JSONError):
            return
        self.complete = True

    def _read(self, body: bytes) -> None:
        fields = decode_fields(body)
        answer = {name: decode(fields[name]) for name in _WORTH_KEEPING if name in fields}
        if "embeddings" in fields:
            answer["embeddings"] = True
        usage = self._shape(answer)
        if usage is None and self._has_text:
            self.output_chars = generated_size(decode(body))
            self.content_seen = self.output_chars > 0
        self.model = _model(answer)
        self.usage = usage


class SSEFraming:
    """Events' data."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """The data of the events the bytes complete."""
        return [event.data for event in self._decoder.feed(chunk) if event.data]

    def close(self) -> Iterable[bytes]:
        """What is left."""
        return [event.data for event in self._decoder.close() if event.data]


class EventStreamFraming:
    """AWS's messages' payloads."""

    def __init__(self) -> None:
        self._decoder = EventStreamDecoder()

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """The payloads of the messages the bytes complete."""
        return [message.payload for message in self._decoder.feed(chunk) if message.payload]

    def close(self) -> Iterable[bytes]:
        """Nothing: a message that is not whole cannot be checked."""
        return ()


Framing = SSEFraming | EventStreamFraming | LineDecoder | JSONArrayDecoder


class EventsObserver(Blind):
    """A stream of JSON values, in any framing. A later count replaces an earlier one."""

    def __init__(self, shape: Shape, decoder: Decoder | None, framing: Framing) -> None:
        super().__init__()
        self._shape = shape
        self._decoder = decoder
        self._framing = framing
        self._broken = False

    def feed(self, chunk: bytes) -> None:
        """Look at the events the bytes complete."""
        if self._broken:
            return
        try:
            for data in self._framing.feed(self._decoder.feed(chunk) if self._decoder else chunk):
                self._event(data)
        except WireError:
            self._broken = True

    def close(self) -> None:
        """The body has ended; whether it was whole the events themselves have said."""
        if self._broken:
            return
        try:
            for data in self._framing.close():
                self._event(data)
        except WireError:
            self._broken = True

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.complete = True
            return
        try:
            event = decode(data)
        except JSONError:
            return
        if not isinstance(event, dict):
            return
        self.model = self.model or _model(event)
        if size := generated_size(event):
            self.output_chars += size
            self.content_seen = True
        if (counted := self._shape(event)) is not None:
            self.usage = counted
        self.complete = self.complete or _last(event)


_LAST_TYPES = frozenset(
    {
        "message_stop",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "image_generation.completed",
        "image_edit.completed",
        "speech.audio.done",
        "transcript.text.done",
    }
)


def _last(event: JSON) -> bool:
    """Whether an event says that the answer is over, in any of the protocols."""
    if event.get("type") in _LAST_TYPES or event.get("object") == "chat.completion":
        return True
    if event.get("done") is True or event.get("is_end") is True:  # Ollama; Baidu's first version
        return True
    output, feedback = event.get("output"), event.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):  # Gemini's only event when it refuses the prompt
        return True
    for holder in (event, output if isinstance(output, dict) else {}):
        for name in ("choices", "candidates"):
            found = holder.get(name)
            for choice in found if isinstance(found, list) else ():
                if isinstance(choice, dict) and _ended(choice):
                    return True
        if holder.get("finish_reason") not in (None, "", "null"):
            return True
    return False


def _ended(choice: JSON) -> bool:
    reason = choice.get("finish_reason") or choice.get("finishReason")
    return reason not in (None, "", "null")


def _model(answer: JSON) -> str:
    inner = answer.get("message") or answer.get("response")
    for holder in (answer, inner if isinstance(inner, dict) else {}):
        for name in ("model", "modelVersion"):
            if isinstance(found := holder.get(name), str):
                return found
    return ""
