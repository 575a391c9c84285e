"""Tools for Converse, and JSON answers where only a tool can bring them about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from processor.dialects.base import Asked
from processor.dialects.bedrock_messages import Conversation, cache_point
from processor.dialects.bedrock_rules import Family
from processor.dialects.chat_request import Parameters, Tool, typed, unsupported
from processor.errors import MalformedRequest
from processor.wire.json import JSON, encode

JSON_TOOL = "answer_in_json"
"""The tool whose input is the answer."""

_JSON_TOOL_SAYS = "Give the answer to the user by calling this tool."
_NO_CALLS = "Do not call any tool now. Answer in text."
_ANY_OBJECT: JSON = {"type": "object"}
_NO_PARAMETERS: JSON = {"type": "object", "properties": {}}


class JSONSchema(Struct):
    """The schema an answer has to fit."""

    name: str = ""
    description: str | None = None
    schema: JSON | None = None


class ResponseFormat(Struct):
    """What form the answer is wanted in."""

    type: str
    json_schema: JSONSchema | None = None


@dataclass(slots=True)
class Plan:
    """What the request says about tools and the form of the answer."""

    tools: JSON | None = None
    """`toolConfig`."""
    output: JSON | None = None
    """`outputConfig`."""
    more: JSON | None = None
    """For `additionalModelRequestFields`."""
    instruction: str = ""
    """What the system has to add, since Converse has no field for it."""
    forced: bool = False
    """Whether the model is made to call a tool."""


def plan(parameters: Parameters, conversation: Conversation, family: Family, asked: Asked) -> Plan:
    """Take what concerns tools and the form of the answer.

    Raises:
        MalformedRequest: the model's family cannot do it.
    """
    form = _format(parameters.take("response_format", ResponseFormat))
    tools = parameters.take("tools", list[Tool], [])
    choice = _choice(parameters.take("tool_choice", Any, "auto"))
    one_call = parameters.take("parallel_tool_calls", bool, default=True) is False
    planned = Plan(output=_output(form, family))
    specs = _specs(tools, family)
    if form is not None and planned.output is None and (family.forced_tool or refuse("response_format", asked)):
        specs, choice = _with_json_tool(form, specs, choice)
    if choice == "none":
        specs = specs if conversation.uses_tools else []
    if not specs and conversation.uses_tools:  # Converse refuses a history of calls without tools
        specs, choice = [_spec(name, _NO_PARAMETERS) for name in conversation.called], "none"
    if not specs:
        return planned
    planned.instruction = _NO_CALLS if choice == "none" else ""
    planned.tools = {"tools": specs}
    _choose(planned, choice, family, asked)
    if one_call and choice != "none" and (family.one_call or refuse("parallel_tool_calls", asked)):
        # Converse has no field for it, and refuses the type in two places.
        kind = {} if planned.forced else {"type": "auto"}
        planned.more = {"tool_choice": {**kind, "disable_parallel_tool_use": True}}
    return planned


def answers_by_tool(asked: Asked, family: Family) -> bool:
    """Whether a call of `JSON_TOOL` is the answer itself."""
    raw = asked.fields.get("response_format")
    form = _format(typed(raw, ResponseFormat | None, "response_format")) if raw is not None else None
    return form is not None and family.forced_tool and _output(form, family) is None


def refuse(param: str, asked: Asked) -> bool:
    """Refuse a parameter that the model has nothing like; False if it may be left out instead."""
    if not asked.drop_params:
        raise unsupported(param, asked.model)
    return False


def _format(form: ResponseFormat | None) -> ResponseFormat | None:
    """The form of the answer; None for text."""
    if form is None or form.type == "text":
        return None
    if form.type not in ("json_object", "json_schema"):
        raise MalformedRequest(f"No answer has the form `{form.type}`.", param="response_format.type")
    return form


def _output(form: ResponseFormat | None, family: Family) -> JSON | None:
    """`outputConfig`, which needs a schema."""
    if form is None or form.json_schema is None or form.json_schema.schema is None or not family.schema:
        return None
    said = {"name": form.json_schema.name, "description": form.json_schema.description}
    schema = {"schema": encode(form.json_schema.schema).decode(), **{name: text for name, text in said.items() if text}}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _choice(choice: Any) -> str:
    """`auto`, `none`, `required`, or a name behind a `=`."""
    if choice in ("auto", "none", "required"):
        return str(choice)
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise MalformedRequest("`tool_choice` must be a word or name a function.", param="tool_choice")
    return f"={name}"


def _specs(tools: list[Tool], family: Family) -> list[JSON]:
    specs: list[JSON] = []
    for number, tool in enumerate(tools):
        if tool.function is None:
            raise MalformedRequest(f"`tools[{number}]` is not a function.", param=f"tools[{number}]")
        function = tool.function
        more: JSON = {"description": function.description} if function.description else {}
        if function.strict:
            more["strict"] = True
        specs.append(_spec(function.name, {**_NO_PARAMETERS, **(function.parameters or {})}, **more))
        if tool.cache_control and "tools" in family.cached:
            specs.append(cache_point(tool.cache_control))
    return specs


def _spec(name: str, schema: JSON, **more: Any) -> JSON:
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}, **more}}


def _with_json_tool(form: ResponseFormat, specs: list[JSON], choice: str) -> tuple[list[JSON], str]:
    """The tools with the one that takes the answer, called at the latest when no other is."""
    if choice.startswith("="):
        return specs, choice
    schema = form.json_schema.schema if form.json_schema else None
    says = (form.json_schema.description if form.json_schema else None) or _JSON_TOOL_SAYS
    alone = not specs or choice == "none"
    return [*specs, _spec(JSON_TOOL, schema or _ANY_OBJECT, description=says)], f"={JSON_TOOL}" if alone else "required"


def _choose(planned: Plan, choice: str, family: Family, asked: Asked) -> None:
    """Set `toolChoice`, if it is not what models do by themselves."""
    if choice in ("auto", "none") or planned.tools is None:
        return
    if family.forced_tool or refuse("tool_choice", asked):
        planned.forced = True
        planned.tools["toolChoice"] = {"any": {}} if choice == "required" else {"tool": {"name": choice[1:]}}
