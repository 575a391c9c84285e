"""Messages at vendors that have the endpoint: the request with the vendor's model, the answer as it came."""

from __future__ import annotations

from dataclasses import dataclass

from processor.dialects.anthropic_answer import Block, Event, failure, read_answer, read_event
from processor.dialects.anthropic_messages import VERSION
from processor.dialects.base import Asked, ClientResponse, HeaderPairs, UpstreamRequest
from processor.dialects.usage_shapes import AnthropicStream as UsageSoFar
from processor.dialects.usage_shapes import anthropic
from processor.dialects.vendor_events import SSEStream, Unreadable, check_text
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSONError, decode, encode, raw
from processor.wire.sse import SSEDecoder, SSEEvent

_CONTENT = frozenset({"content_block_start", "content_block_delta", "message_delta", "message_stop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicRelay:
    """The Translator of `/messages`."""

    path: str = "/v1/messages"
    headers: HeaderPairs = VERSION

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request with the vendor's model; the rest stays as it was written."""
        return UpstreamRequest(
            path=self.path, body=encode({**asked.fields, "model": raw(asked.model)}), headers=self.headers
        )

    def response(self, body: bytes, asked: Asked) -> ClientResponse:  # noqa: ARG002 - the answer holds all it needs
        """The vendor's answer as it came."""
        answer = read_answer(body)
        usage = anthropic({"usage": answer.usage}) if answer.usage else None
        chars = sum(map(_size, answer.content or ()))
        return ClientResponse(body=body, usage=usage, model=answer.model, output_chars=chars)

    def stream(self, asked: Asked) -> AnthropicRelayStream:  # noqa: ARG002 - its usage is told whatever was asked for
        """A stream's translator."""
        return AnthropicRelayStream()


class AnthropicRelayStream(SSEStream):
    """The StreamTranslator of a relay: every event goes on as it came, only skimmed.

    An error before the first content is raised; a later one is an event the client understands. An event that is no
    JSON object is left out: clients fail on it.
    """

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = ""
        self._counts = UsageSoFar()
        self._decoder = SSEDecoder()
        self.complete = False

    def close(self) -> bytes:
        """The vendor's body has ended."""
        out = self._rest() or b""
        if not self.complete:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data:
            return event.comment()
        try:
            read = read_event(event.data)
            check_text(event.raw)
        except (Unreadable, UnicodeDecodeError):
            if event.event == "error":
                raise failure(event.data) from None
            if _is_object(event.data):  # not of a shape we know, but the client may know it
                return event.raw
            raise
        if read.type == "error" or event.event == "error":
            if not self.content_seen:
                raise failure(event.data)
            self.complete = True
            return event.raw
        self._note(read)
        return event.raw

    def _note(self, event: Event) -> None:
        """Note what an event holds."""
        if event.type in _CONTENT:
            self.content_seen = True
        self.complete = self.complete or event.type == "message_stop"
        if (delta := event.delta) is not None:
            text = delta.text or delta.partial_json or delta.thinking
            self.output_chars += len(text.encode()) if text else 0
        usage = event.usage
        if event.message is not None:
            self.model, usage = event.message.model, event.message.usage
        if usage:
            self.usage = self._counts({"usage": usage}) or self.usage


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(decode(data), dict)
    except JSONError:
        return False


def _size(block: Block) -> int:
    texts = (block.text, block.thinking, block.arguments)
    return sum(len(text.encode()) for text in texts if text)
