"""OpenAI-compatible chat with OpenAI's own SDK."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.fake_vendor import FakeVendor, Reply, chat_chunks, chat_reply, chat_stream
from tests.support.gateway import VENDOR_KEY, Gateway

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Good morning"}]


@pytest.fixture
def sync_sdk(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)


@pytest.fixture
def sdk(gateway: Gateway) -> openai.AsyncOpenAI:
    """Without /v1: a base URL may end in it or not."""
    return openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key, max_retries=0)


async def test_the_sync_sdk_chats(sync_sdk: openai.OpenAI, vendor: FakeVendor) -> None:
    def chat() -> openai.types.chat.ChatCompletion:
        with sync_sdk:
            return sync_sdk.chat.completions.create(model="chat", messages=ASKED)

    answer = await asyncio.to_thread(chat)
    assert answer.choices[0].message.content == "You said: Good morning"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2
    assert vendor.last.header("authorization") == f"Bearer {VENDOR_KEY}"
    assert vendor.last.json() == {"model": "deepseek-chat", "messages": ASKED}


async def test_the_sync_sdk_streams(sync_sdk: openai.OpenAI, vendor: FakeVendor) -> None:
    def chat() -> list[openai.types.chat.ChatCompletionChunk]:
        with sync_sdk:
            return list(sync_sdk.chat.completions.create(model="chat", messages=ASKED, stream=True))

    chunks = await asyncio.to_thread(chat)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Good morning"
    assert all(chunk.choices for chunk in chunks), "the usage chunk was not asked for"
    assert all(chunk.usage is None for chunk in chunks)
    assert vendor.last.json()["stream_options"] == {"include_usage": True}


async def test_the_async_sdk_gets_the_usage_chunk_it_asks_for(sdk: openai.AsyncOpenAI, vendor: FakeVendor) -> None:
    async with sdk:
        stream = await sdk.chat.completions.create(
            model="chat",
            messages=ASKED,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    counted = [chunk for chunk in chunks if chunk.usage]
    assert len(counted) == 1
    assert chunks[-1] is counted[0]
    assert not counted[0].choices
    assert counted[0].usage is not None
    assert counted[0].usage.completion_tokens == 4
    assert vendor.count == 1


async def test_the_sdk_lists_models_and_finds_one(sdk: openai.AsyncOpenAI, vendor: FakeVendor) -> None:
    async with sdk:
        listed = [model.id async for model in sdk.models.list()]
        found = await sdk.models.retrieve("deepseek/deepseek-chat")
    assert listed[:4] == ["chat", "backed-up", "impatient", "unreachable"]
    assert "deepseek/deepseek-chat" in listed
    assert found.owned_by == "deepseek"
    assert vendor.count == 0


async def test_a_provider_s_own_model_is_named_by_provider_and_model(
    sdk: openai.AsyncOpenAI, vendor: FakeVendor
) -> None:
    async with sdk:
        await sdk.chat.completions.create(model="bytedance/ep-20260101", messages=ASKED)
    assert vendor.last.path == "/api/v3/chat/completions"
    assert vendor.last.json()["model"] == "ep-20260101"


async def test_a_self_hosted_base_url_is_the_one_an_sdk_would_be_given(
    sdk: openai.AsyncOpenAI, vendor: FakeVendor
) -> None:
    async with sdk:
        await sdk.chat.completions.create(model="house/qwen3", messages=ASKED)
    assert vendor.last.path == "/house/v1/chat/completions"
    assert vendor.last.header("authorization") is None


async def test_what_the_gateway_does_not_know_reaches_the_vendor_as_it_was_written(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    messages = '[ {"role":"user", "content":"caf\\u00e9 \\ud83d\\ude00", "extra":1.50} ]'
    body = f'{{"messages": {messages}, "model": "house/m", "guided_json": {{"a" : [1, 2.0]}}, "temperature": 1.0}}'
    answer = await client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert messages.encode() in vendor.last.body
    assert b'"guided_json":{"a" : [1, 2.0]}' in vendor.last.body
    assert b'"temperature":1.0' in vendor.last.body
    assert vendor.last.header("content-length") == str(len(vendor.last.body))


async def test_the_answer_tells_its_id_target_attempts_and_timing(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(
        None, chat_reply(headers=[("x-request-id", "vendors"), ("set-cookie", "a=b"), ("x-ratelimit-limit", "9")])
    )
    answer = await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
    assert len(answer.headers["x-request-id"]) == 36
    assert answer.headers["x-gateway-target"] == "deepseek/deepseek-chat"
    assert answer.headers["x-gateway-attempts"] == "1"
    assert answer.headers["server-timing"].startswith("gateway;dur=")
    assert "set-cookie" not in answer.headers
    assert "x-ratelimit-limit" not in answer.headers, "the vendor account's limits are not the client's"
    assert vendor.count == 1


async def test_a_stream_arrives_chunk_by_chunk(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    go_on = asyncio.Event()
    first, second, *rest = chat_chunks(["one", "two"])
    vendor.script(None, Reply.sse([first, second, go_on, *rest, "[DONE]"]))
    async with client.stream("POST", "/v1/chat/completions", json=streamed("chat")) as answer:
        lines = answer.aiter_lines()
        assert '"content":""' in await anext(lines)
        await anext(lines)
        assert '"one"' in await asyncio.wait_for(anext(lines), 5)
        go_on.set()
        assert [line async for line in lines][-2:] == ["data: [DONE]", ""]


async def test_a_missing_done_is_supplied(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(None, chat_stream(["one"], done=False))
    answer = await client.post("/v1/chat/completions", json=streamed("chat"))
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_usage_in_the_finish_chunk_is_taken_off_and_told_only_when_asked(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(None, chat_stream(["one"], include_usage_chunk=False))
    plain = await client.post("/v1/chat/completions", json=streamed("chat"))
    asked = await client.post(
        "/v1/chat/completions", json={**streamed("chat"), "stream_options": {"include_usage": True}}
    )
    assert "usage" not in plain.text
    assert asked.text.count('"prompt_tokens"') == 1
    assert asked.text.rstrip().split("\n\n")[-2].startswith('data: {"id"')
    assert '"choices":[]' in asked.text


def streamed(model: str) -> dict[str, object]:
    return {"model": model, "messages": ASKED, "stream": True}
