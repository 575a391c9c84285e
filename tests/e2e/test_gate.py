"""Passthrough with a gate: clients by their vendor key or a gateway key, and limits; and without one, as ever."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import websockets

from tests.support.fake_vendor import FakeVendor, Reply, chat_reply
from tests.support.gateway import KEY, KEY_SHA256, Gateway, until_async

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
Make = Callable[[str], AbstractAsyncContextManager[Gateway]]


@pytest_asyncio.fixture(scope="module")
async def vendor() -> AsyncIterator[FakeVendor]:
    usage = {"prompt_tokens": 600, "completion_tokens": 400, "total_tokens": 1000}
    async with FakeVendor(chat_reply("well", usage=usage)) as running:
        yield running


@pytest.fixture
def make(vendor: FakeVendor, tmp_path: Path) -> Make:
    @asynccontextmanager
    async def running(more: str) -> AsyncIterator[Gateway]:
        limited = hashlib.sha256(b"sk-limited").hexdigest()
        config = f"""
providers:
  deepseek: {{base_url: {vendor.url}/one, api_key: ${{VENDOR_KEY}}}}
  moonshot: {{base_url: {vendor.url}/two, api_key: ${{VENDOR_KEY}}}}
prices: {{"deepseek/*": {{input: 1, output: 2}}}}
{more}
keys:
- {{name: tests, sha256: {KEY_SHA256}}}
- {{name: limited, sha256: {limited}, providers: [deepseek], limits: {{rpm: 1}}}}
"""
        async with Gateway(tmp_path, config) as gateway:
            vendor.reset()
            yield gateway

    return running


async def ask(gateway: Gateway, provider: str = "deepseek", **headers: str) -> httpx.Response:
    sent = {"authorization": "Bearer vendor-key-of-a-client", **{k.replace("_", "-"): v for k, v in headers.items()}}
    async with httpx.AsyncClient(base_url=gateway.url, headers=sent, timeout=30) as client:
        return await client.post(f"/{provider}/chat/completions", json=BODY)


async def test_without_a_gate_nothing_is_asked_and_our_header_reaches_no_vendor(make: Make, vendor: FakeVendor) -> None:
    async with make("") as gateway:
        answer = await ask(gateway, x_gateway_key=KEY, x_gw_key="mine")
        assert answer.status_code == 200
        names = {name.lower() for name, _ in vendor.last.headers}
        assert not {name for name in names if "gw-" in name or "gateway" in name}
        record = (await gateway.wait_for_records(1))[-1]
        assert (record["key"], record["cost"], record["currency"]) == ("", "0.0014", "USD")


async def test_a_client_is_its_vendor_key_and_has_limits(make: Make, vendor: FakeVendor) -> None:
    async with make("passthrough: {key: vendor, limits: {rpm: 2}}") as gateway:
        statuses = [(await ask(gateway)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        other = await ask(gateway, authorization="Bearer another")
        assert other.status_code == 200
        assert vendor.count == 3, "the refused one reached nobody"
        assert vendor.last.header("authorization") == "Bearer another"
        record = (await gateway.wait_for_records(4))[-1]
        digest = hashlib.sha256(b"another").hexdigest()
        assert record["key"] == f"vendor-key-{digest[:12]}"


async def test_a_gateway_key_is_asked_for_and_goes_no_further(make: Make, vendor: FakeVendor) -> None:
    async with make("passthrough: {key: gateway}") as gateway:
        nobody, stranger = await ask(gateway), await ask(gateway, x_gateway_key="sk-unknown")
        assert [answer.status_code for answer in (nobody, stranger)] == [401, 401]
        assert vendor.count == 0
        answer = await ask(gateway, x_gateway_key="sk-limited")
        assert answer.status_code == 200
        assert "limited" not in str(vendor.last.headers)
        assert vendor.last.header("authorization") == "Bearer vendor-key-of-a-client"
        refused = await ask(gateway, x_gateway_key="sk-limited")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        elsewhere = await ask(gateway, "moonshot", x_gateway_key="sk-limited")
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "provider_not_allowed")


async def test_some_providers_may_be_left_out(make: Make) -> None:
    async with make("passthrough: {providers: [deepseek]}") as gateway:
        assert [(await ask(gateway, name)).status_code for name in ("deepseek", "moonshot")] == [200, 403]


async def test_what_was_used_is_what_is_counted(make: Make) -> None:
    async with make("passthrough: {key: vendor, limits: {tpm: 2500}}") as gateway:
        answers = [(await ask(gateway)).status_code for _ in range(2)]
        assert answers == [200, 200]

        async def spent() -> bool:
            return (await ask(gateway)).status_code == 429

        await until_async(spent, within=5, what="three thousand tokens to be counted")


async def test_a_websocket_is_a_request_like_others(make: Make, vendor: FakeVendor) -> None:
    async with make("passthrough: {key: vendor, limits: {rpm: 1}}") as gateway:
        vendor.script(None, Reply.websocket())
        url = f"ws://127.0.0.1:{gateway.port}/deepseek/realtime"
        headers = {"authorization": "Bearer speaker"}
        async with websockets.connect(url, additional_headers=headers) as socket:
            await socket.send("text")
            assert await socket.recv() == "text"
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(url, additional_headers=headers)
            assert refused.value.response.status_code == 429
