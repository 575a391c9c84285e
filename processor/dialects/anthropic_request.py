"""A chat request as Anthropic's Messages has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from processor.dialects.anthropic_rules import AnthropicRules, Family
from processor.dialects.anthropic_turns import Conversation
from processor.dialects.base import Asked
from processor.dialects.chat_request import HINTS, Message, Parameters, Tool, typed, unsupported
from processor.errors import MalformedRequest
from processor.wire.json import JSON, encode

JSON_TOOL = "answer_in_json"
"""The tool whose input is the answer, for models that take no schema."""

_JSON_TOOL_SAYS = "Give the answer to the user by calling this tool."
_SCHEMA_SAYS = "Answer with one JSON object that follows this JSON schema, and nothing else: "
_OBJECT_SAYS = "Answer with one JSON object, and nothing else."
_NO_PARAMETERS: JSON = {"type": "object", "properties": {}}
_LEAST_BUDGET = 1024
"""Tokens of thinking that Anthropic takes at least; all of them count against `max_tokens`."""
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_CHOICES: Mapping[str, JSON] = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}
_OWN = ("cache_control", "container", "context_management", "inference_geo", "mcp_servers", "output_config", "thinking")
"""Anthropic's parameters that a client may send along with OpenAI's."""


class JSONSchema(Struct):
    """The schema an answer has to fit."""

    schema: JSON | None = None


class ResponseFormat(Struct):
    """What form the answer is wanted in."""

    type: str
    json_schema: JSONSchema | None = None

    def checked(self) -> ResponseFormat | None:
        """It; None for text."""
        if self.type == "text":
            return None
        if self.type not in ("json_object", "json_schema"):
            raise MalformedRequest(f"No answer has the form `{self.type}`.", param="response_format.type")
        return self

    @property
    def schema(self) -> JSON | None:
        """The schema, if there is one."""
        return self.json_schema.schema if self.json_schema else None


def messages_request(asked: Asked, rules: AnthropicRules) -> JSON:
    """The request's body.

    Raises:
        MalformedRequest: a parameter is wrong, or the model cannot do it.
    """
    parameters, family = Parameters(asked), rules.of(asked.model)
    conversation = Conversation(parameters.take("messages", list[Message], []))
    body: JSON = {"model": asked.model, "max_tokens": _limit(parameters) or family.max_tokens}
    body["messages"] = conversation.turns
    form = parameters.take("response_format", ResponseFormat)
    _add_tools(body, parameters, form.checked() if form else None, family, conversation)
    if conversation.system:
        plain = len(conversation.system) == 1 and "cache_control" not in conversation.system[0]
        body["system"] = conversation.system[0]["text"] if plain else conversation.system
    stop = parameters.take("stop", str | list[str], [])
    if sequences := [one for one in ([stop] if isinstance(stop, str) else stop) if one.strip()]:
        body["stop_sequences"] = sequences
    _add_own(body, parameters)
    _add_thinking(body, parameters, family, conversation, asked)
    _add_sampling(body, parameters, family, asked)
    if asked.stream:
        body["stream"] = True
    parameters.settle(hints=HINTS)
    return body


def answers_by_tool(asked: Asked, rules: AnthropicRules) -> bool:
    """Whether a call of `JSON_TOOL` is the answer itself."""
    raw = asked.fields.get("response_format")
    form = typed(raw, ResponseFormat | None, "response_format") if raw is not None else None
    if form is None or form.checked() is None or form.schema is None or rules.of(asked.model).schema:
        return False
    tools = asked.fields.get("tools")
    return tools is None or not typed(tools, list[Tool] | None, "tools")


def _limit(parameters: Parameters) -> int | None:
    old, new = parameters.take("max_tokens", int), parameters.take("max_completion_tokens", int)
    limit = old if new is None else new
    return None if limit is None else int(limit)


def _add_tools(
    body: JSON, parameters: Parameters, form: ResponseFormat | None, family: Family, conversation: Conversation
) -> None:
    tools = [_tool(tool, f"tools[{n}]") for n, tool in enumerate(parameters.take("tools", list[Tool], []))]
    choice = _choice(parameters.take("tool_choice", Any))
    if parameters.take("parallel_tool_calls", bool, default=True) is False and tools:
        choice = {"type": "auto", **(choice or {})}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    if form is not None:
        if form.schema is not None and family.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": form.schema}}
        elif form.schema is not None and not tools:
            schema = {**_NO_PARAMETERS, **form.schema}
            tools = [{"name": JSON_TOOL, "description": _JSON_TOOL_SAYS, "input_schema": schema}]
            choice = {"type": "tool", "name": JSON_TOOL}
        else:
            said = _SCHEMA_SAYS + encode(form.schema).decode() if form.schema is not None else _OBJECT_SAYS
            conversation.system.append({"type": "text", "text": said})
    if tools:
        body["tools"] = tools
        if choice is not None:
            body["tool_choice"] = choice


def _tool(tool: Tool, param: str) -> JSON:
    function = tool.function
    if function is None:
        raise MalformedRequest(f"`{param}` is not a function.", param=param)
    spec: JSON = {"name": function.name, "input_schema": {**_NO_PARAMETERS, **(function.parameters or {})}}
    more = {
        "description": function.description,
        "strict": function.strict or None,
        "cache_control": tool.cache_control,
    }
    return spec | {name: value for name, value in more.items() if value is not None}


def _choice(choice: Any) -> JSON | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return dict(_CHOICES[choice])
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise MalformedRequest("`tool_choice` must be a word or name a function.", param="tool_choice")
    return {"type": "tool", "name": name}


def _add_own(body: JSON, parameters: Parameters) -> None:
    """What Anthropic has a field for, in the client's words or in Anthropic's."""
    for name in _OWN:
        value = parameters.take(name, Any)
        if value is not None:
            body[name] = {**body.get(name, {}), **value} if isinstance(value, dict) else value
    user = parameters.take("user", str) or parameters.take("safety_identifier", str)
    if user:
        body["metadata"] = {"user_id": user}
    if (tier := parameters.take("service_tier", str)) in _TIERS:
        body["service_tier"] = _TIERS[tier]


def _add_thinking(body: JSON, parameters: Parameters, family: Family, conversation: Conversation, asked: Asked) -> None:
    effort = parameters.take("reasoning_effort", str)
    settings = family.efforts.get(effort) if effort else None
    if not settings or "thinking" in body or conversation.forgot_thinking:
        return
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):  # Claude does not think where a tool is forced
        return
    thinking = dict(settings["thinking"])
    if "budget_tokens" in thinking and not _fit(body, thinking, limited=_names_limit(asked)):
        return
    body["thinking"] = thinking
    if "output_config" in settings:
        body["output_config"] = {**settings["output_config"], **body.get("output_config", {})}


def _names_limit(asked: Asked) -> bool:
    return bool({"max_tokens", "max_completion_tokens"} & asked.fields.keys())


def _fit(body: JSON, thinking: JSON, *, limited: bool) -> bool:
    """Make the budget and `max_tokens` fit each other: the client's limit stands, ours grows."""
    if not limited:
        body["max_tokens"] += thinking["budget_tokens"]
        return True
    thinking["budget_tokens"] = min(thinking["budget_tokens"], body["max_tokens"] - 1)
    return bool(thinking["budget_tokens"] >= _LEAST_BUDGET)


def _add_sampling(body: JSON, parameters: Parameters, family: Family, asked: Asked) -> None:
    temperature = parameters.take("temperature", float)
    wanted: dict[str, Any] = {
        "temperature": None if temperature is None else min(max(temperature, 0.0), 1.0),
        "top_p": parameters.take("top_p", float),
        "top_k": parameters.take("top_k", int),
    }
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    for name, value in wanted.items():
        if value is None or (value == 1 and name != "top_k"):  # 1 is what it is anyway
            continue
        if thinks or not family.sampling or (name == "top_p" and family.one_sampler and "temperature" in body):
            if not asked.drop_params:
                raise unsupported(name, asked.model)
            continue
        body[name] = value
