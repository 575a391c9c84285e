from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.fake_vendor import FakeVendor, chat_chunks, chat_reply, chat_stream, openai_vendor_default

ASKED: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "two words"},
]


@pytest.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor(openai_vendor_default) as vendor:
        yield vendor


@pytest.fixture
async def client(vendor: FakeVendor) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{vendor.url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


async def test_a_healthy_vendor_quotes_the_last_message_and_counts_words(
    vendor: FakeVendor, client: openai.AsyncOpenAI
) -> None:
    answer = await client.chat.completions.create(model="m", messages=ASKED)
    assert answer.model == "m"
    assert answer.choices[0].message.content == "You said: two words"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 4, 8)
    assert vendor.last.header("authorization") == "Bearer sk-test"


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_healthy_vendor_streams_with_usage_only_where_it_is_asked_for(
    client: openai.AsyncOpenAI, include_usage: bool
) -> None:
    stream = await client.chat.completions.create(
        model="m",
        messages=ASKED,
        stream=True,
        stream_options={"include_usage": include_usage},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "You said: two words"
    counted = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
    assert counted == ([8] if include_usage else [])


async def test_a_healthy_vendor_answers_embeddings_images_and_models(client: openai.AsyncOpenAI) -> None:
    vectors = await client.embeddings.create(model="e", input=["a", "b c"], encoding_format="float")
    assert (len(vectors.data), vectors.usage.prompt_tokens) == (2, 3)
    picture = await client.images.generate(model="i", prompt="a cat", n=2)
    assert len(picture.data or ()) == 2
    assert [model.id async for model in client.models.list()] == ["fake-model"]
    with pytest.raises(openai.NotFoundError, match="no such path"):
        await client.get("/nothing", cast_to=object)


async def test_a_reply_may_call_tools(vendor: FakeVendor, client: openai.AsyncOpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    vendor.default = chat_reply("", finish_reason="tool_calls", message={"content": None, "tool_calls": [call]})
    answer = await client.chat.completions.create(model="m", messages=ASKED)
    assert answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"


def test_usage_stands_in_a_chunk_of_its_own_or_in_the_last_or_nowhere() -> None:
    own = chat_chunks(["a"])
    assert ([bool(chunk["choices"]) for chunk in own], own[-1]["usage"]["total_tokens"]) == ([True] * 3 + [False], 10)
    last = chat_chunks(["a"], include_usage_chunk=False)
    assert (len(last), last[-1]["choices"][0]["finish_reason"], last[-1]["usage"]["total_tokens"]) == (3, "stop", 10)
    assert not any("usage" in chunk for chunk in chat_chunks(["a"], usage=None))


def test_a_stream_may_lack_its_end_and_may_pause_between_events() -> None:
    whole = chat_stream(["a"])
    assert whole.steps[-1] == b"data: [DONE]\n\n"
    assert chat_stream(["a"], done=False).steps == whole.steps[:-1]
    assert chat_stream(["a"], between=[0.5]).steps[1::2] == (0.5,) * len(whole.steps)
