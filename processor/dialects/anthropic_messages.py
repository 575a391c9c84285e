"""Anthropic's Messages for OpenAI's chat: the Translator."""

from __future__ import annotations

from dataclasses import dataclass

from processor.dialects.anthropic_answer import Answer, Block, finish_of, read_answer, thought
from processor.dialects.anthropic_request import JSON_TOOL, answers_by_tool, messages_request
from processor.dialects.anthropic_rules import ANTHROPIC_RULES, AnthropicRules
from processor.dialects.anthropic_stream import AnthropicChatStream
from processor.dialects.base import Asked, ClientResponse, HeaderPairs, UpstreamRequest
from processor.dialects.chat_answer import Completion, completion, tool_call
from processor.dialects.usage_shapes import anthropic
from processor.wire.json import JSON, encode

VERSION: HeaderPairs = (("anthropic-version", "2023-06-01"),)
"""Without it Anthropic answers nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicMessages:
    """The Translator of a vendor whose chat is Messages."""

    path: str = "/v1/messages"
    headers: HeaderPairs = VERSION
    rules: AnthropicRules = ANTHROPIC_RULES

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request as Messages has it."""
        return UpstreamRequest(path=self.path, body=encode(messages_request(asked, self.rules)), headers=self.headers)

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The message as a `chat.completion`."""
        answer = read_answer(body)
        usage = anthropic({"usage": answer.usage}) if answer.usage else None
        choice = _choice(answer, by_tool=answers_by_tool(asked, self.rules))
        return completion(asked, [choice], usage, id=answer.id, model=answer.model)

    def stream(self, asked: Asked) -> AnthropicChatStream:
        """A stream's translator."""
        return AnthropicChatStream(asked, by_tool=answers_by_tool(asked, self.rules))


def _choice(answer: Answer, *, by_tool: bool) -> Completion:
    blocks = answer.content or []
    calls = [block for block in blocks if block.type == "tool_use"]
    given = [call for call in calls if by_tool and call.name == JSON_TOOL]
    texts = [block.text for block in blocks if block.type == "text"] + [bytes(call.input).decode() for call in given]
    details = (thought(block) for block in blocks if block.type in ("thinking", "redacted_thinking"))
    return Completion(
        content="".join(texts) if texts else None,
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        reasoning_details=[detail for detail in details if detail],
        tool_calls=[_call(call) for call in calls if call not in given],
        finish_reason="stop" if given else finish_of(answer.stop_reason),
    )


def _call(block: Block) -> JSON:
    return tool_call(block.id, block.name, bytes(block.input).decode())
