"""A chat request as Anthropic's Messages has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processor.dialects.anthropic_rules import AnthropicRules, Family
from processor.dialects.anthropic_tools import Plan, plan
from processor.dialects.anthropic_turns import Conversation
from processor.dialects.base import Asked
from processor.dialects.chat_request import Message, Parameters, unsupported
from processor.wire.json import JSON

_LEAST_BUDGET = 1024
"""Tokens of thinking that Anthropic takes at least; all of them count against `max_tokens`."""
_LEAST_TOP_P = 0.95
"""Of what thinking allows."""
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_OWN: Mapping[str, Any] = {
    "cache_control": JSON,
    "container": str | JSON,
    "context_management": JSON,
    "inference_geo": str,
    "mcp_servers": list[JSON],
    "output_config": JSON,
    "speed": str,
    "thinking": JSON,
}
"""Anthropic's parameters that a client may send along with OpenAI's."""


def messages_request(asked: Asked, rules: AnthropicRules) -> JSON:
    """The request's body.

    Raises:
        MalformedRequest: a parameter is wrong, or the model cannot do it.
    """
    parameters, family = Parameters(asked), rules.of(asked.model)
    conversation = Conversation(parameters.take("messages", list[Message], []), thinks=bool(family.efforts))
    planned = plan(parameters, conversation, family, asked)
    limit = _limit(parameters)
    body: JSON = {"model": asked.model, "max_tokens": family.max_tokens if limit is None else limit}
    body["messages"] = conversation.turns
    if system := _system(conversation, planned):
        body["system"] = system
    _add_tools(body, planned)
    if stops := _stops(parameters):
        body["stop_sequences"] = stops
    _add_own(body, parameters)
    limited = limit is not None
    _add_thinking(body, parameters, family, conversation, forced=planned.forced, limited=limited)
    _add_sampling(body, parameters, family, asked)
    if asked.stream:
        body["stream"] = True
    parameters.settle()
    return body


def _limit(parameters: Parameters) -> int | None:
    old, new = parameters.take("max_tokens", int), parameters.take("max_completion_tokens", int)
    limit = old if new is None else new
    return None if limit is None else int(limit)


def _system(conversation: Conversation, planned: Plan) -> str | list[JSON]:
    """The system's text, in blocks where they are several or marked."""
    said = [{"type": "text", "text": planned.instruction}] if planned.instruction else []
    blocks = conversation.system + said
    if len(blocks) == 1 and "cache_control" not in blocks[0]:
        return str(blocks[0]["text"])
    return blocks


def _stops(parameters: Parameters) -> list[str]:
    """Blank ones are refused."""
    stop = parameters.take("stop", str | list[str], [])
    return [one for one in ([stop] if isinstance(stop, str) else stop) if one.strip()]


def _add_tools(body: JSON, planned: Plan) -> None:
    if planned.output is not None:
        body["output_config"] = {"format": planned.output}
    if planned.tools:
        body["tools"] = planned.tools
        if planned.choice is not None:
            body["tool_choice"] = planned.choice


def _add_own(body: JSON, parameters: Parameters) -> None:
    """What Anthropic has a field for, in the client's words or in Anthropic's."""
    for name, kind in _OWN.items():
        value = parameters.take(name, kind)
        if value is not None:
            body[name] = {**body.get(name, {}), **value} if isinstance(value, dict) else value
    user = parameters.take("user", str) or parameters.take("safety_identifier", str)
    if user:
        body["metadata"] = {"user_id": user}
    if (tier := parameters.take("service_tier", str)) in _TIERS:
        body["service_tier"] = _TIERS[tier]


def _add_thinking(
    body: JSON, parameters: Parameters, family: Family, conversation: Conversation, *, forced: bool, limited: bool
) -> None:
    """Say how hard to think, if the rest of the request allows it to be said."""
    effort = parameters.take("reasoning_effort", str)
    if "thinking" in body:
        if not limited:
            _make_room(body, family)
        return
    settings = _without_thinking(family) if forced else family.efforts.get(effort or "", {})
    thinking = dict(settings.get("thinking", {}))
    if "budget_tokens" in thinking and (
        conversation.forgot_thinking or not _fit(body, thinking, family, limited=limited)
    ):
        return
    if thinking:
        body["thinking"] = thinking
    if "output_config" in settings:
        body["output_config"] = {**settings["output_config"], **body.get("output_config", {})}


def _without_thinking(family: Family) -> JSON:
    """Claude does not think where a tool is forced, and models that do so by themselves have to be told."""
    none = family.efforts.get("none", {})
    return {"thinking": none["thinking"]} if "thinking" in none else {}


def _make_room(body: JSON, family: Family) -> None:
    """The client's own budget goes on top of our limit."""
    budget = body["thinking"].get("budget_tokens")
    if isinstance(budget, int):
        body["max_tokens"] = max(min(body["max_tokens"] + budget, family.longest), body["max_tokens"])


def _fit(body: JSON, thinking: JSON, family: Family, *, limited: bool) -> bool:
    """Make the budget and `max_tokens` fit each other: the client's limit stands, ours grows. False if they cannot."""
    most = body["max_tokens"] - 1 if limited else family.longest - body["max_tokens"]
    thinking["budget_tokens"] = min(thinking["budget_tokens"], most)
    if not limited:
        body["max_tokens"] += thinking["budget_tokens"]
    return bool(thinking["budget_tokens"] >= _LEAST_BUDGET)


def _add_sampling(body: JSON, parameters: Parameters, family: Family, asked: Asked) -> None:
    """Set what the next token is drawn by, within Anthropic's range of 0 to 1. 1 is what it is anyway."""
    temperature = parameters.take("temperature", float)
    wanted: dict[str, Any] = {
        "temperature": None if temperature is None else min(max(temperature, 0.0), 1.0),
        "top_p": parameters.take("top_p", float),
        "top_k": parameters.take("top_k", int),
    }
    for name, value in wanted.items():
        if value is None or (value == 1 and name != "top_k"):
            continue
        if _may_sample(body, name, value, family):
            body[name] = value
        elif not asked.drop_params:
            raise unsupported(name, asked.model)


def _may_sample(body: JSON, name: str, value: float, family: Family) -> bool:
    if not family.sampling or (family.one_sampler and name == "top_p" and "temperature" in body):
        return False
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    return not thinks or (name == "top_p" and value >= _LEAST_TOP_P)
