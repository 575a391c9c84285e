"""An OpenAI `response`: its items, and the object around them, which repeats what the client asked for."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from processor.dialects import usage_shapes
from processor.dialects.base import Asked
from processor.dialects.inbound_chat import Call, Token
from processor.dialects.inbound_seal import sealed
from processor.wire.json import JSON, JSONError, decode, raw

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""A chat's finish reasons that mean that something is missing."""

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}
"""Parameters that the answer repeats, and what stands there if they were not given."""

_DEFAULTS = {name: raw(value) for name, value in _ECHOED.items()}
_TEXT = {"format": {"type": "text"}}

_FIXED: JSON = {
    "background": False,
    "error": None,
    "previous_response_id": None,
    "store": False,
    "truncation": "disabled",
}
"""What is so for every answer. `store` is: the gateway keeps none, whatever was asked for."""


class ResponseForm:
    """What all the `response` objects of one exchange share."""

    def __init__(self, asked: Asked) -> None:
        given = {name: value for name, value in asked.fields.items() if bytes(memoryview(value)[:4]) != b"null"}
        self._model = asked.model
        self._shared: JSON = {
            "id": f"resp_{asked.request_id}",
            "object": "response",
            "created_at": asked.now,
            **_FIXED,
            **{name: given.get(name, default) for name, default in _DEFAULTS.items()},
            "text": _text_config(given.get("text")),
        }

    def begun(self, model: str) -> JSON:
        """It before there is any output."""
        state: JSON = {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
        return {**self._shared, "model": model or self._model, **state}

    def ended(self, model: str, output: list[JSON], *, finish_reason: str | None, usage: JSON | None) -> JSON:
        """It when all is said; `usage` is the chat's."""
        missing = _INCOMPLETE.get(finish_reason or "")
        return {
            **self._shared,
            "model": model or self._model,
            "status": "incomplete" if missing else "completed",
            "incomplete_details": {"reason": missing} if missing else None,
            "output": output,
            "usage": usage_object(usage) if usage else None,
        }


def item_status(finish_reason: str | None) -> str:
    """The status of the last item of an answer that finished so."""
    return "incomplete" if finish_reason in _INCOMPLETE else "completed"


def item_id(prefix: str, request_id: str, index: int) -> str:
    """An item's id, by its place in the output."""
    return f"{prefix}_{request_id}_{index}"


def reasoning_item(id: str, text: str, details: list[JSON]) -> JSON:  # noqa: A002 - OpenAI's word
    """What the model thought; `details` are what `sealed` takes."""
    item: JSON = {"id": id, "type": "reasoning", "summary": [summary_part(text)] if text else []}
    return {**item, "encrypted_content": sealed(details)} if details else item


def message_item(id: str, content: list[JSON], status: str) -> JSON:  # noqa: A002 - OpenAI's word
    """What the model said."""
    return {"id": id, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(id: str, call: JSON, arguments: str, status: str) -> JSON:  # noqa: A002 - OpenAI's word
    """A function the model called; `call` has its `call_id` and its `name`."""
    return {"id": id, "type": "function_call", **call, "arguments": arguments, "status": status}


def named(call: Call, request_id: str, index: int) -> JSON:
    """A chat's call without its arguments, for `call_item`."""
    return {"call_id": call.id or item_id("call", request_id, index), "name": call.name}


def summary_part(text: str) -> JSON:
    """The piece of a reasoning item."""
    return {"type": "summary_text", "text": text}


def text_part(text: str, annotations: list[JSON], logprobs: list[JSON]) -> JSON:
    """A message's text."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def refusal_part(text: str) -> JSON:
    """A message's refusal."""
    return {"type": "refusal", "refusal": text}


def annotation(chat: JSON) -> JSON:
    """A chat's annotation, whose parts stand in an object of their own there."""
    kind = chat.get("type")
    inner = chat.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else chat


def logprob(token: Token) -> JSON:
    """A token's, whose bytes a chat may leave out."""
    return {**_token(token), "top_logprobs": [_token(top) for top in token.top_logprobs or ()]}


def usage_object(chat: JSON) -> JSON:
    """A chat's usage in the names of Responses."""
    usage = usage_shapes.openai_counts(chat)
    details = chat.get("prompt_tokens_details")
    written = details.get("cache_write_tokens") if isinstance(details, dict) else None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": written or 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _token(token: Token) -> JSON:
    spelled = list(token.token.encode()) if token.bytes is None else token.bytes
    return {"token": token.token, "logprob": token.logprob or 0.0, "bytes": spelled}


def _text_config(given: Raw | None) -> JSON:
    try:
        return {**_TEXT, **decode(given)} if given is not None else _TEXT
    except (TypeError, *JSONError):  # the chat request has refused it already
        return _TEXT
