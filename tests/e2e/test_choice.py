"""Who is asked: by what a request needs, by key, by patience; and what holds when the same target is asked again."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, Received, Reply, chat_reply, chat_stream
from tests.support.fake_vendor_openai import openai_error
from tests.support.gateway import KEY_SHA256, Gateway, free_port, until_async

SMALL, LARGE, KEYED = "/small/chat/completions", "/large/chat/completions", "/keyed/chat/completions"
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
TOO_LONG = openai_error(400, "This model's maximum context length is 100 tokens.", code="context_length_exceeded")


@pytest_asyncio.fixture(scope="module")
async def the_vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor(lambda request: chat_reply(request.path)) as vendor:
        yield vendor


@pytest_asyncio.fixture(scope="module")
async def api_port() -> int:
    return free_port()


@pytest_asyncio.fixture(scope="module")
async def gateway(
    the_vendor: FakeVendor, api_port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    def provider(name: str, keys: str = "${K1}") -> str:
        return f"{name}: {{dialect: openai, base_url: {the_vendor.url}/{name}, api_key: {keys}}}"

    config = f"""
admin: {{api: {api_port}}}
circuit: {{failures: 3, open: 60s}}
providers:
  {provider("small")}
  {provider("large")}
  {provider("keyed", "[${K1}, ${K2}]")}
  gone: {{dialect: openai, base_url: "http://127.0.0.1:9/v1", connect: 1s}}
models:
  able:
    targets: [{{provider: small, model: s, lacks: [vision, tools], context: 100}}, {{provider: large, model: l}}]
  sized:
    targets: [{{provider: small, model: s, context: 100}}, {{provider: large, model: l, context: 5000}}]
  stubborn:
    on_context_overflow: error
    targets: [{{provider: small, model: s}}, {{provider: large, model: l, context: 5000}}]
  keyed: {{targets: [{{provider: keyed, model: k}}], retry: {{attempts: 2}}}}
  waiting: {{targets: [{{provider: small, model: s}}], retry: {{attempts: 2, ttft: 400ms}}}}
  never-again: {{targets: [{{provider: small, model: n}}], retry: {{attempts: 2, budget: 0%}}}}
  hurried:
    targets: [{{provider: small, model: h, ttft: 300ms}}, {{provider: large, model: h, timeout: 1s}}]
  dead: {{targets: [{{provider: gone, model: g}}], retry: {{attempts: 1}}}}
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
    environ = {"K1": "sk-one", "K2": "sk-two"}
    async with Gateway(tmp_path_factory.mktemp("choice"), config, environ) as running:
        yield running


@pytest_asyncio.fixture
async def vendor(the_vendor: FakeVendor) -> FakeVendor:
    the_vendor.reset()
    return the_vendor


@pytest_asyncio.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=30) as plain:
        yield plain


async def ask(client: httpx.AsyncClient, model: str, **more: Any) -> httpx.Response:
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
    return await client.post("/v1/chat/completions", json=asked)


async def test_a_target_is_passed_over_that_cannot_do_what_is_asked(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    plain = await ask(client, "able")
    seen = await ask(client, "able", messages=PICTURE)
    called = await ask(client, "able", tools=[{"type": "function", "function": {"name": "f"}}])
    assert plain.headers["x-gateway-target"] == "small/s"
    assert [answer.headers["x-gateway-target"] for answer in (seen, called)] == ["large/l", "large/l"]
    assert vendor.count == 3, "nobody was asked in vain"


async def test_a_target_is_passed_over_whose_context_is_too_small(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    long = [{"role": "user", "content": "word " * 200}]
    assert (await ask(client, "sized")).headers["x-gateway-target"] == "small/s"
    assert (await ask(client, "sized", messages=long)).headers["x-gateway-target"] == "large/l"
    assert (await ask(client, "sized", max_tokens=4000)).headers["x-gateway-target"] == "large/l"


async def test_what_is_too_long_for_one_goes_on_to_a_larger_one_and_to_no_other(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(SMALL, TOO_LONG)
    answer = await ask(client, "sized")
    assert (answer.status_code, answer.headers["x-gateway-target"]) == (200, "large/l")
    vendor.script(SMALL, TOO_LONG)
    refused = await ask(client, "stubborn")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_several_keys_of_one_vendor_stand_in_for_one_another(
    client: httpx.AsyncClient, vendor: FakeVendor, gateway: Gateway
) -> None:
    def by_key(request: Received) -> Reply:
        first = request.header("authorization") == "Bearer sk-one"
        return openai_error(401, "Incorrect API key provided: sk-one") if first else chat_reply("two")

    vendor.script(KEYED, by_key)
    for _ in range(6):
        answer = await ask(client, "keyed")
        assert (answer.status_code, answer.headers["x-gateway-target"]) == (200, "keyed/k")
    keys = [request.header("authorization") for request in vendor.requests]
    assert keys.count("Bearer sk-one") == 1, "a rejected key is left alone from then on"


async def test_what_a_vendor_says_of_our_key_is_not_for_the_client(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(LARGE, openai_error(401, "Incorrect API key provided: sk-o***ne", code="invalid_api_key"))
    answer = await ask(client, "large/any")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_account_refused")
    assert "sk-o" not in answer.text


async def test_the_same_target_is_asked_again_when_it_says(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    """Though it says later than the time to first content, which is for an attempt that is made."""
    vendor.script(SMALL, openai_error(429, "slow down", headers=[("retry-after-ms", "700")]), chat_reply("well"))
    began = time.monotonic()
    answer = await ask(client, "waiting")
    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    assert time.monotonic() - began >= 0.7


async def test_nobody_is_kept_waiting_for_a_minute(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(SMALL, openai_error(503, "maintenance", headers=[("retry-after", "60")]))
    answer = await ask(client, "small/other")
    assert (answer.status_code, vendor.count) == (503, 1)


async def test_a_retry_budget_of_nothing_asks_no_target_twice(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(SMALL, openai_error(500, "oops"))
    answer = await ask(client, "never-again")
    assert (answer.status_code, vendor.count) == (500, 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_not_even_headers_within_the_target_s_patience_is_a_failure_as_well(
    client: httpx.AsyncClient, vendor: FakeVendor, gateway: Gateway, *, stream: bool
) -> None:
    vendor.script(SMALL, Reply.never())
    vendor.script(LARGE, chat_stream(["there"]) if stream else chat_reply("there"))
    answer = await ask(client, "hurried", stream=stream)
    assert (answer.status_code, answer.headers["x-gateway-target"]) == (200, "large/h")
    (failed,) = json.loads((await gateway.record_of(answer))["failed_attempts"])
    assert (failed["target"], failed["status"], failed["error"]) == ("small/h", 0, "upstream_timeout")


async def test_a_target_that_cannot_be_reached_is_known_for_it_even_where_nobody_stands_behind_it(
    client: httpx.AsyncClient, vendor: FakeVendor, api_port: int
) -> None:
    for _ in range(3):
        answer = await ask(client, "dead")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")

    async def opened() -> bool:
        (target,) = (await explained(api_port, {"model": "dead"}))["targets"]
        return bool(target["circuit"] == "open")

    await until_async(opened, what="the circuit of the dead target")


async def explained(api_port: int, inquiry: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api_port}", timeout=10) as admin:
        answer = await admin.post("/explain", json=inquiry)
    return answer.json()  # type: ignore[no-any-return]


async def test_explain_tells_who_would_be_asked_and_why_and_asks_nobody(vendor: FakeVendor, api_port: int) -> None:
    told = await explained(api_port, {"model": "able", "key": "tests", "body": {"messages": PICTURE}})
    assert told["needs"] == ["vision"]
    first, second = told["targets"]
    assert (first["target"], first["place"]) == ("large/l", 1)
    assert (second["target"], second["place"], second["reason"]) == ("small/s", None, "left out: has no vision")
    assert vendor.count == 0


async def test_explain_tells_what_a_client_would_be_told(api_port: int) -> None:
    unknown = await explained(api_port, {"model": "nothing"})
    assert unknown["error"]["code"] == "model_not_found"
    nobody = await explained(api_port, {"model": "able", "key": "who"})
    assert "no gateway key named" in nobody["error"]["message"]
    strange = await explained(api_port, {"model": "able", "bodi": {}})
    assert strange["error"]["param"] == "bodi"
