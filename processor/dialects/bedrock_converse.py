"""AWS Bedrock's Converse: one dialect before the models of many houses."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from processor.dialects.base import Asked, ClientResponse, UpstreamRequest
from processor.dialects.bedrock_answer import Block, ReasoningContent, finish_of, read_answer
from processor.dialects.bedrock_request import body_of
from processor.dialects.bedrock_rules import BEDROCK_RULES, BedrockRules
from processor.dialects.bedrock_stream import BedrockStream
from processor.dialects.bedrock_tools import JSON_TOOL, answers_by_tool
from processor.dialects.chat_answer import Completion, completion, reasoning_encrypted, reasoning_text, tool_call
from processor.dialects.usage_shapes import bedrock
from processor.wire.json import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockConverse:
    """The Translator of Converse and ConverseStream."""

    rules: BedrockRules = BEDROCK_RULES

    def request(self, asked: Asked) -> UpstreamRequest:
        """The conversation in Converse's words."""
        body = body_of(asked, self.rules.of(asked.model))
        method = "converse-stream" if asked.stream else "converse"
        return UpstreamRequest(path=model_path(asked.model, method), body=encode(body))

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """A completion. Converse names neither answer nor model."""
        answer = read_answer(body)
        family = self.rules.of(asked.model)
        by_tool = answers_by_tool(asked, family)
        choice = Completion()
        for block in answer.output.message.content if answer.output else ():
            _add(choice, block, family.reasoning_format, by_tool=by_tool)
        choice.finish_reason = finish_of(answer.stop_reason, called=bool(choice.tool_calls))
        usage = bedrock({"usage": answer.usage}) if answer.usage else None
        return completion(asked, [choice], usage, id="", model="")

    def stream(self, asked: Asked) -> BedrockStream:
        """A stream's translator."""
        return BedrockStream(asked, self.rules.of(asked.model))


def model_path(model: str, method: str) -> str:
    """A method of a model, whose id may be an ARN: its colons and slashes are quoted."""
    return f"/model/{quote(model, safe='')}/{method}"


def _add(choice: Completion, block: Block, format: str, *, by_tool: bool) -> None:  # noqa: A002 - OpenRouter's word
    """Put a block where OpenAI has it."""
    text = block.text
    if block.citations_content is not None:
        text = "".join(piece.text for piece in block.citations_content.content)
    if (use := block.tool_use) is not None:
        if by_tool and use.name == JSON_TOOL:
            text = bytes(use.input).decode()
        else:
            choice.tool_calls.append(tool_call(use.tool_use_id, use.name, bytes(use.input).decode()))
    if text is not None:
        choice.content = (choice.content or "") + text
    if block.reasoning_content is not None:
        _think(choice, block.reasoning_content, format)


def _think(choice: Completion, thought: ReasoningContent, format: str) -> None:  # noqa: A002 - OpenRouter's word
    if (said := thought.reasoning_text) is not None:
        choice.reasoning += said.text
        if said.signature:
            choice.reasoning_details.append(reasoning_text(said.text, said.signature, format))
    if thought.redacted_content:
        choice.reasoning_details.append(reasoning_encrypted(thought.redacted_content, format))
