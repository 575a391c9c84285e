"""Tools for Messages, and the form of the answer: by a schema, by a tool, or by asking for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from processor.dialects.anthropic_rules import Family
from processor.dialects.anthropic_schema import closed
from processor.dialects.anthropic_turns import Conversation
from processor.dialects.base import Asked
from processor.dialects.chat_request import Parameters, Tool, typed, unsupported
from processor.errors import MalformedRequest
from processor.wire.json import JSON, encode

JSON_TOOL = "answer_in_json"
"""The tool whose input is the answer, for models that take no schema."""

_JSON_TOOL_SAYS = "Give the answer to the user by calling this tool."
_SCHEMA_SAYS = "Answer with one JSON value that follows this JSON schema, and nothing else: "
_OBJECT_SAYS = "Answer with one JSON object, and nothing else."
_NO_PARAMETERS: JSON = {"type": "object", "properties": {}}
_CHOICES: Mapping[str, JSON] = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}
_FORCING = ("any", "tool")


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


@dataclass(slots=True)
class Plan:
    """What the request says about tools and the form of the answer."""

    tools: list[JSON]
    choice: JSON | None = None
    """`tool_choice`."""
    output: JSON | None = None
    """`output_config.format`."""
    instruction: str = ""
    """What the system has to add, where there is no field for it."""

    @property
    def forced(self) -> bool:
        """Whether the model is made to call a tool."""
        return self.choice is not None and self.choice["type"] in _FORCING


def plan(parameters: Parameters, conversation: Conversation, family: Family, asked: Asked) -> Plan:
    """Take what concerns tools and the form of the answer.

    Raises:
        MalformedRequest: a parameter is wrong, or the model cannot do it.
    """
    tools = parameters.take("tools", list[Tool], [])
    planned = Plan([_tool(tool, f"tools[{number}]", family) for number, tool in enumerate(tools)])
    choice = _choice(parameters.take("tool_choice", Any))
    one_call = parameters.take("parallel_tool_calls", bool, default=True) is False
    form = parameters.take("response_format", ResponseFormat)
    if planned.tools:
        planned.choice = _chosen(choice, family, asked, one_call=one_call)
    if form is not None and (wanted := form.checked()) is not None:
        _give_form(planned, wanted, family)
    if not planned.tools and conversation.called:  # a history of calls wants tools to be defined
        planned.tools = [{"name": name, "input_schema": _NO_PARAMETERS} for name in conversation.called]
        planned.choice = _CHOICES["none"]
    return planned


def answers_by_tool(asked: Asked, family: Family) -> bool:
    """Whether a call of `JSON_TOOL` is the answer itself."""
    raw = asked.fields.get("response_format")
    form = typed(raw, ResponseFormat | None, "response_format") if raw is not None else None
    if form is None or form.checked() is None or form.schema is None or family.schema:
        return False
    tools = asked.fields.get("tools")
    return tools is None or not typed(tools, list[Tool] | None, "tools")


def _give_form(planned: Plan, form: ResponseFormat, family: Family) -> None:
    """See to it that the answer has the form: whatever is surest."""
    schema = form.schema
    if schema is None:
        planned.instruction = _OBJECT_SAYS
    elif family.schema and (strict := closed(schema)) is not None:
        planned.output = {"type": "json_schema", "schema": strict}
    elif family.schema or planned.tools:
        planned.instruction = _SCHEMA_SAYS + encode(schema).decode()
    else:
        spec = {"name": JSON_TOOL, "description": _JSON_TOOL_SAYS, "input_schema": {**_NO_PARAMETERS, **schema}}
        planned.tools, planned.choice = [spec], {"type": "tool", "name": JSON_TOOL}


def _tool(tool: Tool, param: str, family: Family) -> JSON:
    function = tool.function
    if function is None:
        raise MalformedRequest(f"`{param}` is not a function.", param=param)
    schema = {**_NO_PARAMETERS, **(function.parameters or {})}
    spec: JSON = {"name": function.name, "input_schema": schema}
    if function.strict and family.schema and (strict := _strict(schema)) is not None:
        spec |= {"input_schema": strict, "strict": True}
    more = {"description": function.description, "cache_control": tool.cache_control}
    return spec | {name: value for name, value in more.items() if value is not None}


def _strict(schema: JSON) -> JSON | None:
    """A tool's schema as a strict tool has it; one without parameters is closed as it is."""
    return closed(schema if schema["properties"] else {**schema, "additionalProperties": False})


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


def _chosen(choice: JSON | None, family: Family, asked: Asked, *, one_call: bool) -> JSON | None:
    """The choice as the model takes it."""
    if choice is not None and choice["type"] in _FORCING and not family.forced_tool:
        if not asked.drop_params:
            raise unsupported("tool_choice", asked.model)
        choice = None
    if not one_call or (choice is not None and choice["type"] == "none"):
        return choice
    return {**(choice or _CHOICES["auto"]), "disable_parallel_tool_use": True}
