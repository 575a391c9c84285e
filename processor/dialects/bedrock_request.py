"""A client's chat request as Converse's body."""

from __future__ import annotations

import re
from typing import Any

from processor.dialects.base import Asked
from processor.dialects.bedrock_messages import Conversation
from processor.dialects.bedrock_rules import Family
from processor.dialects.bedrock_tools import Plan, plan, refuse
from processor.dialects.chat_request import Message, Parameters
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_OWN = ("guardrailConfig", "performanceConfig", "promptVariables")
"""Converse's own fields, which a client may set by their names."""

_LEAST_BUDGET = 1024
"""Tokens of thinking: Anthropic's minimum."""

_TIERS = {"flex": "flex", "priority": "priority"}
"""OpenAI's service tiers to Bedrock's, where they ask for more than the default."""

_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
"""A name or a value of `requestMetadata`, which goes to the invocation log."""

_METADATA_LIMIT = 16
_SAMPLERS = {"temperature": "temperature", "top_p": "topP"}


def body_of(asked: Asked, family: Family) -> JSON:
    """The body; the model and whether it streams are said by the path.

    Raises:
        MalformedRequest: a parameter is wrong, or the model's family cannot do it.
    """
    parameters = Parameters(asked)
    conversation = Conversation(parameters.take("messages", list[Message], []), family)
    planned = plan(parameters, conversation, family, asked)
    inference = _inference(parameters)
    more = _thinking(parameters, conversation, planned, inference.get("maxTokens"), family, asked)
    _sample(parameters, inference, more, family, asked)
    more = _merged(planned.more or {}, more)
    own = {name: parameters.take(name, JSON) for name in _OWN}
    body: JSON = {
        "messages": conversation.turns,
        "system": conversation.system + ([{"text": planned.instruction}] if planned.instruction else []),
        "inferenceConfig": inference,
        "toolConfig": planned.tools,
        "outputConfig": planned.output,
        "additionalModelRequestFields": _merged(more, parameters.take("additionalModelRequestFields", JSON, {})),
        "serviceTier": _tier(parameters.take("service_tier", str)),
        "requestMetadata": _metadata(parameters),
        **own,
    }
    parameters.settle()
    return {name: value for name, value in body.items() if value or name == "messages"}


def _inference(parameters: Parameters) -> JSON:
    """Length and stops."""
    short, long = parameters.take("max_tokens", int), parameters.take("max_completion_tokens", int)
    most = short if long is None else long
    stop = parameters.take("stop", str | list[str])
    inference: JSON = {} if most is None else {"maxTokens": most}
    if stop:
        inference["stopSequences"] = [stop] if isinstance(stop, str) else stop
    return inference


def _thinking(
    parameters: Parameters, conversation: Conversation, planned: Plan, most: int | None, family: Family, asked: Asked
) -> JSON:
    """The fields `reasoning_effort` stands for."""
    effort = parameters.take("reasoning_effort", str, "none")
    fields = family.efforts.get(effort)
    if fields is None:
        if effort != "none":
            refuse("reasoning_effort", asked)
        return {}
    if family.thinks_alone and planned.forced and fields:
        return _left_out(f"`{asked.model}` does not think when it is made to call a tool.", asked)
    budget = fields.get("thinking", {}).get("budget_tokens")
    if budget is None:
        return dict(fields)
    if conversation.forgot_thinking:  # Anthropic refuses to think on where the thinking before a call is missing
        return {}
    if most is not None and most <= _LEAST_BUDGET:
        return _left_out(f"`{asked.model}` thinks in at least {_LEAST_BUDGET} tokens, all within `max_tokens`.", asked)
    return {"thinking": {"type": "enabled", "budget_tokens": budget if most is None else min(budget, most - 1)}}


def _left_out(why: str, asked: Asked) -> JSON:
    """No thinking, if that is fine."""
    if not asked.drop_params:
        raise MalformedRequest(f"{why} Leave `reasoning_effort` out.", param="reasoning_effort")
    return {}


def _sample(parameters: Parameters, inference: JSON, more: JSON, family: Family, asked: Asked) -> None:
    """Set what the next token is drawn by, within Converse's range of 0 to 1."""
    free = family.sampling and not (family.thinks_alone and "thinking" in more)
    given = {name: parameters.take(name, float) for name in ("temperature", "top_p")}
    set_ = {name: min(max(value, 0.0), 1.0) for name, value in given.items() if value is not None}
    if family.one_sampler and len(set_) > 1:
        set_ = {name: value for name, value in set_.items() if value < 1} or {"temperature": 1.0}
        if len(set_) > 1 and not refuse("top_p", asked):
            del set_["top_p"]
    for name, value in set_.items():
        if free or value == 1 or refuse(name, asked):
            inference[_SAMPLERS[name]] = value
    top_k = parameters.take("top_k", int)
    if top_k is not None and (free or refuse("top_k", asked)):
        at = more
        for name in family.top_k[:-1]:
            at = at.setdefault(name, {})
        at[family.top_k[-1]] = top_k


def _tier(tier: str | None) -> JSON | None:
    return {"type": _TIERS[tier]} if tier in _TIERS else None


def _metadata(parameters: Parameters) -> JSON:
    """What fits of `metadata` and `user`: they are hints, and Bedrock would refuse the request for a letter."""
    found: dict[str, Any] = dict(parameters.take("metadata", JSON, {}))
    if user := parameters.take("user", str):
        found["user"] = user
    fit = {name: value for name, value in found.items() if _METADATA.fullmatch(name) and _fits(value)}
    return dict(list(fit.items())[:_METADATA_LIMIT])


def _fits(value: object) -> bool:
    return isinstance(value, str) and _METADATA.fullmatch(value) is not None


def _merged(under: JSON, over: JSON) -> JSON:
    """Two objects as one, to any depth; what both say is `over`'s."""
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
