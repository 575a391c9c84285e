"""Chat with OpenAI's SDK, every answer validated strictly, whichever dialect the vendor speaks."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import openai
import pytest
import pytest_asyncio
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessage,
    ChatCompletionMessageParam,
)
from pydantic import BaseModel

from tests.support.fake_dialects import every_dialect
from tests.support.fake_vendor import FakeVendor, Received, Reply
from tests.support.gateway import Gateway

T = TypeVar("T")

MODELS = (
    "openai/gpt-5.2",
    "azure/gpt-4o",
    "deepseek/deepseek-chat",
    "anthropic/claude-sonnet-4-6",
    "gemini/gemini-2.5-flash",
    "bedrock/us.anthropic.claude-sonnet-4-6",
    "golden-dashscope/qwen-plus",
    "golden-minimax-native/MiniMax-M3",
)
SEEING = (
    *(model for model in MODELS if "deepseek" not in model and "dashscope" not in model),
    "golden-dashscope/qwen3-vl-plus",
)
STRUCTURED = (*MODELS[:-1], "golden-minimax-native/MiniMax-Text-01")
THINKING = (
    *(model for model in MODELS if model.partition("/")[0] not in ("openai", "azure")),
    "gemini/gemini-3-pro-preview",
)
"""Those that show their thinking."""

THOUGHT = "Hm ☕, let me think of it."
QUESTION = "Wie geht's, 世界? 👋🏽"
ASKED: list[ChatCompletionMessageParam] = [
    {"role": "developer", "content": "Be very brief."},
    {"role": "user", "content": "Hello there."},
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": QUESTION},
]
ANSWER = f"You said: {QUESTION}"
USAGE = (10, 6, 16, 3)
"""Words: of the prompt, of the answer, of both, and of the instructions, which come from the cache."""

TOOLS: list[ChatCompletionFunctionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather at a place",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["place", "days"],
                "additionalProperties": False,
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "clock",
            "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
        },
    },
]
CALLS = [("weather", '{"place": "Zürich ☀️", "days": 20}'), ("clock", '{"zone": "東京 \\"wet\\""}')]
WEATHER_ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is it like there, and when?"}]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


class Place(BaseModel):
    name: str
    inhabitants: int


class Trip(BaseModel):
    """A schema with references, lists, an enumeration's like and something that may be missing."""

    title: str
    places: list[Place]
    cost: float
    booked: bool
    guide: Place | None


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest.fixture(scope="module")
def sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def async_sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


async def apart(work: Callable[[], T]) -> T:
    """The result of work with the synchronous client, while the vendor in this thread goes on."""
    return await asyncio.to_thread(work)


def counted(usage: openai.types.CompletionUsage | None) -> tuple[int, int, int, int | None]:
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    cached = usage.prompt_tokens_details.cached_tokens
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, cached


def called(message: ChatCompletionMessage) -> list[tuple[str, str]]:
    """The names and arguments of a message's calls."""
    calls = [call for call in message.tool_calls or () if call.type == "function"]
    assert all(call.id for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    return [(call.function.name, normal(call.function.arguments)) for call in calls]


def normal(arguments: str) -> str:
    """Arguments in one spelling: vendors that send objects have no spaces of their own."""
    return json.dumps(json.loads(arguments), ensure_ascii=False)


def with_results(message: ChatCompletionMessage) -> list[ChatCompletionMessageParam]:
    """The conversation as a client goes on with it: the message as it came, and results in another order."""
    said: Any = message.model_dump(exclude_none=True)
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name} says {number}"}
        for number, call in enumerate(message.tool_calls or ())
        if call.type == "function"
    ]
    return [*WEATHER_ASKED, said, *results]


@pytest.mark.parametrize("model", MODELS)
async def test_a_chat_is_answered_whole(sdk: openai.OpenAI, model: str) -> None:
    answer = await apart(lambda: sdk.chat.completions.create(model=model, messages=ASKED))
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", ANSWER, "stop")
    assert not choice.message.tool_calls
    assert counted(answer.usage) == USAGE
    assert answer.id
    assert answer.created > 1_600_000_000


@pytest.mark.parametrize("model", MODELS)
async def test_a_chat_is_answered_in_pieces_and_counted_at_the_end(async_sdk: openai.AsyncOpenAI, model: str) -> None:
    stream = await async_sdk.chat.completions.create(
        model=model, messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    *told, last = chunks
    texts = [choice.delta.content for chunk in told for choice in chunk.choices if choice.delta.content]
    assert "".join(texts) == ANSWER
    assert len(texts) > 2
    assert len({chunk.id for chunk in chunks}) == 1
    assert [choice.finish_reason for chunk in told for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert not last.choices
    assert counted(last.usage) == USAGE
    assert all(chunk.usage is None for chunk in told)


@pytest.mark.parametrize("model", MODELS)
async def test_the_streaming_helper_tells_events_and_the_whole(sdk: openai.OpenAI, model: str) -> None:
    def chat() -> tuple[list[Any], ChatCompletion]:
        with sdk.chat.completions.stream(model=model, messages=ASKED) as stream:
            return list(stream), stream.get_final_completion()

    events, final = await apart(chat)
    assert "".join(event.delta for event in events if event.type == "content.delta") == ANSWER
    assert [event.content for event in events if event.type == "content.done"] == [ANSWER]
    assert final.choices[0].message.content == ANSWER
    assert final.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", STRUCTURED)
async def test_an_answer_is_parsed_into_a_pydantic_model(sdk: openai.OpenAI, model: str) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Plan a trip."}]
    answer = await apart(lambda: sdk.chat.completions.parse(model=model, messages=asked, response_format=Trip))
    trip = answer.choices[0].message.parsed
    assert trip is not None
    assert [place.name for place in trip.places] == ["Zürich ☀️", '東京 "wet"']
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", STRUCTURED)
async def test_a_streamed_answer_is_parsed_into_a_pydantic_model(async_sdk: openai.AsyncOpenAI, model: str) -> None:
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Plan a trip."}]
    async with async_sdk.chat.completions.stream(model=model, messages=asked, response_format=Trip) as stream:
        final = await stream.get_final_completion()
    trip = final.choices[0].message.parsed
    assert trip is not None
    assert trip.places[1].inhabitants == 21


@pytest.mark.parametrize("model", MODELS)
async def test_a_loop_of_tools_whole(sdk: openai.OpenAI, model: str) -> None:
    def ask(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
        return sdk.chat.completions.create(model=model, messages=messages, tools=TOOLS, parallel_tool_calls=True)

    first = await apart(lambda: ask(WEATHER_ASKED))
    message = first.choices[0].message
    assert called(message) == CALLS
    assert first.choices[0].finish_reason == "tool_calls"
    last = await apart(lambda: ask(with_results(message)))
    assert last.choices[0].message.content == "The tools said: weather says 0 | clock says 1"
    assert last.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", MODELS)
async def test_a_loop_of_tools_streamed(async_sdk: openai.AsyncOpenAI, model: str) -> None:
    async def ask(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState(input_tools=TOOLS)
        stream = await async_sdk.chat.completions.create(
            model=model, messages=messages, tools=TOOLS, parallel_tool_calls=True, stream=True
        )
        async for chunk in stream:
            state.handle_chunk(chunk)
        return state.get_final_completion()

    first = await ask(WEATHER_ASKED)
    message = first.choices[0].message
    assert called(message) == CALLS
    assert first.choices[0].finish_reason == "tool_calls"
    last = await ask(with_results(message))
    assert last.choices[0].message.content == "The tools said: weather says 0 | clock says 1"


@pytest.mark.parametrize("model", MODELS)
async def test_the_streaming_helper_tells_the_arguments_of_calls(sdk: openai.OpenAI, model: str) -> None:
    def chat() -> list[Any]:
        with sdk.chat.completions.stream(
            model=model, messages=WEATHER_ASKED, tools=TOOLS, parallel_tool_calls=True
        ) as stream:
            return list(stream)

    events = await apart(chat)
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, normal(event.arguments)) for event in done] == CALLS
    pieces = [event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert "".join(pieces) == "".join(event.arguments for event in done)


@pytest.mark.parametrize("model", [model for model in MODELS if "minimax" not in model])
async def test_a_tool_that_is_named_is_called(sdk: openai.OpenAI, model: str) -> None:
    answer = await apart(
        lambda: sdk.chat.completions.create(
            model=model,
            messages=WEATHER_ASKED,
            tools=TOOLS,
            tool_choice={"type": "function", "function": {"name": "clock"}},
        )
    )
    assert called(answer.choices[0].message) == [("clock", '{"zone": "Zürich ☀️"}')]


@pytest.mark.parametrize("model", MODELS)
async def test_tools_that_are_not_to_be_called_are_not(sdk: openai.OpenAI, model: str) -> None:
    answer = await apart(
        lambda: sdk.chat.completions.create(model=model, messages=WEATHER_ASKED, tools=TOOLS, tool_choice="none")
    )
    assert not answer.choices[0].message.tool_calls
    assert answer.choices[0].message.content == "You said: What is it like there, and when?"


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_that_ends_too_early_is_an_error(
    async_sdk: openai.AsyncOpenAI, vendor: FakeVendor, model: str
) -> None:
    def short(request: Received) -> Reply:
        reply = every_dialect(request)
        return replace(reply, steps=reply.steps[: len(reply.steps) * 2 // 3])

    vendor.default = short
    stream = await async_sdk.chat.completions.create(model=model, messages=ASKED, stream=True)
    with pytest.raises(openai.APIError, match="stream ended before its last event"):
        await stream_out(stream)


async def stream_out(stream: openai.AsyncStream[ChatCompletionChunk]) -> None:
    """All of a stream that has no end."""
    async for chunk in stream:
        assert chunk.choices[0].finish_reason is None


@pytest.mark.parametrize("model", SEEING)
async def test_a_picture_in_the_message_is_seen(sdk: openai.OpenAI, model: str) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    content: Any = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": content}]
    answer = await apart(lambda: sdk.chat.completions.create(model=model, messages=asked))
    text = answer.choices[0].message.content or ""
    assert (
        text.split() == f"You said: What is it? , and showed image/png of {len(PNG)} bytes".replace(" ,", ",").split()
    )


@pytest.mark.parametrize("model", THINKING)
async def test_thinking_is_told_beside_the_answer(sdk: openai.OpenAI, model: str) -> None:
    answer = await apart(
        lambda: sdk.chat.completions.create(model=model, messages=ASKED, reasoning_effort="high", max_tokens=30000)
    )
    message = answer.choices[0].message
    assert message.content == ANSWER
    assert getattr(message, "reasoning_content", None) == THOUGHT
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 13
    if not model.startswith("bedrock/"):  # which does not tell
        assert answer.usage.completion_tokens_details is not None
        assert answer.usage.completion_tokens_details.reasoning_tokens == 7


@pytest.mark.parametrize("model", THINKING)
async def test_thinking_goes_before_a_streamed_answer(async_sdk: openai.AsyncOpenAI, model: str) -> None:
    stream = await async_sdk.chat.completions.create(
        model=model, messages=ASKED, reasoning_effort="high", max_tokens=30000, stream=True
    )
    deltas = [chunk.choices[0].delta async for chunk in stream]
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thoughts) == THOUGHT
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    first_said = next(at for at, delta in enumerate(deltas) if delta.content)
    assert not any(thoughts[first_said:])


@pytest.mark.parametrize("model", THINKING)
async def test_a_loop_of_tools_keeps_the_thinking_before_its_calls(sdk: openai.OpenAI, model: str) -> None:
    """The vendors' fakes refuse calls without the thinking and the signatures they came with."""

    def ask(messages: list[ChatCompletionMessageParam]) -> ChatCompletionMessage:
        answer = sdk.chat.completions.create(
            model=model,
            messages=messages,
            tools=TOOLS,
            parallel_tool_calls=True,
            reasoning_effort="high",
            max_tokens=30000,
        )
        return answer.choices[0].message

    message = await apart(lambda: ask(WEATHER_ASKED))
    assert called(message) == CALLS
    assert getattr(message, "reasoning_content", None) == THOUGHT
    last = await apart(lambda: ask(with_results(message)))
    assert last.content == "The tools said: weather says 0 | clock says 1"
    assert getattr(last, "reasoning_content", None) == THOUGHT


@pytest.mark.parametrize("model", THINKING)
async def test_a_streamed_loop_of_tools_keeps_the_thinking_before_its_calls(
    async_sdk: openai.AsyncOpenAI, model: str
) -> None:
    async def ask(messages: list[ChatCompletionMessageParam]) -> ChatCompletionMessage:
        async with async_sdk.chat.completions.stream(
            model=model,
            messages=messages,
            tools=TOOLS,
            parallel_tool_calls=True,
            reasoning_effort="high",
            max_tokens=30000,
        ) as stream:
            return (await stream.get_final_completion()).choices[0].message

    message = await ask(WEATHER_ASKED)
    assert called(message) == CALLS
    last = await ask(with_results(message))
    assert last.content == "The tools said: weather says 0 | clock says 1"
