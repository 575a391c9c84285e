"""Responses with OpenAI's SDK, every answer validated strictly, over every vendor's chat and over OpenAI itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.responses import FunctionToolParam, Response, ResponseFunctionToolCall
from pydantic import BaseModel

from tests.support.fake_dialects import every_dialect
from tests.support.fake_vendor import FakeVendor, Reply
from tests.support.gateway import Gateway

MODELS = (
    "openai/gpt-5.2",
    "deepseek/deepseek-chat",
    "anthropic/claude-sonnet-4-6",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-3-pro-preview",
    "bedrock/us.anthropic.claude-sonnet-4-6",
    "ali/qwen-plus",
    "golden-minimax-native/MiniMax-M3",
)
THOUGHT = "Hm ☕, let me think of it."
QUESTION = "Wie geht's, 世界? 👋🏽"
ANSWER = f"You said: {QUESTION}"
USAGE = (7, 6, 13, 3)
"""Words: of the prompt, of the answer, of both, and of the instructions, which come from the cache."""
TOOLS: list[FunctionToolParam] = [
    {
        "type": "function",
        "name": "weather",
        "description": "The weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
    {
        "type": "function",
        "name": "clock",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
        "strict": False,
    },
]
CALLS = [("weather", {"place": "Zürich ☀️", "days": 20}), ("clock", {"zone": '東京 "wet"'})]
WEATHER = "What is it like there, and when?"
RESULTS = ("rain", "noon")


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


def called(response: Response) -> list[tuple[str, Any]]:
    calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    assert len({call.call_id for call in calls}) == len(calls)
    return [(call.name, json.loads(call.arguments)) for call in calls]


def thought(response: Response) -> str:
    """What the items of reasoning tell, in a summary or in full."""
    items = [item for item in response.output if item.type == "reasoning"]
    return "".join(part.text for item in items for part in (*item.summary, *(item.content or ())))


def counted(response: Response) -> tuple[int, int, int, int]:
    usage = response.usage
    assert usage is not None
    return usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.input_tokens_details.cached_tokens


def with_results(response: Response) -> list[Any]:
    """The conversation as a stateless client goes on with it: every item as it came, then the results."""
    items: list[Any] = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
    calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": result}
        for call, result in zip(calls, RESULTS, strict=True)
    ]
    return [{"role": "user", "content": WEATHER}, *items, *results]


@pytest.mark.parametrize("model", MODELS)
async def test_a_response_is_made_whole(sdk: openai.AsyncOpenAI, model: str) -> None:
    response = await sdk.responses.create(model=model, instructions="Be very brief.", input=QUESTION, store=False)
    assert response.output_text == ANSWER
    assert response.status == "completed"
    assert counted(response) == USAGE
    assert response.id.startswith("resp_")


@pytest.mark.parametrize("model", MODELS)
async def test_a_response_is_made_in_pieces(sdk: openai.AsyncOpenAI, model: str) -> None:
    async with sdk.responses.stream(model=model, instructions="Be very brief.", input=QUESTION) as stream:
        events = [event async for event in stream]
        response = await stream.get_final_response()
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces) == ANSWER == response.output_text
    assert len(pieces) > 2
    assert counted(response) == USAGE
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")


@pytest.mark.parametrize("model", MODELS)
async def test_a_loop_of_tools_streamed(sdk: openai.AsyncOpenAI, model: str) -> None:
    options: dict[str, Any] = {"model": model, "tools": TOOLS, "parallel_tool_calls": True, "store": False}
    async with sdk.responses.stream(input=WEATHER, **options) as stream:
        events = [event async for event in stream]
        response = await stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    done = [event.arguments for event in events if event.type == "response.function_call_arguments.done"]
    assert "".join(deltas) == "".join(done)
    assert called(response) == CALLS
    last = await sdk.responses.create(input=with_results(response), **options)
    assert last.output_text == f"The tools said: {' | '.join(RESULTS)}"


@pytest.mark.parametrize("model", MODELS)
async def test_a_loop_of_tools_keeps_the_thinking_before_its_calls(sdk: openai.AsyncOpenAI, model: str) -> None:
    """The vendors' fakes refuse calls without the thinking and the signatures they came with."""
    options: dict[str, Any] = {
        "model": model,
        "tools": TOOLS,
        "parallel_tool_calls": True,
        "store": False,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 20000,
    }
    response = await sdk.responses.create(input=WEATHER, **options)
    assert thought(response) == THOUGHT
    assert called(response) == CALLS
    async with sdk.responses.stream(input=with_results(response), **options) as stream:
        last = await stream.get_final_response()
    assert thought(last) == THOUGHT
    assert last.output_text == f"The tools said: {' | '.join(RESULTS)}"


@pytest.mark.parametrize("model", [model for model in MODELS if "minimax" not in model])
async def test_a_response_is_parsed_into_a_pydantic_model(sdk: openai.AsyncOpenAI, model: str) -> None:
    response = await sdk.responses.parse(model=model, input="Name a city.", text_format=City)
    assert response.output_parsed == City(name="Zürich ☀️", inhabitants=20)


async def test_openai_itself_is_asked_as_the_client_wrote(sdk: openai.AsyncOpenAI, vendor: FakeVendor) -> None:
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]
    response = await sdk.responses.create(model="openai/gpt-5.2", input=items, store=False, truncation="auto")
    assert vendor.last.path == "/v1/responses"
    assert vendor.last.json() == {"model": "gpt-5.2", "input": items, "store": False, "truncation": "auto"}
    assert response.id == "resp_of_the_vendor"


async def test_a_vendor_s_refusal_is_told_in_its_words(sdk: openai.AsyncOpenAI, vendor: FakeVendor) -> None:
    vendor.default = Reply.json(
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, status=529
    )
    with pytest.raises(openai.InternalServerError, match="Overloaded") as caught:
        await sdk.responses.create(model="anthropic/claude-sonnet-4-6", input="Hi", stream=True)
    assert caught.value.status_code == 503


async def test_what_needs_a_memory_is_refused_by_its_name(sdk: openai.AsyncOpenAI, vendor: FakeVendor) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.responses.create(model="deepseek/deepseek-chat", input="Hi", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    assert vendor.count == 0
