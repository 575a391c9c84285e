"""Passthrough: what the client sent is what the vendor gets, and the other way round."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import anthropic
import brotli
import httpx
import pytest
import websockets
import zstandard

from processor.vendors import VENDORS
from tests.e2e.raw import exchange
from tests.support.fake_vendor import FakeVendor, Reply, chat_completion, chat_stream
from tests.support.gateway import Gateway

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "date"}


async def test_method_path_query_headers_and_body_reach_the_vendor_byte_for_byte(
    gateway: Gateway, vendor: FakeVendor
) -> None:
    vendor.default = Reply.of(b"ok")
    sent = [
        ("User-Agent", "odd/1.0 (x)"),
        ("X-Request-ID", "the-client's-own"),
        ("X-Forwarded-For", "10.1.2.3"),
        ("X-Forwarded-Proto", "https"),
        ("Authorization", "Bearer vendors-own"),
        ("Api-Key", "another"),
        ("Cookie", "a=1; b=2"),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
        ("Accept-Encoding", "gzip, br, zstd"),
        ("TraceParent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("X-Empty", ""),
    ]
    body = bytes(range(256)) * 40
    target = "/v1/tencent/v1/a//b/../c%2Fd;p=1/%E4%BD%A0?key=s%20e+c&empty=&x=%zz&x=2"
    answer = await exchange(gateway.port, request_bytes("PUT", target, sent, body))
    assert answer.status == 200
    got = vendor.last
    assert got.method == "PUT"
    assert got.target == target.removeprefix("/v1/tencent")
    assert got.body == body
    # Envoy overwrites this one, and what the client said is put back at the end.
    moved = ("X-Forwarded-Proto", "https")
    expected = [pair for pair in sent if pair != moved] + [("Content-Length", str(len(body))), moved]
    assert [pair for pair in got.headers if pair[0] != "Host"] == expected
    assert got.header("host") == vendor.host


async def test_the_answer_comes_back_as_the_vendor_sent_it(gateway: Gateway, vendor: FakeVendor) -> None:
    headers = [
        ("Server", "vendor/1"),
        ("X-Request-Id", "vendors"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Odd-CASE", "Kept"),
        ("Content-Type", "application/octet-stream"),
    ]
    body = bytes(range(256)) * 100
    vendor.default = Reply.of(body, status=418, headers=headers)
    answer = await exchange(gateway.port, request_bytes("GET", "/moonshot/v1/models", [], b""))
    assert answer.status == 418
    assert answer.body == body
    kept = [pair for pair in answer.headers if pair[0].lower() not in HOP_BY_HOP | {"content-length"}]
    assert kept == headers


async def test_a_request_gets_no_header_of_ours(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.default = Reply.of(b"ok")
    await exchange(gateway.port, request_bytes("GET", "/openai/v1/models", [], b""))
    assert {name.lower() for name, _ in vendor.last.headers} <= {"host", "content-length"}


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("provider", [*VENDORS, "siliconflow"])
async def test_every_provider_is_there(
    client: httpx.AsyncClient, vendor: FakeVendor, provider: str, prefix: str
) -> None:
    vendor.default = Reply.json(chat_completion())
    answer = await client.post(f"{prefix}/{provider}/v1/chat/completions?a=b", content=b"{}")
    assert answer.status_code == 200
    assert vendor.last.target == "/v1/chat/completions?a=b"


ENCODINGS = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_compressed_answer_stays_compressed(gateway: Gateway, vendor: FakeVendor, encoding: str) -> None:
    packed = ENCODINGS[encoding](b'{"usage":{"prompt_tokens":5,"completion_tokens":6}}')
    vendor.default = Reply.of(packed, headers=[("content-type", "application/json"), ("content-encoding", encoding)])
    answer = await exchange(gateway.port, request_bytes("POST", "/ali/compatible-mode/v1/chat/completions", [], b"{}"))
    assert answer.body == packed
    assert ("content-encoding", encoding) in answer.headers


async def test_events_come_through_one_by_one(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    go_on = asyncio.Event()
    vendor.default = Reply.sse([{"n": 1}, go_on, {"n": 2}, "[DONE]"])
    async with client.stream("POST", "/zhipu/api/paas/v4/chat/completions", content=b"{}") as answer:
        chunks = answer.aiter_raw()
        assert await asyncio.wait_for(anext(chunks), 5) == b'data: {"n":1}\n\n'
        go_on.set()
        rest = [chunk async for chunk in chunks]
    assert b"".join(rest) == b'data: {"n":2}\n\ndata: [DONE]\n\n'


async def test_a_chunked_request_stays_chunked(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.default = Reply.of(b"ok")
    head = b"POST /baidu/v2/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await exchange(gateway.port, head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert vendor.last.body == b"abcde"
    assert vendor.last.header("content-length") is None


async def test_a_websocket_goes_through_with_its_frames(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.default = Reply.websocket()
    url = f"ws://127.0.0.1:{gateway.port}/bytedance/api/v3/sauc/bigmodel?x=1"
    async with websockets.connect(url, additional_headers={"X-Api-App-Key": "app"}) as socket:
        await socket.send(b"\x11\x10\x00\xff")
        assert await socket.recv() == b"\x11\x10\x00\xff"
        await socket.send("text")
        assert await socket.recv() == "text"
    [accepted] = vendor.sockets
    assert accepted.request.target == "/api/v3/sauc/bigmodel?x=1"
    assert accepted.request.header("x-api-app-key") == "app"
    assert not [name for name, _ in accepted.request.headers if name.lower().startswith(("x-gateway", "x-envoy"))]


async def test_anthropic_s_own_sdk_runs_unchanged(gateway: Gateway, vendor: FakeVendor) -> None:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "Bonjour"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 4, "cache_read_input_tokens": 3},
    }
    start: dict[str, Any] = {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bonjour"}}
    opened = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    closed: dict[str, Any] = {"type": "content_block_stop", "index": 0}
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}
    events: list[dict[str, Any]] = [start, opened, text, closed, ended, {"type": "message_stop"}]
    streamed = [f"event: {event['type']}\n".encode() + sse(event) for event in events]
    vendor.script("/v1/messages", Reply.json(message), Reply.sse(streamed))
    asked = [{"role": "user", "content": "Hello"}]
    async with anthropic.AsyncAnthropic(base_url=f"{gateway.url}/anthropic", api_key="sk-ant", max_retries=0) as sdk:
        whole = await sdk.messages.create(model="claude-x", max_tokens=9, messages=asked)  # type: ignore[arg-type]
        assert whole.content[0].text == "Bonjour"  # type: ignore[union-attr]
        async with sdk.messages.stream(model="claude-x", max_tokens=9, messages=asked) as stream:  # type: ignore[arg-type]
            assert await stream.get_final_text() == "Bonjour"
    assert "sk-ant" in vendor.last.head.decode()


async def test_a_stream_through_passthrough_is_the_vendor_s_to_the_byte(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    reply = chat_stream(["你好", "!"])
    vendor.default = reply
    answer = await client.post("/deepseek/chat/completions", json={"stream": True})
    assert answer.content == b"".join(step for step in reply.steps if isinstance(step, bytes))


def sse(event: object) -> bytes:
    return Reply.sse([event]).steps[0]  # type: ignore[list-item,return-value]


def request_bytes(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway.example"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body
