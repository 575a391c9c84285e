"""A client's conversation as Converse takes it: the system apart, and turns of user and assistant by turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from processor.dialects.bedrock_blocks import Blocks
from processor.dialects.bedrock_rules import Family
from processor.dialects.chat_request import Message, Part, ToolCall, arguments_of, text_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_ID_FORBIDS = re.compile(r"[^a-zA-Z0-9_-]")
_ID_LENGTH = 64


class Conversation:
    """The messages, translated. Neighbours of one role become one turn, as Converse wants them to alternate."""

    def __init__(self, messages: list[Message], family: Family) -> None:
        self.system: list[JSON] = []
        self.turns: list[JSON] = []
        self.called: dict[str, None] = {}
        """The names of the tools that were called, in their order."""
        self._family = family
        self._blocks = Blocks()
        for number, message in enumerate(messages):
            param = f"messages[{number}]"
            reader = self._READERS.get(message.role)
            if reader is None:
                raise MalformedRequest(f"`{param}.role`: no role is called `{message.role}`.", param=f"{param}.role")
            reader(self, message, param)

    @property
    def uses_tools(self) -> bool:
        """Whether a call or a result stands in it: then Converse insists on a `toolConfig`."""
        return any("toolUse" in block or "toolResult" in block for turn in self.turns for block in turn["content"])

    @property
    def forgot_thinking(self) -> bool:
        """Whether the client gave the latest calls back without the thinking before them."""
        answers = [turn["content"] for turn in self.turns if turn["role"] == "assistant"]
        if not answers or self.turns[-1]["role"] != "user" or "toolResult" not in self.turns[-1]["content"][0]:
            return False
        return "reasoningContent" not in answers[-1][0]

    def _system(self, message: Message, param: str) -> None:
        text_of(message, param=param)
        for part in message.parts:
            if (text := part.text or "").strip():
                self.system.append({"text": text})
            self.system += self._cache_point(part.cache_control, "system")

    def _user(self, message: Message, param: str) -> None:
        self._add("user", self._content(message, param))

    def _assistant(self, message: Message, param: str) -> None:
        blocks = [*self._thinking(message), *self._content(message, param)]
        for number, call in enumerate(message.tool_calls or ()):
            blocks.append(self._call(call, f"{param}.tool_calls[{number}]"))
        self._add("assistant", blocks)

    def _tool(self, message: Message, param: str) -> None:
        if not message.tool_call_id:
            raise MalformedRequest(f"`{param}.tool_call_id` is missing.", param=f"{param}.tool_call_id")
        blocks = self._content(message, param)
        points = [block for block in blocks if "cachePoint" in block]
        result = {"toolUseId": _id(message.tool_call_id), "content": [one for one in blocks if one not in points]}
        self._add("user", [{"toolResult": result}, *points])

    def _content(self, message: Message, param: str) -> list[JSON]:
        blocks: list[JSON] = []
        for number, part in enumerate(message.parts):
            where = f"{param}.content[{number}]" if isinstance(message.content, list) else f"{param}.content"
            if (block := self._blocks.of(part, param=where)) is not None:
                blocks.append(block)
                blocks += self._cache_point(part.cache_control, "messages")
        return blocks or self._refusal(message)

    def _refusal(self, message: Message) -> list[JSON]:
        """What a model said when it refused."""
        block = self._blocks.of(Part(type="refusal", refusal=message.refusal), param="")
        return [block] if block else []

    def _thinking(self, message: Message) -> Iterator[JSON]:
        """The thinking the model will know again; what another vendor's signed, or nobody, is left out."""
        for detail in message.reasoning_details or ():
            if not self._family.efforts or detail.get("format") not in (None, self._family.reasoning_format):
                continue
            if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
                yield {"reasoningContent": {"redactedContent": detail["data"]}}
            elif detail.get("signature"):
                text = {"text": detail.get("text") or "", "signature": detail["signature"]}
                yield {"reasoningContent": {"reasoningText": text}}

    def _call(self, call: ToolCall, param: str) -> JSON:
        if call.function is None:
            raise MalformedRequest(f"`{param}` is not the call of a function.", param=param)
        self.called[call.function.name] = None
        arguments = arguments_of(call, param=f"{param}.function.arguments")
        return {"toolUse": {"toolUseId": _id(call.id), "name": call.function.name, "input": arguments}}

    def _cache_point(self, cache_control: JSON | None, place: str) -> list[JSON]:
        return [cache_point(cache_control)] if cache_control and place in self._family.cached else []

    def _add(self, role: str, blocks: list[JSON]) -> None:
        if not blocks:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    _READERS: Mapping[str, Callable[[Conversation, Message, str], None]] = {
        "system": _system,
        "developer": _system,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
    }


def cache_point(cache_control: JSON) -> JSON:
    """Anthropic's `cache_control` as the block that stands behind what is cached."""
    ttl = cache_control.get("ttl")
    return {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}}


def _id(text: str) -> str:
    """A call's id in the letters Converse takes: another vendor may have made it. The end is what tells ids apart."""
    return _ID_FORBIDS.sub("_", text)[-_ID_LENGTH:] or "_"
