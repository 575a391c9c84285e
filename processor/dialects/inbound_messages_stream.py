"""A chat stream as the stream of an Anthropic message."""

from __future__ import annotations

from processor.dialects.base import Asked
from processor.dialects.inbound_chat import Answer, Call, Said, read
from processor.dialects.inbound_messages_answer import begun, call_id, stop_reason, usage_of
from processor.dialects.inbound_messages_events import Blocks, event
from processor.dialects.inbound_messages_thinking import extra_block, hidden_block, is_readable
from processor.wire.json import JSON
from processor.wire.sse import SSEDecoder, SSEEvent


class MessagesStream:
    """The InboundStream of Messages. Comments, which keep a connection alive, are passed on."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._decoder = SSEDecoder()
        self._blocks = Blocks()
        self._begun = False
        self._ended = False
        self._refused = False
        self._finish_reason: str | None = None
        self._usage: JSON | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Take the chat's next bytes; return the client's.

        Raises:
            UpstreamProtocolError: the answer is too long to be kept.
        """
        return b"".join([self._event(event) for event in self._decoder.feed(chunk)])

    def close(self) -> bytes:
        """The chat has ended, and so does the message."""
        return b"".join([self._event(event) for event in self._decoder.close()]) + self._end()

    def _event(self, event: SSEEvent) -> bytes:
        data = event.data
        if self._ended:
            return b""
        if not data:
            return event.raw if event.raw.startswith(b":") else b""
        if data.startswith(b"[DONE]"):
            return self._end()
        chunk = read(data)
        return self._chunk(chunk) if chunk else b""

    def _chunk(self, chunk: Answer) -> bytes:
        out = b"" if self._begun else self._begin(chunk)
        if chunk.usage:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index == 0:  # a message has one
                self._finish_reason = choice.finish_reason or self._finish_reason
                if choice.delta:
                    out += self._said(choice.delta)
        return out

    def _said(self, said: Said) -> bytes:
        out = b""
        if said.thought:
            out = self._blocks.thinking(said.thought)
        for detail in said.reasoning_details or ():
            out += self._blocks.detail(detail) if is_readable(detail) else self._blocks.whole(hidden_block(detail))
        if said.content:
            out += self._blocks.text(said.content)
        if said.refusal:
            self._refused = True
            out += self._blocks.text(said.refusal)
        for number, call in enumerate(said.tool_calls or ()):
            out += self._call(call, number if call.index is None else call.index)
        return out

    def _call(self, call: Call, at: int) -> bytes:
        out = b""
        if self._blocks.begins(at, call.id, call.name):
            known = call_id(call, self._asked, at)
            if call.extra_content:
                out += self._blocks.whole(extra_block(known, call.extra_content))
            out += self._blocks.call(at, known, call.name)
        return out + self._blocks.arguments(at, call.arguments)

    def _begin(self, chunk: Answer) -> bytes:
        """The first event. What the prompt has cost is mostly known at the end only, and told there."""
        self._begun = True
        message = {**begun(self._asked, chunk.model or ""), "usage": usage_of(chunk.usage)}
        return event("message_start", {"message": message})

    def _end(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        out = b"" if self._begun else self._begin(Answer())
        out += self._blocks.close()
        reason = stop_reason(self._finish_reason, called=self._blocks.called, refused=self._refused)
        delta = {"stop_reason": reason, "stop_sequence": None}
        out += event("message_delta", {"delta": delta, "usage": usage_of(self._usage)})
        return out + event("message_stop", {})
