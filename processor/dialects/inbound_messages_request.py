"""An Anthropic Messages request as a chat request, for any chat translator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from msgspec import Raw, Struct

from processor.dialects.base import Asked
from processor.dialects.chat_request import Parameters
from processor.dialects.inbound_messages_parts import Content
from processor.dialects.inbound_messages_turns import messages_of
from processor.errors import MalformedRequest
from processor.wire.json import JSON, Fields, raw

_RENAMED = {
    "max_tokens": "max_tokens",
    "stop_sequences": "stop",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
"""What a chat has too, and its name there."""

_HINTS = frozenset(
    {
        "anthropic_beta",
        "anthropic_version",
        "cache_control",
        "context_management",
        "diagnostics",
        "speed",
        "stream_options",
        "user_profile_id",
        "workspace_id",
    }
)
"""What does not change what an answer means: left out."""

_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}

_EFFORTS = ((4096, "low"), (16384, "medium"))
"""Tokens of thinking below which an effort is meant; above them all it is high."""
_ADAPTIVE = "medium"
"""The effort of a model that is to decide for itself: OpenAI's default."""

_USER = re.compile(r"[A-Za-z0-9_-]{6,64}")
"""What every vendor takes: OpenAI's 64 characters at most, Zhipu's 6 at least, DeepSeek's letters. Agents send JSON."""

_DEPTH = 64
"""Of schemas; OpenAI takes 10 levels of objects."""

_NOTHING = Raw(b"null")

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class _Metadata(Struct, gc=False):
    user_id: str | None = None


class _Thinking(Struct, gc=False):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None


class _Format(Struct, gc=False):
    type: Literal["json_schema"]
    schema: Any


class _OutputConfig(Struct, gc=False):
    effort: str | None = None
    format: _Format | None = None


class _Tool(Struct, gc=False):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = _NOTHING
    strict: bool | None = None


class _ToolChoice(Struct, gc=False):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def chat_fields(asked: Asked) -> Fields:
    """The chat request's fields.

    Raises:
        MalformedRequest: a parameter is wrong, or asks for what only Anthropic has; named in `param`.
    """
    parameters = Parameters(asked)
    fields: Fields = {name: asked.fields[name] for name in ("model", "stream") if name in asked.fields}
    fields["messages"] = raw(_messages(parameters, asked))
    for name, chats in _RENAMED.items():
        if (value := parameters.take(name, Raw)) is not None and bytes(value) != b"[]":
            fields[chats] = value
    for reader in (_tools, _thinking_and_form, _caller):
        fields |= {name: raw(value) for name, value in reader(parameters, asked).items() if value is not None}
    if parameters.take("mcp_servers", list[Any]) and not asked.drop_params:
        raise _refused("mcp_servers", "MCP servers that Anthropic calls")
    parameters.settle(hints=_HINTS)
    return fields


def _messages(parameters: Parameters, asked: Asked) -> list[JSON]:
    messages = parameters.take("messages", Raw)
    if messages is None:
        raise MalformedRequest("`messages` is missing.", param="messages", code="missing_required_parameter")
    return messages_of(parameters.take("system", Content, ""), messages, drop_params=asked.drop_params)


def _tools(parameters: Parameters, asked: Asked) -> JSON:
    tools = []
    for number, tool in enumerate(parameters.take("tools", list[_Tool], [])):
        if tool.type not in (None, "custom"):
            if not asked.drop_params:
                raise _refused(f"tools[{number}]", f"Tools of type `{tool.type}`, which are Anthropic's own,")
        elif not tool.name:
            raise MalformedRequest(f"`tools[{number}].name` is missing.", param=f"tools[{number}].name")
        else:
            tools.append({"type": "function", "function": _function(tool)})
    choice: _ToolChoice | None = parameters.take("tool_choice", _ToolChoice)
    if not tools:
        return {}
    if choice is None:
        return {"tools": tools}
    if choice.type == "tool" and not choice.name:
        raise MalformedRequest("`tool_choice.name` is missing.", param="tool_choice.name")
    named = {"type": "function", "function": {"name": choice.name}}
    parallel = False if choice.disable_parallel_tool_use else None
    return {"tools": tools, "tool_choice": _CHOICES.get(choice.type, named), "parallel_tool_calls": parallel}


def _function(tool: _Tool) -> JSON:
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": None if bytes(tool.input_schema) == b"null" else tool.input_schema,
        "strict": tool.strict,
    }
    return {name: value for name, value in described.items() if value is not None}


def _thinking_and_form(parameters: Parameters, _: Asked) -> JSON:
    thinking: _Thinking | None = parameters.take("thinking", _Thinking)
    config: _OutputConfig = parameters.take("output_config", _OutputConfig, _OutputConfig())
    older: _Format | None = parameters.take("output_format", _Format)
    form = config.format or older
    return {
        "reasoning_effort": _effort(thinking, config.effort),
        "response_format": _response_format(form.schema) if form else None,
    }


def _effort(thinking: _Thinking | None, effort: str | None) -> str | None:
    """How much to think: an effort says it better than a budget."""
    if thinking is None or thinking.type != "disabled":
        if effort or thinking is None:
            return effort
        budget = thinking.budget_tokens
        return _ADAPTIVE if budget is None else next((word for most, word in _EFFORTS if budget < most), "high")
    return "none"


def _response_format(schema: Any) -> JSON:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": _is_strict(schema)}}


def _is_strict(schema: Any, depth: int = _DEPTH) -> bool:
    """Whether OpenAI would take a schema as `strict`: no property that is not named, and none that may be missing."""
    if not isinstance(schema, Mapping | list):
        return True
    inner = schema
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and not _is_closed(schema, properties):
            return False
        inner = list(schema.values())
    return depth > 0 and all(_is_strict(value, depth - 1) for value in inner)


def _is_closed(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    required = schema.get("required", [])
    named = isinstance(required, list) and all(name in required for name in properties)
    return named and schema.get("additionalProperties") is False


def _caller(parameters: Parameters, _: Asked) -> JSON:
    """Who asks, and how urgently."""
    metadata: _Metadata = parameters.take("metadata", _Metadata, _Metadata())
    tier = parameters.take("service_tier", str)
    user = metadata.user_id
    if user and not _USER.fullmatch(user):
        user = sha256(user.encode()).hexdigest()
    return {"user": user, "service_tier": _SERVICE_TIERS.get(tier)}


def _refused(param: str, what: str) -> MalformedRequest:
    message = f"{what} are not offered over a chat. Leave them out, or set `drop_params: true`."
    return MalformedRequest(message, param=param, code="unsupported_parameter")
