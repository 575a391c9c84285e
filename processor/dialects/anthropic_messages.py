"""Anthropic's Messages for OpenAI's chat: the Translator."""

from __future__ import annotations

from dataclasses import dataclass

from processor.dialects.anthropic_answer import Answer, Block, finish_of, read_answer, thought
from processor.dialects.anthropic_request import messages_request
from processor.dialects.anthropic_rules import ANTHROPIC_RULES, AnthropicRules
from processor.dialects.anthropic_stream import AnthropicChatStream
from processor.dialects.anthropic_tools import JSON_TOOL, answers_by_tool
from processor.dialects.base import Asked, ClientResponse, HeaderPairs, UpstreamRequest
from processor.dialects.chat_answer import Completion, completion, tool_call
from processor.dialects.usage_shapes import anthropic
from processor.wire.json import encode

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
        choice = _choice(answer, by_tool=answers_by_tool(asked, self.rules.of(asked.model)))
        return completion(asked, [choice], usage, id=answer.id, model=answer.model)

    def stream(self, asked: Asked) -> AnthropicChatStream:
        """A stream's translator."""
        return AnthropicChatStream(asked, by_tool=answers_by_tool(asked, self.rules.of(asked.model)))


def _choice(answer: Answer, *, by_tool: bool) -> Completion:
    choice = Completion()
    for block in answer.content or ():
        if block.type == "tool_use":
            _call(choice, block, by_tool=by_tool)
        elif block.type in ("thinking", "redacted_thinking"):
            _think(choice, block)
        elif block.type == "text":
            choice.content = (choice.content or "") + (block.text or "")
    choice.finish_reason = finish_of(answer.stop_reason, called=bool(choice.tool_calls))
    return choice


def _call(choice: Completion, block: Block, *, by_tool: bool) -> None:
    arguments = block.arguments or "{}"
    if by_tool and block.name == JSON_TOOL:
        choice.content = (choice.content or "") + arguments
    else:
        choice.tool_calls.append(tool_call(block.id, block.name, arguments))


def _think(choice: Completion, block: Block) -> None:
    text = block.thinking or ""
    choice.reasoning += text
    if detail := thought(block.type, text=text, signature=block.signature or "", data=block.data or ""):
        choice.reasoning_details.append(detail)
