from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import openai
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.demo import server
from processor.demo.chat_request import ChatRequest
from processor.demo.embeddings import EmbeddingsRequest
from processor.demo.images import ImagesRequest
from processor.errors import MalformedRequest
from processor.wire.json import JSON, decode, encode

HELLO = {"model": "anything", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", HELLO),
        ("/embeddings", {"input": "cat"}),
        ("/images/generations", {"prompt": "a cat"}),
        ("/models", None),
    ],
)
async def test_every_endpoint_answers_with_and_without_v1_and_says_it_is_a_demo(
    demo: aiohttp.ClientSession, prefix: str, path: str, body: JSON | None
) -> None:
    async with demo.request("POST" if body else "GET", prefix + path, json=body) as response:
        answer = await response.json()
        assert response.status == 200
        assert response.headers["x-demo"] == "true"
        model = answer["data"][0]["id"] if body is None else answer["model"]
        assert model.startswith("demo-")


async def test_a_stream_is_server_sent_events_up_to_done(demo: aiohttp.ClientSession) -> None:
    body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    async with demo.post("/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-demo"] == "true"
        *events, done, rest = (await response.read()).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [decode(event.removeprefix(b"data: ")) for event in events]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert "Hello there" in text
    assert chunks[-1]["usage"]["completion_tokens"] == len(chunks) - 3  # role, finish and usage say nothing


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/v1/chat/completions", b"{", 400, "invalid_request", None),
        ("/v1/chat/completions", b"\xff", 400, "invalid_request", None),
        ("/v1/chat/completions", b"[]", 400, "invalid_request", None),
        ("/v1/chat/completions", b'{"messages":[]}', 400, "invalid_request", "messages"),
        ("/v1/chat/completions", b'{"messages":[{"role":1}]}', 400, "invalid_request", "messages[0].role"),
        ("/v1/chat/completions", b'{"messages":[{"role":"user"}],"n":0}', 400, "invalid_request", "n"),
        ("/v1/images/generations", b'{"prompt":"a","size":"big"}', 400, "invalid_request", "size"),
        ("/v1/nothing", b"{}", 404, "not_found", None),
        ("/v1/models", b"{}", 405, "method_not_allowed", None),
    ],
)
async def test_what_cannot_be_answered_is_refused_in_openais_shape(
    demo: aiohttp.ClientSession, path: str, body: bytes, status: int, code: str, param: str | None
) -> None:
    async with demo.post(path, data=body) as response:
        error = (await response.json())["error"]
        assert response.status == status
        assert response.headers["x-demo"] == "true"
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


NAMES = [
    "messages",
    "role",
    "content",
    "n",
    "max_tokens",
    "tools",
    "tool_choice",
    "function",
    "input",
    "prompt",
    "size",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("user"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)


@given(VALUES)
@settings(max_examples=60)
def test_any_json_is_read_or_refused(value: object) -> None:
    for form in (ChatRequest, EmbeddingsRequest, ImagesRequest):
        with contextlib.suppress(MalformedRequest):
            assert isinstance(server.read(encode(value), form), form)


async def test_openais_own_client_understands_every_answer(demo_url: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{demo_url}/v1", api_key="unused", max_retries=0) as client:
        whole = await client.chat.completions.create(
            model="demo-chat", messages=[{"role": "user", "content": "Hello there"}]
        )
        assert "Hello there" in (whole.choices[0].message.content or "")
        stream = await client.chat.completions.create(
            model="demo-chat", messages=[{"role": "user", "content": "Hello there"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == whole.choices[0].message.content
        vectors = await client.embeddings.create(model="demo-embedding", input=["a", "b"], dimensions=16)
        assert [len(item.embedding) for item in vectors.data] == [16, 16]
        picture = await client.images.generate(model="demo-image", prompt="a cat")
        assert picture.data
        assert (picture.data[0].url or "").startswith("data:image/png;base64,")
        assert "demo-chat" in [model.id async for model in client.models.list()]
        with pytest.raises(openai.BadRequestError, match="messages"):
            await client.chat.completions.create(model="demo-chat", messages=[])


async def test_a_client_that_leaves_ends_its_stream() -> None:
    cancelled = asyncio.Event()

    @web.middleware
    async def watch(request: web.Request, handler: server.Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    runner = server.demo_runner(delay=3600)
    runner.app.middlewares.append(watch)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        body = encode({**HELLO, "stream": True})
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: demo\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        assert b"data: " in await reader.readuntil(b'"role":"assistant"')
        writer.transport.abort()
        await asyncio.wait_for(cancelled.wait(), 10)
    finally:
        await runner.cleanup()
