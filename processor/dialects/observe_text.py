"""How much text a vendor's answer or event holds, whatever its protocol: what a cut stream is estimated from."""

from __future__ import annotations

from typing import Any

from processor.wire.json import JSON, encode

_TEXT_KEYS = frozenset(
    {
        "content",
        "reasoning_content",
        "reasoning",
        "refusal",
        "text",
        "thinking",
        "arguments",
        "partial_json",
        "result",
        "response",
        "transcript",
    }
)
"""Keys whose string values are generated text."""

_OBJECT_KEYS = frozenset({"args", "arguments", "input"})
"""Keys whose objects are generated: a tool's arguments, as Gemini, Ollama and Anthropic's whole answers have them."""

_HOLDERS = frozenset(
    {
        "choices",
        "delta",
        "message",
        "output",
        "tool_calls",
        "function",
        "content",
        "content_block",
        "candidates",
        "parts",
        "response",
        "item",
        "part",
        "functionCall",
        "audio",
    }
)
"""Keys that lead to it."""

_DELTA_PREFIXES = ("response.", "transcript.")
"""Types of events with their text in `delta`, which the events at the end repeat."""
_SOUND = ".audio.delta"
_DEPTH = 8
"""Levels that are looked into: Gemini's text stands five deep."""


def generated_size(value: Any) -> int:
    """Bytes of generated text in an answer or an event; what the streams of Responses and of transcripts repeat at
    their end counts once.
    """
    if not isinstance(value, dict):
        return 0
    kind = value.get("type")
    if isinstance(kind, str) and kind.startswith(_DELTA_PREFIXES):
        delta = value.get("delta")
        return len(delta.encode()) if isinstance(delta, str) and not kind.endswith(_SOUND) else 0
    return _size(value, _DEPTH)


def _size(value: JSON, depth: int) -> int:
    if not depth:
        return 0
    total = 0
    for name, found in value.items():
        if isinstance(found, str):
            total += len(found.encode()) if name in _TEXT_KEYS else 0
        elif name in _HOLDERS:
            total += _inside(found, depth - 1)
        elif found and name in _OBJECT_KEYS and isinstance(found, dict):
            total += len(encode(found))
    return total


def _inside(value: Any, depth: int) -> int:
    if isinstance(value, dict):
        return _size(value, depth)
    if isinstance(value, list):
        return sum(_size(item, depth) for item in value if isinstance(item, dict))
    return 0
