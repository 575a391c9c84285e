"""Converse's stream on its way to the client: AWS event stream messages in, chat chunks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from processor.dialects.base import Asked
from processor.dialects.bedrock_answer import Event, ReasoningDelta, failure, finish_of, read_event
from processor.dialects.bedrock_rules import Family
from processor.dialects.bedrock_tools import JSON_TOOL, answers_by_tool
from processor.dialects.chat_answer import ChatStream, reasoning_encrypted, reasoning_text, tool_call
from processor.dialects.usage_shapes import bedrock
from processor.dialects.vendor_events import EventStream
from processor.errors import UpstreamProtocolError, WireError
from processor.wire.eventstream import EventStreamDecoder, EventStreamMessage

_THINKING_LIMIT = 4 * 1024 * 1024
"""Characters of one block's thinking, which is kept until its signature comes."""


@dataclass(slots=True)
class _Block:
    """What is remembered of a content block."""

    call: int | None = None
    """The call's number among the calls; None for a block that is none, or whose input is the answer."""
    empty: bool = True
    """Whether no piece of its arguments has come."""
    thinking: list[str] = field(default_factory=list)
    size: int = 0
    signature: str = ""


class BedrockStream(EventStream[EventStreamMessage], ChatStream):
    """The StreamTranslator of ConverseStream. The counts come after the finish, and end it."""

    _decoder: EventStreamDecoder

    def __init__(self, asked: Asked, family: Family) -> None:
        super().__init__(asked)
        self._family = family
        self._by_tool = answers_by_tool(asked, family)
        self._decoder = EventStreamDecoder()
        self._blocks: dict[int, _Block] = {}
        """Those that are open: calls and thinking."""
        self._calls = 0
        self._finished = False
        self.complete = False

    def close(self) -> bytes:
        """The vendor's body has ended: well if it told why it stopped, and not within a message."""
        if self.complete:
            return b""
        try:
            self._decoder.close()
        except WireError:
            self._finished = False
        if not self._finished:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return self.end()

    def _event(self, message: EventStreamMessage) -> bytes:
        headers = message.headers
        if headers.get(":message-type") != "event":
            raise failure(message)
        reader = self._READERS.get(message.text(":event-type"))
        return reader(self, read_event(message.payload)) if reader and not self.complete else b""

    def _message_start(self, _: Event) -> bytes:
        return self.begin()

    def _block_start(self, event: Event) -> bytes:
        use = event.start.tool_use if event.start else None
        if use is None:
            return b""
        block = self._blocks[event.content_block_index] = _Block()
        if self._by_tool and use.name == JSON_TOOL:
            return b""
        block.call = self._calls
        self._calls += 1
        return self.call(block.call, tool_call(use.tool_use_id, use.name, ""))

    def _block_delta(self, event: Event) -> bytes:
        delta = event.delta
        if delta is None:
            return b""
        if delta.text is not None:
            return self.text(delta.text)
        if delta.tool_use is not None:
            return self._arguments(event.content_block_index, delta.tool_use.input)
        if delta.reasoning_content is not None:
            return self._thought(event.content_block_index, delta.reasoning_content)
        return b""

    def _arguments(self, index: int, piece: str) -> bytes:
        block = self._blocks.get(index)
        if block is None:
            raise UpstreamProtocolError("The vendor's stream holds the arguments of no call.")
        if block.call is None:
            return self.text(piece)
        block.empty = block.empty and not piece
        return self.arguments(block.call, piece)

    def _thought(self, index: int, piece: ReasoningDelta) -> bytes:
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(empty=False)
        if piece.text:
            block.thinking.append(piece.text)
            block.size += len(piece.text)
            if block.size > _THINKING_LIMIT:
                raise UpstreamProtocolError(f"The vendor thinks more than {_THINKING_LIMIT} characters in one block.")
            return self.reasoning(piece.text)
        if piece.redacted_content:
            details = [reasoning_encrypted(piece.redacted_content, self._family.reasoning_format)]
            return self.delta({"reasoning_details": details})
        block.signature += piece.signature or ""
        return b""

    def _block_stop(self, event: Event) -> bytes:
        block = self._blocks.pop(event.content_block_index, None)
        if block is None:
            return b""
        if block.signature:
            detail = reasoning_text("".join(block.thinking), block.signature, self._family.reasoning_format)
            return self.delta({"reasoning_details": [detail]})
        if block.empty and block.call is not None:
            return self.arguments(block.call, "{}")
        return b""

    def _message_stop(self, event: Event) -> bytes:
        self._finished = True
        return self.finish(finish_of(event.stop_reason, called=self._calls > 0))

    def _metadata(self, event: Event) -> bytes:
        if event.usage is not None:
            self.usage = bedrock({"usage": event.usage})
        if not self._finished:
            return b""
        self.complete = True
        return self.end()

    _READERS: Mapping[str, Callable[[BedrockStream, Event], bytes]] = {
        "messageStart": _message_start,
        "contentBlockStart": _block_start,
        "contentBlockDelta": _block_delta,
        "contentBlockStop": _block_stop,
        "messageStop": _message_stop,
        "metadata": _metadata,
    }
