"""A target that fails is left alone for a while and found again; strategies look at the living."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, Received, Reply, chat_chunks, chat_reply
from tests.support.fake_vendor_openai import openai_error
from tests.support.gateway import KEY_SHA256, VENDOR_KEY, Gateway, until_async

FIRST, SECOND = "/first/chat/completions", "/second/chat/completions"


@pytest_asyncio.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as running:
        yield running


@pytest_asyncio.fixture
async def client(vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    def model(strategy: str) -> str:
        targets = "[{provider: first, model: a}, {provider: second, model: b}]"
        return f"{{strategy: {strategy}, targets: {targets}}}"

    config = f"""
circuit: {{failures: 2, open: 1s}}
providers:
  first: {{dialect: openai, base_url: {vendor.url}/first}}
  second: {{dialect: openai, base_url: {vendor.url}/second}}
models:
  listed: {model("failover")}
  busy: {model("least_busy")}
  quick: {model("latency")}
  kept:
    strategy: weighted
    affinity: [session, user]
    targets: [{{provider: first, model: a}}, {{provider: second, model: b}}]
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
    async with (
        Gateway(tmp_path_factory.mktemp("circuits"), config) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=30) as plain,
    ):
        yield plain


async def test_a_probe_of_its_own_finds_a_target_again_before_any_client_does(
    vendor: FakeVendor, tmp_path: Path
) -> None:
    config = f"""
circuit: {{failures: 2, open: 300ms, probe: 100ms}}
providers:
  first: {{dialect: openai, base_url: {vendor.url}/first, api_key: ${{VENDOR_KEY}}}}
  second: {{dialect: openai, base_url: {vendor.url}/second}}
models:
  listed: {{targets: [{{provider: first, model: a}}, {{provider: second, model: b}}]}}
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""

    def is_probe(request: Received) -> bool:
        return bool(request.json()["messages"][0]["content"] == "ping")

    async with (
        Gateway(tmp_path, config) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=30) as client,
    ):
        vendor.script(FIRST, openai_error(503, "busy"))
        vendor.script(SECOND, chat_reply("second"))
        assert [await target_of(client, "listed") for _ in range(3)] == ["second/b"] * 3
        failing = vendor.count
        await vendor.until(lambda: vendor.count >= failing + 2, what="probes that fail")
        assert all(map(is_probe, vendor.requests[failing:])), "no client's request is the probe"
        vendor.script(FIRST, chat_reply("first"))

        async def found() -> bool:
            return await target_of(client, "listed") == "first/a"

        await until_async(found, within=10, what="the first target to be found again")
        clients = [request for request in vendor.requests if request.path == FIRST and not is_probe(request)]
        assert len(clients) == 3, "two that opened the circuit, and the one that was answered"
        probe = next(request for request in vendor.requests if is_probe(request))
        assert probe.header("authorization") == f"Bearer {VENDOR_KEY}"


async def target_of(client: httpx.AsyncClient, model: str, session: str = "", **more: str) -> str:
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
    headers = {"x-session-id": session} if session else {}
    answer = await client.post("/v1/chat/completions", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-gateway-target"]


def asked_at(vendor: FakeVendor, path: str) -> int:
    return sum(request.path == path for request in vendor.requests)


async def test_a_target_that_keeps_failing_is_left_alone_until_it_recovers(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(FIRST, openai_error(500, "broken"))
    vendor.script(SECOND, chat_reply("second"))
    for _ in range(6):
        assert await target_of(client, "listed") == "second/b"
    assert asked_at(vendor, FIRST) == 2, "twice, and then no more"
    await asyncio.sleep(1.1)
    assert await target_of(client, "listed") == "second/b"
    assert await target_of(client, "listed") == "second/b"
    assert asked_at(vendor, FIRST) == 3, "a probe, which failed: now it is left alone for twice as long"
    vendor.script(FIRST, chat_reply("first"))
    await asyncio.sleep(1.1)
    assert await target_of(client, "listed") == "second/b"
    await asyncio.sleep(1.1)
    assert [await target_of(client, "listed") for _ in range(3)] == ["first/a"] * 3


async def test_a_limit_is_kept_for_as_long_as_the_vendor_says(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(FIRST, openai_error(429, "slow down", headers=[("retry-after", "2")]), chat_reply("first"))
    vendor.script(SECOND, chat_reply("second"))
    assert await target_of(client, "listed") == "second/b"
    await asyncio.sleep(1)
    assert await target_of(client, "listed") == "second/b"
    assert asked_at(vendor, FIRST) == 1
    await asyncio.sleep(1.2)
    assert await target_of(client, "listed") == "first/a"


async def test_a_rejected_key_is_made_good_and_not_tried_again_at_once(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.script(FIRST, openai_error(401, "who are you?"))
    vendor.script(SECOND, chat_reply("second"))
    assert [await target_of(client, "listed") for _ in range(4)] == ["second/b"] * 4
    assert asked_at(vendor, FIRST) == 1


async def test_where_every_circuit_is_open_somebody_is_asked_all_the_same(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.default = openai_error(500, "broken")
    for _ in range(3):
        asked = {"model": "listed", "messages": []}
        assert (await client.post("/v1/chat/completions", json=asked)).status_code == 500
    vendor.default = chat_reply("well again")
    assert await target_of(client, "listed") in ("first/a", "second/b")


async def test_the_least_busy_target_is_asked(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(FIRST, chat_reply("first"))
    vendor.script(SECOND, chat_reply("second"))
    held = asyncio.Event()
    for path in (FIRST, SECOND):
        vendor.script(path, Reply.sse([*chat_chunks(["one"])[:2], held, *chat_chunks(["two"]), "[DONE]"]))
    asked = {"model": "busy", "messages": [], "stream": True}
    async with client.stream("POST", "/v1/chat/completions", json=asked) as one:
        async with client.stream("POST", "/v1/chat/completions", json=asked) as two:
            targets = {one.headers["x-gateway-target"], two.headers["x-gateway-target"]}
            held.set()
            await two.aread()
        await one.aread()
    assert targets == {"first/a", "second/b"}


async def test_the_quicker_target_is_asked_more_often(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script(FIRST, chat_reply("slow").after(0.15))
    vendor.script(SECOND, chat_reply("quick"))
    targets = [await target_of(client, "quick") for _ in range(24)]
    assert targets.count("second/b") > targets.count("first/a")
    assert "first/a" in targets, "somebody has to find out how quick it is"


async def test_a_session_and_a_user_stay_at_one_target_while_it_is_healthy(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    vendor.default = chat_reply("either")
    users = [{await target_of(client, "kept", user=f"u-{n}") for _ in range(5)} for n in range(12)]
    assert all(len(targets) == 1 for targets in users)
    assert set.union(*users) == {"first/a", "second/b"}, "and different ones are spread"
    assert len({await target_of(client, "kept", session="s", user=f"u-{n}") for n in range(8)}) == 1
    [own] = {await target_of(client, "kept", user="u-0")}
    broken, other = (FIRST, "second/b") if own == "first/a" else (SECOND, "first/a")
    vendor.script(broken, openai_error(500, "broken"))
    assert [await target_of(client, "kept", user="u-0") for _ in range(4)] == [other] * 4
