"""A chat request of OpenAI's as the body of Gemini's generateContent."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from processor.dialects.base import Asked
from processor.dialects.chat_request import FunctionTool, Message, Parameters, Tool, is_harmless, unsupported
from processor.dialects.gemini_contents import contents_of
from processor.dialects.gemini_rules import GeminiRules
from processor.dialects.gemini_schema import openapi
from processor.errors import MalformedRequest
from processor.wire.json import JSON, raw

_NUMBER = int | float

_SETTINGS: tuple[tuple[str, Any, str], ...] = (
    ("temperature", _NUMBER, "temperature"),
    ("top_p", _NUMBER, "topP"),
    ("top_k", int, "topK"),
    ("max_tokens", int, "maxOutputTokens"),
    ("max_completion_tokens", int, "maxOutputTokens"),
    ("n", int, "candidateCount"),
    ("seed", int, "seed"),
    ("presence_penalty", _NUMBER, "presencePenalty"),
    ("frequency_penalty", _NUMBER, "frequencyPenalty"),
    ("logprobs", bool, "responseLogprobs"),
    ("top_logprobs", int, "logprobs"),
)
"""OpenAI's name, its type, and the name in `generationConfig`; of two for one the later wins."""

_MODALITIES = {"text": "TEXT", "image": "IMAGE"}
_CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


class JSONSchema(Struct, gc=False):
    """The schema of an answer."""

    schema: JSON | None = None


class ResponseFormat(Struct, gc=False):
    """What form the answer is to have."""

    type: str = "text"
    json_schema: JSONSchema | None = None


class Named(Struct, gc=False):
    """A function by its name."""

    name: str


class NamedTool(Struct, gc=False):
    """A tool by its name."""

    type: str = "function"
    function: Named | None = None


class AllowedTools(Struct, gc=False):
    """Some of the tools, of which one may, or must, be called."""

    tools: list[NamedTool]
    mode: str = "auto"


class ToolChoice(Struct, gc=False):
    """The forms of `tool_choice` that are not a word."""

    type: str
    function: Named | None = None
    allowed_tools: AllowedTools | None = None


class ThinkingConfig(Struct, gc=False, forbid_unknown_fields=True):
    """`thinkingConfig` in the spelling of Google's OpenAI endpoint."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class Google(Struct, gc=False, forbid_unknown_fields=True):
    """Google's own parameters."""

    thinking_config: ThinkingConfig | None = None
    cached_content: str | None = None


class ExtraBody(Struct, gc=False, forbid_unknown_fields=True):
    """Where Google's OpenAI endpoint takes them."""

    google: Google | None = None


def body_of(asked: Asked, rules: GeminiRules) -> JSON:
    """The body of generateContent and streamGenerateContent alike.

    Raises:
        MalformedRequest: a parameter is wrong, or the model cannot do what it asks.
    """
    parameters = Parameters(asked)
    messages = parameters.take("messages", list[Message], [])
    body = contents_of(messages, signed=rules.signs_calls(asked.model))
    body |= _tools(parameters, asked, rules)
    extra = parameters.take("extra_body", ExtraBody, ExtraBody()).google or Google()
    config = _settings(parameters)
    config |= _form(parameters, asked, rules)
    config |= _thinking(parameters, asked, rules, extra.thinking_config)
    if config:
        body["generationConfig"] = config
    if extra.cached_content:
        body["cachedContent"] = extra.cached_content
    if safety := parameters.take("safety_settings", list[JSON]):
        body["safetySettings"] = safety
    parameters.settle()
    return body


def _settings(parameters: Parameters) -> JSON:
    config: JSON = {}
    for name, kind, vendors in _SETTINGS:
        value = parameters.take(name, kind)
        # Models without penalties, say, refuse even a penalty of 0.
        if value is not None and not is_harmless(name, raw(value)):
            config[vendors] = value
    if stop := parameters.take("stop", str | list[str]):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    return config


def _form(parameters: Parameters, asked: Asked, rules: GeminiRules) -> JSON:
    """The answer's kind and shape."""
    config: JSON = {}
    modalities = parameters.take("modalities", list[str], ["text"])
    if not _MODALITIES.keys() >= set(modalities):
        _refuse("modalities", asked)
    elif modalities != ["text"]:
        config["responseModalities"] = [_MODALITIES[name] for name in modalities]
    wanted = parameters.take("response_format", ResponseFormat, ResponseFormat())
    if wanted.type in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
    elif wanted.type != "text":
        _refuse("response_format", asked)
    schema = wanted.json_schema.schema if wanted.type == "json_schema" and wanted.json_schema else None
    if schema is not None and rules.takes_json_schema(asked.model):
        config["responseJsonSchema"] = schema
    elif schema is not None:
        config["responseSchema"] = openapi(schema, param="response_format.json_schema.schema")
    return config


def _thinking(parameters: Parameters, asked: Asked, rules: GeminiRules, own: ThinkingConfig | None) -> JSON:
    """`thinkingConfig`: the client's own, else what its `reasoning_effort` means to this model."""
    effort = parameters.take("reasoning_effort", str)
    if own is not None:
        named = (own.include_thoughts, own.thinking_budget, own.thinking_level)
        names = ("includeThoughts", "thinkingBudget", "thinkingLevel")
        found = {name: value for name, value in zip(names, named, strict=True) if value is not None}
        return {"thinkingConfig": found}
    efforts = rules.efforts(asked.model)
    if effort is None or (effort == "none" and not efforts):
        return {}
    if effort in efforts:
        return {"thinkingConfig": efforts[effort]}
    _refuse("reasoning_effort", asked)
    return {}


def _refuse(name: str, asked: Asked) -> None:
    """Refuse a parameter's value, unless what cannot be done is to be left out."""
    if not asked.drop_params:
        raise unsupported(name, asked.model)


def _tools(parameters: Parameters, asked: Asked, rules: GeminiRules) -> JSON:
    tools = parameters.take("tools", list[Tool], [])
    choice = parameters.take("tool_choice", str | ToolChoice)
    if not tools:
        if choice not in (None, "auto", "none"):
            raise MalformedRequest("`tool_choice` needs `tools`.", param="tool_choice")
        return {}
    json_schema = rules.takes_json_schema(asked.model)
    declared = [_declared(tool, f"tools[{at}]", json_schema=json_schema) for at, tool in enumerate(tools)]
    found: JSON = {"tools": [{"functionDeclarations": declared}]}
    if choice is not None:
        found["toolConfig"] = {"functionCallingConfig": _choice(choice)}
    return found


def _declared(tool: Tool, param: str, *, json_schema: bool) -> JSON:
    function = tool.function
    if tool.type != "function" or function is None:
        raise MalformedRequest(f"`{param}` must be a function, which is all this model takes.", param=param)
    found: JSON = {"name": function.name}
    if function.description:
        found["description"] = function.description
    return found | _accepts(function, param, json_schema=json_schema)


def _accepts(function: FunctionTool, param: str, *, json_schema: bool) -> JSON:
    if not function.parameters:
        return {}
    if json_schema:
        return {"parametersJsonSchema": function.parameters}
    schema = openapi(function.parameters, param=f"{param}.function.parameters")
    # An object without properties is refused by the older models; a function without parameters is not.
    return {"parameters": schema} if schema.get("properties") else {}


def _choice(choice: str | ToolChoice) -> JSON:
    """`functionCallingConfig`: VALIDATED leaves the model free to call one of the named functions, or none."""
    if isinstance(choice, str):
        if choice in _CHOICES:
            return {"mode": _CHOICES[choice]}
    elif choice.type == "function" and choice.function is not None:
        return {"mode": "ANY", "allowedFunctionNames": [choice.function.name]}
    elif choice.type == "allowed_tools" and choice.allowed_tools is not None:
        allowed = choice.allowed_tools
        names = [tool.function.name for tool in allowed.tools if tool.function]
        return {"mode": "ANY" if allowed.mode == "required" else "VALIDATED", "allowedFunctionNames": names}
    raise MalformedRequest("`tool_choice` is none of the forms this model takes.", param="tool_choice")
