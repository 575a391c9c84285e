"""Anthropic's streamed message on its way to the client: named events in, chat chunks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from processor.dialects.anthropic_answer import Event, failure, finish_of, read_event, thought
from processor.dialects.anthropic_tools import JSON_TOOL
from processor.dialects.base import Asked
from processor.dialects.chat_answer import ChatStream, tool_call
from processor.dialects.usage_shapes import AnthropicStream as UsageSoFar
from processor.dialects.vendor_events import SSEStream
from processor.errors import UpstreamProtocolError
from processor.wire.sse import SSEDecoder, SSEEvent

_THINKING_LIMIT = 4 * 1024 * 1024
"""Characters of one block's thinking, which is kept until its signature comes."""


@dataclass(slots=True)
class _Block:
    """What is remembered of the open content block."""

    type: str
    call: int | None = None
    """The call's number among the calls; None for a block that is none, or whose input is the answer."""
    arguments: str = ""
    """Of a call of which no piece has come: what its beginning told, as some hosts do."""
    thinking: list[str] = field(default_factory=list)
    size: int = 0
    signature: str = ""
    data: str = ""


class AnthropicChatStream(SSEStream, ChatStream):
    """The StreamTranslator of streamed Messages. `by_tool` says that a call of `JSON_TOOL` is the answer itself."""

    def __init__(self, asked: Asked, *, by_tool: bool) -> None:
        super().__init__(asked)
        self._by_tool = by_tool
        self._decoder = SSEDecoder()
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._counts = UsageSoFar()
        self._finished = False
        self.complete = False

    def close(self) -> bytes:
        """The vendor's body has ended: well if it told why it stopped."""
        out = self._rest() or b""
        if self.complete:
            return out
        if not self._finished:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + self._end()

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data or self.complete:
            return b""
        if event.event == "error":
            raise failure(event.data)
        read = read_event(event.data)
        reader = self._READERS.get(read.type)
        if reader is not None:
            return reader(self, read)
        if read.type == "error":
            raise failure(event.data)
        return b""

    def _message_start(self, event: Event) -> bytes:
        head = event.message
        if head is None:
            return b""
        self._count(head.usage)
        return self.begin(id=head.id, model=head.model)

    def _block_start(self, event: Event) -> bytes:
        begun = event.content_block
        if begun is None:
            return b""
        if begun.type == "text":
            return self.text(begun.text or "")
        block = _Block(begun.type, signature=begun.signature or "", data=begun.data or "")
        self._blocks[event.index] = block
        if begun.type == "thinking":
            return self._thought(block, begun.thinking or "")
        if begun.type != "tool_use":
            return b""
        block.arguments = begun.arguments or "{}"
        if self._by_tool and begun.name == JSON_TOOL:
            return b""
        block.call = self._calls
        self._calls += 1
        return self.call(block.call, tool_call(begun.id, begun.name, ""))

    def _block_delta(self, event: Event) -> bytes:
        delta = event.delta
        if delta is None:
            return b""
        if delta.text is not None:
            return self.text(delta.text)
        block = self._blocks.get(event.index)
        if delta.partial_json is not None:
            if block is None:  # without its name a call is none, and without the call the answer is another
                raise UpstreamProtocolError("The vendor's stream goes on with a call that never began.")
            return self._arguments(block, delta.partial_json)
        if delta.thinking is not None:
            return self._thought(block or self._unbegun(event.index), delta.thinking)
        if block is not None and delta.signature is not None:
            block.signature = delta.signature
        return b""

    def _unbegun(self, index: int) -> _Block:
        """A block of thinking whose beginning was left out."""
        return self._blocks.setdefault(index, _Block("thinking"))

    def _arguments(self, block: _Block, piece: str) -> bytes:
        if block.type != "tool_use" or not piece:  # a tool that Anthropic runs itself
            return b""
        block.arguments = ""
        return self.text(piece) if block.call is None else self.arguments(block.call, piece)

    def _thought(self, block: _Block, piece: str) -> bytes:
        block.size += len(piece)
        if block.size > _THINKING_LIMIT:
            raise UpstreamProtocolError(f"The vendor's thinking is longer than {_THINKING_LIMIT} characters.")
        block.thinking.append(piece)
        return self.reasoning(piece)

    def _block_stop(self, event: Event) -> bytes:
        block = self._blocks.pop(event.index, None)
        if block is None:
            return b""
        if block.type == "tool_use":
            return self._arguments(block, block.arguments)
        text = "".join(block.thinking)
        detail = thought(block.type, text=text, signature=block.signature, data=block.data)
        return self.delta({"reasoning_details": [detail]}) if detail else b""

    def _message_delta(self, event: Event) -> bytes:
        self._count(event.usage)
        reason = event.delta.stop_reason if event.delta else None
        if reason is None or self._finished:
            return b""
        self._finished = True
        return self.finish(finish_of(reason, called=self._calls > 0))

    def _message_stop(self, _: Event) -> bytes:
        return self._end() if self._finished else b""

    def _end(self) -> bytes:
        self.complete = True
        return self.end()

    def _count(self, usage: dict[str, object] | None) -> None:
        if usage:
            self.usage = self._counts({"usage": usage}) or self.usage

    _READERS: Mapping[str, Callable[[AnthropicChatStream, Event], bytes]] = {
        "content_block_delta": _block_delta,
        "content_block_start": _block_start,
        "content_block_stop": _block_stop,
        "message_start": _message_start,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
    }
