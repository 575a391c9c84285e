"""Messages with Anthropic's SDK, every answer validated strictly: over every vendor's chat, and at Anthropic itself."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anthropic
import pytest
import pytest_asyncio
from anthropic.types import Message, MessageParam, TextBlock, TextBlockParam, ThinkingBlock, ToolParam, ToolUseBlock
from pydantic import BaseModel

from tests.support.fake_dialects import every_dialect
from tests.support.fake_vendor import FakeVendor, Received, Reply
from tests.support.gateway import VENDOR_KEY, Gateway

MODELS = (
    "anthropic/claude-sonnet-4-6",
    "openai/gpt-5.2",
    "azure/gpt-4o",
    "deepseek/deepseek-chat",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-3-pro-preview",
    "bedrock/us.anthropic.claude-sonnet-4-6",
    "golden-dashscope/qwen-plus",
    "golden-minimax-native/MiniMax-M3",
)
THINKING = tuple(model for model in MODELS if model.partition("/")[0] not in ("openai", "azure"))
"""Those that show their thinking."""
FORCED = MODELS[:-2]
"""Those that can be made to call any tool."""
SEEING = ("anthropic/claude-sonnet-4-6", "openai/gpt-5.2", "gemini/gemini-2.5-flash", "golden-dashscope/qwen3-vl-plus")

THOUGHT = "Hm ☕, let me think of it."
QUESTION = "Wie geht's, 世界? 👋🏽"
SYSTEM: list[TextBlockParam] = [{"type": "text", "text": "Be very brief.", "cache_control": {"type": "ephemeral"}}]
ASKED: list[MessageParam] = [
    {"role": "user", "content": "Hello there."},
    {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]},
    {"role": "user", "content": [{"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}]},
]
ANSWER = f"You said: {QUESTION}"
USAGE = (7, 3, 6)
"""Words: of the prompt less the instructions, of the instructions, which come from the cache, and of the answer."""
TOOLS: list[ToolParam] = [
    {
        "name": "weather",
        "description": "The weather at a place",
        "input_schema": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place", "days"],
        },
    },
    {
        "name": "clock",
        "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
        "cache_control": {"type": "ephemeral"},
    },
]
CALLS = [("weather", {"place": "Zürich ☀️", "days": 20}), ("clock", {"zone": '東京 "wet"'})]
WEATHER_ASKED: list[MessageParam] = [{"role": "user", "content": "What is it like there, and when?"}]
RESULTS = ("rain", "noon")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, **options) as client:
        yield client


def expected_calls(model: str) -> list[tuple[str, Any]]:
    """DashScope's models call one tool at a time unless they are told that they may call more."""
    return CALLS[:1] if "dashscope" in model else CALLS


def called(message: Message) -> list[tuple[str, Any]]:
    return [(block.name, block.input) for block in message.content if isinstance(block, ToolUseBlock)]


def texts(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


def thoughts(message: Message) -> str:
    return "".join(block.thinking for block in message.content if isinstance(block, ThinkingBlock))


def counted(message: Message) -> tuple[int, int | None, int]:
    return message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens


def with_results(message: Message) -> list[MessageParam]:
    """The conversation as an agent goes on with it: the turn as it came, then the results."""
    said: Any = [block.model_dump(exclude_none=True) for block in message.content]
    calls = [block for block in message.content if isinstance(block, ToolUseBlock)]
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": result}]}
        for call, result in zip(calls, RESULTS, strict=False)
    ]
    results[-1]["cache_control"] = {"type": "ephemeral"}
    return [*WEATHER_ASKED, {"role": "assistant", "content": said}, {"role": "user", "content": results}]


@pytest.mark.parametrize("model", MODELS)
async def test_a_message_is_answered_whole(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    message = await sdk.messages.create(model=model, max_tokens=100, system=SYSTEM, messages=ASKED)
    assert (message.role, texts(message), message.stop_reason) == ("assistant", ANSWER, "end_turn")
    assert counted(message) == USAGE
    assert message.id


@pytest.mark.parametrize("model", MODELS)
async def test_a_message_is_answered_in_pieces(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    async with sdk.messages.stream(model=model, max_tokens=100, system=SYSTEM, messages=ASKED) as stream:
        pieces = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert "".join(pieces) == ANSWER == texts(message)
    assert len(pieces) > 2
    assert message.stop_reason == "end_turn"
    assert counted(message) == USAGE


@pytest.mark.parametrize("model", MODELS)
async def test_a_loop_of_tools_streamed(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    """With an OpenAI-shaped vendor, this is the tool call that streams through two dialects."""
    async with sdk.messages.stream(model=model, max_tokens=100, messages=WEATHER_ASKED, tools=TOOLS) as stream:
        events = [event async for event in stream]
        message = await stream.get_final_message()
    written = [event.partial_json for event in events if event.type == "input_json"]
    assert "".join(written) == "".join(written_as_told(events))
    assert called(message) == expected_calls(model)
    assert message.stop_reason == "tool_use"
    starts = [event.index for event in events if event.type == "content_block_start"]
    assert starts == [event.index for event in events if event.type == "content_block_stop"] == [*range(len(starts))]
    last = await sdk.messages.create(model=model, max_tokens=100, messages=with_results(message), tools=TOOLS)
    assert texts(last) == f"The tools said: {' | '.join(RESULTS[: len(called(message))])}"
    assert last.stop_reason == "end_turn"


def written_as_told(events: list[Any]) -> list[str]:
    """The inputs of calls in the raw deltas below the SDK's own events."""
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return [delta.partial_json for delta in deltas if delta.type == "input_json_delta"]


@pytest.mark.parametrize("model", FORCED)
async def test_a_call_is_forced_whole(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    message = await sdk.messages.create(
        model=model, max_tokens=100, messages=WEATHER_ASKED, tools=TOOLS, tool_choice={"type": "any"}
    )
    assert called(message) == CALLS[:1]


@pytest.mark.parametrize("model", THINKING)
async def test_thinking_is_shown_and_given_back_in_a_loop_of_tools(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    """The vendors' fakes refuse calls without the thinking and the signatures they came with."""
    options: dict[str, Any] = {
        "model": model,
        "max_tokens": 20000,
        "tools": TOOLS,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }
    async with sdk.messages.stream(messages=WEATHER_ASKED, **options) as stream:
        events = [event async for event in stream]
        first = await stream.get_final_message()
    assert "".join(event.thinking for event in events if event.type == "thinking") == THOUGHT
    assert thoughts(first) == THOUGHT
    assert first.content[0].type == "thinking"
    assert called(first) == expected_calls(model)
    last = await sdk.messages.create(messages=with_results(first), **options)
    assert thoughts(last) == THOUGHT
    assert texts(last).startswith("The tools said: rain")


@pytest.mark.parametrize("model", SEEING)
async def test_a_picture_is_seen(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    data = base64.b64encode(PNG).decode()
    message = await sdk.messages.create(
        model=model,
        max_tokens=100,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ],
    )
    assert texts(message) == f"You said: What is it?, and showed image/png of {len(PNG)} bytes"


async def test_anthropic_itself_is_asked_as_the_client_wrote(
    sdk: anthropic.AsyncAnthropic, vendor: FakeVendor, gateway: Gateway
) -> None:
    await sdk.beta.messages.create(
        model="anthropic/claude-sonnet-4-6",
        max_tokens=100,
        messages=[{"role": "user", "content": "Hello"}],
        betas=["interleaved-thinking-2025-05-14"],
        extra_body={"top_k": 5},
    )
    sent = vendor.last
    assert sent.json() == {
        "model": "claude-sonnet-4-6",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello"}],
        "top_k": 5,
    }
    assert sent.header("x-api-key") == VENDOR_KEY
    assert sent.header("anthropic-beta") == "interleaved-thinking-2025-05-14"
    assert gateway.key not in sent.head.decode()


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.mark.parametrize("model", [model for model in MODELS if "minimax" not in model])
async def test_a_message_is_parsed_into_a_pydantic_model(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    asked: list[MessageParam] = [{"role": "user", "content": "Name a city."}]
    message = await sdk.messages.parse(model=model, max_tokens=100, messages=asked, output_format=City)
    assert message.parsed_output == City(name="Zürich ☀️", inhabitants=20)


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_that_ends_too_early_is_an_error(
    sdk: anthropic.AsyncAnthropic, vendor: FakeVendor, model: str
) -> None:
    def short(request: Received) -> Reply:
        reply = every_dialect(request)
        return replace(reply, steps=reply.steps[: len(reply.steps) * 2 // 3])

    vendor.default = short
    async with sdk.messages.stream(model=model, max_tokens=100, system=SYSTEM, messages=ASKED) as stream:
        with pytest.raises(anthropic.APIStatusError, match="stream ended before its last event"):
            await stream.until_done()


OVERLOADED = {
    "error": {"message": "Rate limit reached for requests", "type": "requests", "code": "rate_limit_exceeded"}
}
CLAUDE_IS_BUSY = {
    "type": "error",
    "error": {"type": "rate_limit_error", "message": "Number of request tokens exceeded"},
}
GEMINI_IS_BUSY = {"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED"}}


@pytest.mark.parametrize(
    ("model", "told", "message"),
    [
        ("deepseek/deepseek-chat", OVERLOADED, "Rate limit reached for requests"),
        ("anthropic/claude-sonnet-4-6", CLAUDE_IS_BUSY, "Number of request tokens exceeded"),
        ("gemini/gemini-2.5-flash", GEMINI_IS_BUSY, "Resource has been exhausted"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_vendor_s_limit_is_a_rate_limit_error_in_its_words(
    sdk: anthropic.AsyncAnthropic, vendor: FakeVendor, model: str, told: Any, message: str, stream: bool
) -> None:
    vendor.default = Reply.json(told, status=429)
    with pytest.raises(anthropic.RateLimitError) as caught:
        await sdk.messages.create(model=model, max_tokens=9, messages=ASKED, stream=stream)
    error: Any = caught.value.body
    assert error["type"] == "error"
    assert error["error"] == {"type": "rate_limit_error", "message": message}


async def test_a_model_nobody_has_is_not_found(sdk: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no model `nobody/has-it`"):
        await sdk.messages.create(model="nobody/has-it", max_tokens=9, messages=ASKED)


async def test_a_model_the_vendor_does_not_have_is_not_found(sdk: anthropic.AsyncAnthropic, vendor: FakeVendor) -> None:
    vendor.default = Reply.json({"error": {"message": "The model `gpt-9` does not exist"}}, status=404)
    with pytest.raises(anthropic.NotFoundError, match="The model `gpt-9` does not exist"):
        await sdk.messages.create(model="openai/gpt-9", max_tokens=9, messages=ASKED)


async def test_a_wrong_key_is_an_authentication_error(sdk: anthropic.AsyncAnthropic) -> None:
    stranger = sdk.with_options(api_key="sk-wrong")
    with pytest.raises(anthropic.AuthenticationError) as caught:
        await stranger.messages.create(model="deepseek/deepseek-chat", max_tokens=9, messages=ASKED)
    error: Any = caught.value.body
    assert error["error"]["type"] == "authentication_error"


async def test_what_only_anthropic_has_is_refused_by_its_name(
    sdk: anthropic.AsyncAnthropic, vendor: FakeVendor
) -> None:
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        await sdk.messages.create(
            model="deepseek/deepseek-chat",
            max_tokens=9,
            messages=ASKED,
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )
    assert vendor.count == 0
