"""Where each protocol keeps its token counts: parsed JSON to `Usage`. Wrong types never raise; they count as absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from processor.domain import Usage
from processor.wire.json import JSON

Shape = Callable[[JSON], Usage | None]
"""Reads the counts of a whole answer, or of one event of a stream; None where there are none."""

_DIGITS = 16
"""Of a count that is written as a text; no bill is longer."""

_LONGEST = 10**6
"""Seconds of sound, more than any vendor takes at once."""
_COUNTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens")


def openai(answer: JSON) -> Usage | None:
    """Chat, completions, embeddings, rerank: `usage`, or (Moonshot's streams) `choices[0].usage`."""
    usage = answer.get("usage")
    if not isinstance(usage, dict) or not usage:
        choices = answer.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        usage = first.get("usage") if isinstance(first, dict) else None
    if not isinstance(usage, dict):
        return None
    if any(name in usage for name in _COUNTS):
        return openai_counts(usage)
    return _heard(usage.get("seconds"))


def transcription(answer: JSON) -> Usage | None:
    """OpenAI's, of tokens or seconds; else the `duration` that the verbose form has anyway."""
    return openai(answer) or _heard(answer.get("duration"))


def openai_counts(usage: JSON) -> Usage:
    """An OpenAI usage object, in chat's names or in those of Responses, images and audio."""
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    output = _first(usage, "completion_tokens", "output_tokens")
    total = _count(usage.get("total_tokens"))
    inner, outer = (
        _details(usage, "prompt_tokens", "input_tokens"),
        _details(usage, "completion_tokens", "output_tokens"),
    )
    reasoning = _count(outer.get("reasoning_tokens")) or _count(usage.get("reasoning_tokens"))
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # xAI and some proxies leave reasoning out of the completion
    # Moonshot and DeepSeek keep the cached count at the top.
    cached = _first(inner, "cached_tokens") or _first(usage, "cached_tokens", "prompt_cache_hit_tokens")
    return Usage(
        input_tokens=prompt or (total if not output else 0),
        output_tokens=output,
        cached_input_tokens=cached,
        reasoning_tokens=reasoning,
        seconds=_seconds(usage.get("seconds")),
    )


def anthropic(answer: JSON) -> Usage | None:
    """Messages, whole or its stream's `message_start` (`message.usage`) and `message_delta`."""
    usage = _dict(answer, "usage") or _dict(_dict(answer, "message"), "usage")
    return _anthropic_counts(usage) if usage else None


class AnthropicStream:
    """Messages' stream, whose events replace each other's counts field by field.

    Counts only grow, so one that an event leaves out or gives as null or 0 is the earlier event's: compatible hosts do
    all three, in either event.
    """

    def __init__(self) -> None:
        self._usage: JSON = {}

    def __call__(self, event: JSON) -> Usage | None:
        """The counts up to this event; None if it brings none."""
        usage = _dict(event, "usage") or _dict(_dict(event, "message"), "usage")
        if not usage:
            return None
        self._usage |= {name: found for name, found in usage.items() if found}
        return _anthropic_counts(self._usage)


def _anthropic_counts(usage: JSON) -> Usage:
    read, written = _count(usage.get("cache_read_input_tokens")), _count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=_count(usage.get("input_tokens")) + read + written,
        output_tokens=_count(usage.get("output_tokens")),
        cached_input_tokens=read,
        reasoning_tokens=_count(_dict(usage, "output_tokens_details").get("thinking_tokens")),
    )


def responses(answer: JSON) -> Usage | None:
    """OpenAI Responses, whole, or the event that ends its stream."""
    inner = answer.get("response")
    return openai(inner if isinstance(inner, dict) else answer)


def gemini(answer: JSON) -> Usage | None:
    """`usageMetadata`: thoughts are counted beside the candidates, and belong to the output."""
    usage = answer.get("usageMetadata")
    if not isinstance(usage, dict) or not usage:
        return None
    thoughts = _count(usage.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=_count(usage.get("promptTokenCount")) + _count(usage.get("toolUsePromptTokenCount")),
        output_tokens=_count(usage.get("candidatesTokenCount")) + thoughts,
        cached_input_tokens=_count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )


def dashscope(answer: JSON) -> Usage | None:
    """DashScope's native generation and embeddings, and its apps' `usage.models`; images and letters are no tokens."""
    return _sum(_dict(answer, "usage").get("models")) or openai(answer)


def ark_bots(answer: JSON) -> Usage | None:
    """Ark's bots: `usage` is the main model's alone, `bot_usage.model_usage` has all of them."""
    return _sum(_dict(answer, "bot_usage").get("model_usage")) or openai(answer)


def minimax_embeddings(answer: JSON) -> Usage | None:
    """`total_tokens` at the top."""
    total = _count(answer.get("total_tokens"))
    return Usage(input_tokens=total) if total else openai(answer)


def bedrock(answer: JSON) -> Usage | None:
    """Converse, whole or its `metadata` event; Titan's embeddings count at the top."""
    if titan := _count(answer.get("inputTextTokenCount")):
        return Usage(input_tokens=titan)
    usage = answer.get("usage")
    if not isinstance(usage, dict) or not usage:
        return None
    read, written = _count(usage.get("cacheReadInputTokens")), _count(usage.get("cacheWriteInputTokens"))
    return Usage(
        input_tokens=_count(usage.get("inputTokens")) + read + written,
        output_tokens=_count(usage.get("outputTokens")),
        cached_input_tokens=read,
    )


def ollama(answer: JSON) -> Usage | None:
    """The native API: on the line with `done`, or beside the embeddings."""
    if not (answer.get("done") or "embeddings" in answer):
        return None
    counted = Usage(
        input_tokens=_count(answer.get("prompt_eval_count")), output_tokens=_count(answer.get("eval_count"))
    )
    return counted if counted != Usage() else None


def rerank(answer: JSON) -> Usage | None:
    """OpenAI's place, or SiliconFlow's `meta.tokens` (older: `tokens`)."""
    tokens = _dict(_dict(answer, "meta"), "tokens") or _dict(answer, "tokens")
    return openai_counts(tokens) if tokens else openai(answer)


def _sum(models: Any) -> Usage | None:
    """The counts of the models that one answer used, as a list of OpenAI's usage objects."""
    counted = [openai_counts(model) for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    if not counted:
        return None
    return Usage(
        input_tokens=sum(part.input_tokens for part in counted),
        output_tokens=sum(part.output_tokens for part in counted),
        cached_input_tokens=sum(part.cached_input_tokens for part in counted),
        reasoning_tokens=sum(part.reasoning_tokens for part in counted),
    )


def _count(value: Any) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) <= _DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return 0
    return int(value)


def _heard(value: Any) -> Usage | None:
    seconds = _seconds(value)
    return None if seconds is None else Usage(seconds=seconds)


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST:
        return None
    return float(value)


def _first(usage: JSON, *names: str) -> int:
    return next((count for name in names if (count := _count(usage.get(name)))), 0)


def _details(usage: JSON, *names: str) -> JSON:
    return next((found for name in names if (found := _dict(usage, f"{name}_details"))), {})


def _dict(value: JSON, name: str) -> JSON:
    found = value.get(name)
    return found if isinstance(found, dict) else {}
