from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects import usage_shapes
from processor.dialects.usage_shapes import Shape
from processor.domain import Usage

SHAPES = (
    usage_shapes.openai,
    usage_shapes.anthropic,
    usage_shapes.responses,
    usage_shapes.gemini,
    usage_shapes.dashscope,
    usage_shapes.minimax_embeddings,
    usage_shapes.bedrock,
    usage_shapes.ollama,
    usage_shapes.rerank,
    usage_shapes.ark_bots,
    usage_shapes.AnthropicStream(),
)


def counted(input: int, output: int = 0, *, cached: int = 0, reasoning: int = 0) -> Usage:  # noqa: A002
    return Usage(input_tokens=input, output_tokens=output, cached_input_tokens=cached, reasoning_tokens=reasoning)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, counted(9, 3)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "total_tokens": 17,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            counted(9, 8, cached=4, reasoning=5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 4}, counted(9, 3, cached=4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
            counted(9, 3, cached=4),
        ),
        ({"prompt_tokens": 5, "total_tokens": 5}, counted(5)),
        ({"total_tokens": 5}, counted(5)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "reasoning_tokens": 2}, counted(9, 3, reasoning=2)),
        ({"generated_images": 2, "output_tokens": 700, "total_tokens": 700}, counted(0, 700)),
        ({"prompt_tokens": "9", "completion_tokens": 3.0}, counted(9, 3)),
        ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, counted(9)),
        ({"prompt_tokens": 9, "completion_tokens": -1}, counted(9)),
        ({"prompt_tokens": "²", "completion_tokens": "3" * 5000, "total_tokens": "-3"}, counted(0)),
        ({"prompt_tokens": True, "completion_tokens": [3], "total_tokens": "many"}, counted(0)),
    ],
    ids=str,
)
def test_openais(usage: dict[str, Any], expected: Usage) -> None:
    assert usage_shapes.openai({"usage": usage}) == expected


NO_SECONDS: tuple[Any, ...] = (0, -1, True, "4", None, [], 1e300)


@pytest.mark.parametrize(
    "usage",
    [
        *(None, {}, [], "9", 9, {"image_count": 1}, {"credits": 1}),
        *({"seconds": seconds, "type": "duration"} for seconds in NO_SECONDS),
    ],
)
def test_a_usage_without_tokens_is_no_count(usage: Any) -> None:
    assert usage_shapes.openai({"usage": usage}) is None


def test_seconds_of_sound_are_counted_beside_tokens_or_instead() -> None:
    assert usage_shapes.openai({"usage": {"type": "duration", "seconds": 9}}) == Usage(seconds=9)
    both = usage_shapes.openai({"usage": {"prompt_tokens": 42, "completion_tokens": 12, "seconds": 1.5}})
    assert both == Usage(input_tokens=42, output_tokens=12, seconds=1.5)
    said = {"duration": 1.2, "text": "Hi"}
    assert usage_shapes.openai(said) is None
    assert usage_shapes.transcription(said) == Usage(seconds=1.2)
    assert usage_shapes.transcription({**said, "usage": {"seconds": 2}}) == Usage(seconds=2)


def test_reasoning_that_the_vendor_left_out_of_the_output_is_added() -> None:
    """xAI: prompt + completion + reasoning = total."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 17}
    details = {"completion_tokens_details": {"reasoning_tokens": 5}}
    assert usage_shapes.openai({"usage": {**usage, **details}}) == counted(9, 8, reasoning=5)
    assert usage_shapes.openai({"usage": {**usage, **details, "total_tokens": 12}}) == counted(9, 3, reasoning=5)


def test_moonshots_stream_has_it_in_the_choice() -> None:
    inside = {"choices": [{"usage": {"prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 2}}]}
    assert usage_shapes.openai(inside) == counted(9, 3, cached=2)
    assert usage_shapes.openai({**inside, "usage": {"prompt_tokens": 1}}) == counted(1)
    assert usage_shapes.openai({**inside, "usage": None}) == counted(9, 3, cached=2)


ANTHROPIC = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 300,
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 2},
}


@pytest.mark.parametrize(
    ("shape", "answer", "expected"),
    [
        (usage_shapes.anthropic, {"usage": ANTHROPIC}, counted(325, 7, cached=300, reasoning=2)),
        (
            usage_shapes.anthropic,
            {"type": "message_start", "message": {"usage": {**ANTHROPIC, "output_tokens": 1}}},
            counted(325, 1, cached=300, reasoning=2),
        ),
        (usage_shapes.anthropic, {"type": "message_delta", "usage": {"output_tokens": 7}}, counted(0, 7)),
        (
            usage_shapes.anthropic,
            {"usage": {"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens": 1}},
            counted(5, 1),
        ),
        (
            usage_shapes.responses,
            {
                "usage": {
                    "input_tokens": 9,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens": 8,
                    "output_tokens_details": {"reasoning_tokens": 5},
                    "total_tokens": 17,
                }
            },
            counted(9, 8, cached=4, reasoning=5),
        ),
        (
            usage_shapes.responses,
            {"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 8}}},
            counted(9, 8),
        ),
        (
            usage_shapes.gemini,
            {
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "toolUsePromptTokenCount": 1,
                    "candidatesTokenCount": 3,
                    "thoughtsTokenCount": 5,
                    "cachedContentTokenCount": 4,
                    "totalTokenCount": 18,
                }
            },
            counted(10, 8, cached=4, reasoning=5),
        ),
        (
            usage_shapes.dashscope,
            {
                "usage": {
                    "input_tokens": 9,
                    "output_tokens": 8,
                    "total_tokens": 17,
                    "prompt_tokens_details": {"cached_tokens": 4},
                    "output_tokens_details": {"reasoning_tokens": 5},
                }
            },
            counted(9, 8, cached=4, reasoning=5),
        ),
        (
            usage_shapes.dashscope,
            {
                "usage": {
                    "models": [
                        {"model_id": "a", "input_tokens": 9, "output_tokens": 3},
                        {"model_id": "b", "input_tokens": 1, "output_tokens": 2},
                    ]
                }
            },
            counted(10, 5),
        ),
        (usage_shapes.dashscope, {"usage": {"total_tokens": 5}}, counted(5)),
        (
            usage_shapes.ark_bots,
            {
                "usage": {"prompt_tokens": 9, "completion_tokens": 3},
                "bot_usage": {
                    "model_usage": [
                        {"name": "a", "prompt_tokens": 9, "completion_tokens": 3},
                        {"name": "b", "prompt_tokens": 1, "completion_tokens": 2},
                    ]
                },
            },
            counted(10, 5),
        ),
        (usage_shapes.ark_bots, {"usage": {"prompt_tokens": 9, "completion_tokens": 3}}, counted(9, 3)),
        (usage_shapes.minimax_embeddings, {"vectors": [], "total_tokens": 5}, counted(5)),
        (usage_shapes.minimax_embeddings, {"usage": {"prompt_tokens": 5, "total_tokens": 5}}, counted(5)),
        (
            usage_shapes.bedrock,
            {
                "usage": {
                    "inputTokens": 5,
                    "outputTokens": 7,
                    "totalTokens": 12,
                    "cacheReadInputTokens": 300,
                    "cacheWriteInputTokens": 20,
                }
            },
            counted(325, 7, cached=300),
        ),
        (usage_shapes.ollama, {"done": True, "prompt_eval_count": 9, "eval_count": 3}, counted(9, 3)),
        (usage_shapes.ollama, {"embeddings": True, "prompt_eval_count": 9}, counted(9)),
        (usage_shapes.rerank, {"meta": {"tokens": {"input_tokens": 9, "output_tokens": 1}}}, counted(9, 1)),
        (usage_shapes.rerank, {"tokens": {"input_tokens": 9, "output_tokens": 0}}, counted(9)),
        (usage_shapes.rerank, {"usage": {"total_tokens": 9}}, counted(9)),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_the_others(shape: Shape, answer: dict[str, Any], expected: Usage) -> None:
    assert shape(answer) == expected


@pytest.mark.parametrize(
    ("shape", "answer"),
    [
        (usage_shapes.anthropic, {"type": "content_block_delta"}),
        (usage_shapes.anthropic, {"usage": None, "message": {"usage": {}}}),
        (usage_shapes.anthropic, {"message": "hello"}),
        (usage_shapes.responses, {"response": {"status": "queued", "usage": None}}),
        (usage_shapes.gemini, {"usageMetadata": {}}),
        (usage_shapes.dashscope, {"usage": {"models": []}}),
        (usage_shapes.dashscope, {"output": {"task_id": "1"}}),
        (usage_shapes.dashscope, {"usage": {"image_count": 1, "width": 1024}}),
        (usage_shapes.dashscope, {"usage": {"characters": 10}}),
        (usage_shapes.ark_bots, {"bot_usage": {"model_usage": ["a"]}}),
        (usage_shapes.minimax_embeddings, {"vectors": None}),
        (usage_shapes.bedrock, {"usage": {}}),
        (usage_shapes.ollama, {"done": False, "prompt_eval_count": 9}),
        (usage_shapes.ollama, {"done": True}),
        (usage_shapes.rerank, {"meta": {"billed_units": {"search_units": 1}}}),
    ],
)
def test_what_holds_no_count_is_none(shape: Shape, answer: dict[str, Any]) -> None:
    assert shape(answer) is None


CACHED = {"input_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 1}


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ({"output_tokens": 7}, counted(325, 7, cached=300)),
        ({"input_tokens": 6, "output_tokens": 7}, counted(326, 7, cached=300)),
        ({"input_tokens": 0, "cache_read_input_tokens": None, "output_tokens": 7}, counted(325, 7, cached=300)),
        ({"cache_read_input_tokens": 310, "output_tokens": 7}, counted(335, 7, cached=310)),
        ({"input_tokens": 6}, counted(326, 1, cached=300)),
        ({**ANTHROPIC, "input_tokens": 7}, counted(327, 7, cached=300, reasoning=2)),
    ],
    ids=str,
)
def test_a_stream_of_messages_replaces_its_counts_one_by_one(late: dict[str, Any], expected: Usage) -> None:
    stream = usage_shapes.AnthropicStream()
    assert stream({"type": "message_start", "message": {"usage": CACHED}}) == counted(325, 1, cached=300)
    assert stream({"type": "ping"}) is None
    assert stream({"type": "message_delta", "usage": late}) == expected


def test_a_stream_of_messages_may_begin_with_zeros() -> None:
    stream = usage_shapes.AnthropicStream()
    stream({"type": "message_start", "message": {"usage": dict.fromkeys(CACHED, 0)}})
    assert stream({"type": "message_delta", "usage": {**CACHED, "output_tokens": 7}}) == counted(325, 7, cached=300)


_names = st.sampled_from(
    [
        *("usage", "message", "response", "choices", "meta", "tokens", "models", "usageMetadata", "total_tokens"),
        *("prompt_tokens", "output_tokens", "prompt_tokens_details", "cached_tokens", "promptTokenCount", "done"),
        *("inputTokens", "eval_count", "completion_tokens_details", "reasoning_tokens", "bot_usage", "model_usage"),
    ]
)
_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["٣", "²"])
_answers = st.dictionaries(
    _names,
    st.recursive(
        _values, lambda inner: st.dictionaries(_names, inner, max_size=3) | st.lists(inner, max_size=2), max_leaves=8
    ),
    max_size=4,
)


@given(shape=st.sampled_from(SHAPES), answer=_answers)
def test_wrong_types_count_as_absent(shape: Shape, answer: dict[str, Any]) -> None:
    usage = shape(answer)
    assert usage is None or min(usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) >= 0
