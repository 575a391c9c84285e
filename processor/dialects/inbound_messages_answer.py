"""A whole chat completion as an Anthropic message."""

from __future__ import annotations

from processor.dialects.base import Asked
from processor.dialects.inbound_chat import Answer, Call, Choice, Said
from processor.dialects.inbound_messages_thinking import (
    extra_block,
    hidden_block,
    is_readable,
    signature_of,
    text_of,
    thinking_block,
)
from processor.dialects.usage_shapes import openai_counts
from processor.wire.json import JSON, JSONError, decode

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message(chat: Answer, choice: Choice, asked: Asked) -> JSON:
    """The answer to a request."""
    said = choice.message or Said()
    content = [*_thinking(said), *_text(said), *_calls(said, asked)]
    reason = stop_reason(choice.finish_reason, called=bool(said.tool_calls), refused=bool(said.refusal))
    told = begun(asked, chat.model or "")
    return {**told, "content": content, "stop_reason": reason, "usage": usage_of(chat.usage)}


def begun(asked: Asked, model: str) -> JSON:
    """A message that says nothing yet, and has cost nothing that is known."""
    return {
        "id": f"msg_{asked.request_id}",
        "type": "message",
        "role": "assistant",
        "model": model or asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_of(None),
    }


def stop_reason(finish_reason: str | None, *, called: bool, refused: bool) -> str:
    """Why the model stopped. Vendors that say `stop` behind a call, or nothing at all, mean the call."""
    if refused:
        return "refusal"
    known = _STOP_REASONS.get(finish_reason or "stop", "end_turn")
    return "tool_use" if called and known == "end_turn" else known


def usage_of(chat: JSON | None) -> JSON:
    """A chat's usage in Anthropic's terms, whose input tokens are those that no cache was read or written for."""
    counts = openai_counts(chat or {})
    details = (chat or {}).get("prompt_tokens_details")
    written = details.get("cache_write_tokens") if isinstance(details, dict) else None
    written = written if isinstance(written, int) else 0
    usage: JSON = {
        "input_tokens": max(counts.input_tokens - counts.cached_input_tokens - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": counts.cached_input_tokens,
        "output_tokens": counts.output_tokens,
    }
    if counts.reasoning_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": counts.reasoning_tokens}
    return usage


def call_id(call: Call, asked: Asked, number: int) -> str:
    """A call's id; one by its place if the vendor gave none."""
    return call.id or f"toolu_{asked.request_id}_{number}"


def _thinking(said: Said) -> list[JSON]:
    """The thinking, as its details have it, or as one text if they have none."""
    details = said.reasoning_details or []
    blocks = [
        thinking_block(text_of(detail), signature_of(detail)) if is_readable(detail) else hidden_block(detail)
        for detail in details
    ]
    if said.thought and not any(is_readable(detail) and text_of(detail) for detail in details):
        blocks.insert(0, thinking_block(said.thought, ""))
    return blocks


def _text(said: Said) -> list[JSON]:
    return [{"type": "text", "text": text} for text in (said.content, said.refusal) if text]


def _calls(said: Said, asked: Asked) -> list[JSON]:
    blocks = []
    for number, call in enumerate(said.tool_calls or ()):
        known = call_id(call, asked, number)
        if call.extra_content:
            blocks.append(extra_block(known, call.extra_content))
        blocks.append({"type": "tool_use", "id": known, "name": call.name, "input": _input(call.arguments)})
    return blocks


def _input(arguments: str) -> JSON:
    """A call's arguments. Those that are no object, which models write at times, are kept as a text under `_raw`.

    The tool will refuse it and the model see why, where an error would end the whole turn.
    """
    if arguments.strip() in ("", "null"):
        return {}
    try:
        value = decode(arguments.encode())
    except JSONError:
        value = None
    return value if isinstance(value, dict) else {"_raw": arguments}
