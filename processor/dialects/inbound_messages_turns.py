"""The conversation of an Anthropic Messages request as a chat's messages.

A user's turn may hold results of tools, which are messages of their own in a chat and come first there. Caching marks
are left out: most vendors cache unasked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Raw, Struct

from processor.dialects.chat_answer import tool_call
from processor.dialects.chat_request import typed
from processor.dialects.inbound_messages_parts import (
    Block,
    Content,
    block_parts,
    content_of,
    not_offered,
    parts_of,
    text_of,
    text_parts,
)
from processor.dialects.inbound_messages_thinking import detail_of, hidden_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON


class Message(Struct, gc=False):
    """A turn of the conversation."""

    role: str
    content: Content


def messages_of(system: Content, messages: Raw, *, drop_params: bool) -> list[JSON]:
    """The conversation; blocks that a chat has nothing like are left out if `drop_params`.

    Raises:
        MalformedRequest: a block is wrong, or has no place in a chat; its place is in `param`.
    """
    told = _system(system, "system")
    for number, message in enumerate(typed(messages, list[Message], "messages")):
        place = f"messages[{number}]"
        content = f"{place}.content"
        if message.role == "user":
            told += _UsersTurn(drop_params).read(message.content, content)
        elif message.role == "assistant":
            told += _ModelsTurn(drop_params).read(message.content, content)
        elif message.role == "system":
            told += _system(message.content, content)
        else:
            raise MalformedRequest(f"There is no role `{message.role}`.", param=f"{place}.role")
    return told


def _system(content: Content, param: str) -> list[JSON]:
    text = text_of(content, param)
    return [{"role": "system", "content": text}] if text else []


@dataclass(slots=True)
class _UsersTurn:
    """What the other side of the conversation says: results of tools, then content."""

    drop_params: bool
    results: list[JSON] = field(default_factory=list)
    shown: list[JSON] = field(default_factory=list)
    """Pictures and documents that tools returned: in a chat only a user's message may hold them."""

    def read(self, content: Content, param: str) -> list[JSON]:
        """Its messages; none if it is empty."""
        if isinstance(content, str):
            return [{"role": "user", "content": content}]
        others: list[JSON] = []
        for number, block in enumerate(content):
            if block.type == "tool_result":
                self._result(block, f"{param}[{number}]")
            else:
                others += block_parts(block, f"{param}[{number}]", drop_params=self.drop_params)
        parts = self.shown + others
        if not parts:
            return self.results
        return [*self.results, {"role": "user", "content": _plain(parts)}]

    def _result(self, block: Block, param: str) -> None:
        if not block.tool_use_id:
            raise MalformedRequest(f"`{param}.tool_use_id` is missing.", param=f"{param}.tool_use_id")
        found = parts_of(content_of(block, param), f"{param}.content", drop_params=self.drop_params)
        texts = [part["text"] for part in found if part["type"] == "text"]
        shown = [part for part in found if part["type"] != "text"]
        if shown:
            self.shown += [*text_parts(f"Returned by the tool call {block.tool_use_id}:"), *shown]
            texts = texts or ["What the tool returned follows."]
        text = "\n".join(texts)
        if block.is_error and not text.lower().startswith("error"):
            text = f"Error: {text}" if text else "Error"
        self.results.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": text})


@dataclass(slots=True)
class _ModelsTurn:
    """What the model thought, said and called."""

    drop_params: bool
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    details: list[JSON] = field(default_factory=list)
    calls: list[JSON] = field(default_factory=list)
    extras: dict[str, JSON] = field(default_factory=dict)
    """What vendors want to see again of their calls, by the calls' ids."""

    def read(self, content: Content, param: str) -> list[JSON]:
        """Its message; none if it neither says nor calls anything: thinking that led nowhere is no turn."""
        for number, block in enumerate([Block(type="text", text=content)] if isinstance(content, str) else content):
            self._block(block, f"{param}[{number}]")
        if not self.texts and not self.calls:
            return []
        for call in self.calls:
            if extra := self.extras.get(call["id"]):
                call["extra_content"] = extra
        optional = {
            "reasoning_content": "\n\n".join(self.thoughts),
            "reasoning_details": self.details,
            "tool_calls": self.calls,
        }
        message: JSON = {"role": "assistant", "content": "".join(self.texts) if self.texts else None}
        return [message | {name: value for name, value in optional.items() if value}]

    def _block(self, block: Block, param: str) -> None:
        match block.type:
            case "text":
                self.texts += [block.text] if block.text else []
            case "thinking":
                self._thinking(block, param)
            case "redacted_thinking":
                self._hidden(block, param)
            case "tool_use":
                self._call(block, param)
            case _ if not self.drop_params:
                raise not_offered(block, param)

    def _thinking(self, block: Block, param: str) -> None:
        text = block.thinking or ""
        if text:
            self.thoughts.append(text)
        if detail := detail_of(text, block.signature or "", param=f"{param}.signature"):
            self.details.append(detail)

    def _hidden(self, block: Block, param: str) -> None:
        found = hidden_of(block.data or "", param=f"{param}.data")
        if "extra_content" in found:
            self.extras[str(found.get("call"))] = found["extra_content"]
        else:
            self.details.append(found)

    def _call(self, block: Block, param: str) -> None:
        for name in ("id", "name"):
            if not getattr(block, name):
                raise MalformedRequest(f"`{param}.{name}` is missing.", param=f"{param}.{name}")
        arguments = bytes(block.input).decode()
        self.calls.append(tool_call(block.id or "", block.name or "", "{}" if arguments == "null" else arguments))


def _plain(parts: list[JSON]) -> str | list[JSON]:
    """Parts, or the text if there is nothing else: what every vendor reads."""
    only = parts[0] if len(parts) == 1 else {}
    return only["text"] if only.get("type") == "text" else parts
