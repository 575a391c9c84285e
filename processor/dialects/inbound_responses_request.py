"""An OpenAI `/responses` request as a chat request, for any chat translator.

What a chat says in other words is translated, what needs a memory is refused, and the rest (`temperature`, `user`,
parameters of the vendor's own) goes on under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw, Struct

from processor.dialects.base import Asked
from processor.dialects.chat_request import FunctionTool, typed
from processor.dialects.inbound_responses_items import NO_STATE, messages_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON, Fields, raw

_STATEFUL = {
    "previous_response_id": "send the whole conversation in `input`",
    "conversation": "send the whole conversation in `input`",
    "prompt": "send the prompt itself in `instructions` and `input`",
    "background": "wait for the answer, or stream it",
}
"""Parameters that need a memory, and what to do instead; not even `drop_params` can leave them out."""

_NOT_FOR_CHAT = frozenset({"include", "max_tool_calls", "metadata", "store", "stream_options"})
"""What concerns built-in tools, the answer's form, or its being kept, which it is not."""

_CHANGE_NOTHING: Mapping[str, tuple[object, ...]] = {
    "background": (False,),
    "truncation": ("disabled",),
    "context_management": ([],),
    "moderation": (),
}


class _Text(Struct, gc=False):
    format: JSON | None = None
    verbosity: str | None = None


class _Reasoning(Struct, gc=False):
    effort: str | None = None
    mode: str | None = None
    context: str | None = None


class _Tool(FunctionTool, Struct, gc=False):
    type: str = "function"
    name: str = ""


class _ToolChoice(Struct, gc=False):
    type: str
    name: str | None = None
    mode: str = "auto"
    tools: list[_Tool] = []


def chat_fields(asked: Asked) -> Fields:
    """The chat request's fields.

    Raises:
        MalformedRequest: a parameter is wrong, or asks for what the gateway does not do; named in `param`.
    """
    return _Request(asked).fields()


class _Request:
    """One request being read: its parameters move over one by one."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._left = {name: value for name, value in asked.fields.items() if not _is_null(value)}
        self._chat: Fields = {}

    def fields(self) -> Fields:
        """All of it."""
        self._refuse()
        self._messages()
        choice = self._tool_choice()
        self._tools(choice)
        self._text()
        self._reasoning()
        self._logprobs()
        if "max_output_tokens" in self._left:
            self._chat["max_tokens"] = self._left.pop("max_output_tokens")
        rest = {name: value for name, value in self._left.items() if name not in _NOT_FOR_CHAT}
        return {**rest, **self._chat}

    def _take(self, name: str, kind: type[Any] | Any) -> Any:
        found = self._left.pop(name, None)
        return None if found is None else typed(found, kind, name)

    def _refuse(self) -> None:
        """What needs a memory, or a machine of OpenAI's."""
        for name in (*_STATEFUL, *_CHANGE_NOTHING):
            value = self._take(name, Any)
            if value is None or value in _CHANGE_NOTHING.get(name, ()):
                continue
            if instead := _STATEFUL.get(name):
                message = f"{NO_STATE}, so `{name}` is not offered: {instead}."
                raise MalformedRequest(message, param=name, code="unsupported_parameter")
            self._unless_dropped(name)

    def _messages(self) -> None:
        if "input" not in self._left:
            raise MalformedRequest("`input` is missing.", param="input", code="missing_required_parameter")
        messages = messages_of(self._left.pop("input"), drop_params=self._asked.drop_params)
        if instructions := self._take("instructions", str):
            messages.insert(0, {"role": "system", "content": instructions})
        self._chat["messages"] = raw(messages)

    def _tool_choice(self) -> str | _ToolChoice | None:
        """The choice if it concerns functions."""
        choice: str | _ToolChoice | None = self._take("tool_choice", str | _ToolChoice)
        if isinstance(choice, str):
            self._chat["tool_choice"] = raw(choice)
        elif choice and choice.type == "function":
            self._chat["tool_choice"] = raw({"type": "function", "function": {"name": choice.name}})
        elif choice and choice.type == "allowed_tools":
            self._chat["tool_choice"] = raw(choice.mode)
        elif choice:
            self._unless_dropped("tool_choice", f"a choice of type `{choice.type}`")
            return None
        return choice

    def _tools(self, choice: str | _ToolChoice | None) -> None:
        """The functions; of a list of allowed ones the others are left out, which every vendor understands."""
        tools: list[JSON] = []
        for number, tool in enumerate(self._take("tools", list[_Tool]) or ()):
            if tool.type != "function":
                self._unless_dropped(f"tools[{number}]", f"a tool of type `{tool.type}`")
            elif not tool.name:
                raise MalformedRequest(f"`tools[{number}].name` is missing.", param=f"tools[{number}].name")
            elif _allows(choice, tool.name):
                tools.append({"type": "function", "function": _described(tool)})
        if tools:
            self._chat["tools"] = raw(tools)
        else:
            self._chat.pop("tool_choice", None)
            self._left.pop("parallel_tool_calls", None)

    def _text(self) -> None:
        text: _Text | None = self._take("text", _Text)
        if text and text.verbosity:
            self._chat["verbosity"] = raw(text.verbosity)
        if not text or not text.format or text.format.get("type") == "text":
            return
        kind = text.format.get("type")
        if kind not in ("json_object", "json_schema"):
            raise MalformedRequest(f"There is no format `{kind}`.", param="text.format.type")
        described = {name: value for name, value in text.format.items() if name != "type" and value is not None}
        wanted = {"type": kind, "json_schema": described} if kind == "json_schema" else {"type": kind}
        self._chat["response_format"] = raw(wanted)

    def _reasoning(self) -> None:
        """The effort. What a vendor tells of its thinking is the summary, whichever length was asked for."""
        reasoning: _Reasoning | None = self._take("reasoning", _Reasoning)
        if reasoning is None:
            return
        if reasoning.mode not in (None, "standard"):
            self._unless_dropped("reasoning.mode")
        if reasoning.effort:
            self._chat["reasoning_effort"] = raw(reasoning.effort)

    def _logprobs(self) -> None:
        count = self._take("top_logprobs", int)
        included = self._take("include", list[str]) or ()
        if count or "message.output_text.logprobs" in included:
            self._chat["logprobs"] = raw(value=True)
        if count:
            self._chat["top_logprobs"] = raw(count)

    def _unless_dropped(self, param: str, what: str = "") -> None:
        if not self._asked.drop_params:
            message = f"{what or f'`{param}`'} is not offered over a chat. Leave it out, or set `drop_params: true`."
            raise MalformedRequest(message[0].upper() + message[1:], param=param, code="unsupported_parameter")


def _allows(choice: str | _ToolChoice | None, name: str) -> bool:
    if not isinstance(choice, _ToolChoice) or choice.type != "allowed_tools":
        return True
    return any(tool.name == name for tool in choice.tools)


def _described(tool: _Tool) -> JSON:
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {name: value for name, value in described.items() if value is not None}


def _is_null(value: Raw) -> bool:
    return bytes(memoryview(value)[:4]) == b"null"
