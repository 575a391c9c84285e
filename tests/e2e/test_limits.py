"""Limits and budgets as a client meets them, through a real Envoy; two gateways share them through a real Redis."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, Reply, chat_chunks, chat_reply, chat_stream
from tests.support.fake_vendor_openai import openai_error
from tests.support.gateway import Gateway, until_async
from tests.support.redis_server import RedisServer

PATH = "/chat/completions"


def sha256(key: str) -> str:
    return hashlib.sha256(f"sk-{key}".encode()).hexdigest()


def configuration(vendor: FakeVendor, *, more: str = "") -> str:
    limits = {
        "counted": "limits: {rpm: 3, tpm: 100000}",
        "tokens": "limits: {tpm: 4000}",
        "narrow": "limits: {tpm: 20}",
        "spent": "budget: {usd_per_day: 0.0015}",
        "listening": "budget: {usd_per_day: 0.0015}",
        "thrifty": "budget: {usd_per_month: 0.0015, on_budget: reroute}",
        "teamed": "team: search",
        "mate": "team: search",
        "holder": "limits: {concurrent: 1}",
        "elsewhere": "providers: [nobody]",
        "unlimited": "tags: {a: b}",
    }
    keys = "\n".join(f"  - {{name: {name}, sha256: {sha256(name)}, {text}}}" for name, text in limits.items())
    return f"""
circuit: {{failures: 0}}
providers:
  one: {{dialect: openai, base_url: {vendor.url}/one}}
  two: {{dialect: openai, base_url: {vendor.url}/two}}
models:
  chat: {{targets: [{{provider: one, model: a}}]}}
  stalling: {{targets: [{{provider: one, model: a}}], retry: {{attempts: 1, ttft: 300ms, idle: 300ms}}}}
  aimed:
    targets: [{{provider: one, model: a, limits: {{rpm: 2}}}}, {{provider: two, model: b}}]
  dear: {{targets: [{{provider: one, model: dear}}, {{provider: two, model: cheap}}]}}
  everyones: {{targets: [{{provider: one, model: a}}], cache: {{scope: all}}}}
  ear: {{targets: [{{provider: one, model: ear}}]}}
  crowded: {{targets: [{{provider: one, model: a}}], limits: {{rpm: 1}}}}
prices:
  one/dear: {{input: 10, output: 100}}
  two/cheap: {{currency: CNY, input: 1, output: 1}}
  one/ear: {{second: 0.0001}}
teams:
  search: {{limits: {{rpm: 2}}}}
{more}
keys:
{keys}
"""


@pytest_asyncio.fixture(scope="module")
async def the_vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor(chat_reply("well")) as vendor:
        yield vendor


@pytest_asyncio.fixture
async def vendor(the_vendor: FakeVendor) -> FakeVendor:
    the_vendor.reset()
    return the_vendor


@pytest_asyncio.fixture(scope="module", params=["process", "redis"])
async def gateway(
    request: pytest.FixtureRequest, the_vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("limits")
    if request.param == "process":
        async with Gateway(folder, configuration(the_vendor)) as running:
            yield running
        return
    async with RedisServer(folder / "redis") as redis:
        more = f"redis: {{url: {redis.url}, timeout: 1s}}\nworkers: 2"
        async with Gateway(folder, configuration(the_vendor, more=more)) as running:
            yield running


async def ask(gateway: Gateway, key: str, *, model: str = "chat", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10, **more}
    headers = {"authorization": f"Bearer sk-{key}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
        return await client.post("/v1" + PATH, json=body)


async def remaining(gateway: Gateway, key: str, word: str = "tokens") -> int:
    """What a fresh request is told that its key has left, its own reservation given back."""
    answer = await ask(gateway, key)
    assert answer.status_code == 200, answer.text
    return int(answer.headers[f"x-ratelimit-remaining-{word}"])


async def test_requests_a_minute_are_counted_and_told_as_openai_tells_them(
    gateway: Gateway, vendor: FakeVendor
) -> None:
    for left in (2, 1, 0):
        answer = await ask(gateway, "counted")
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
        assert answer.headers["x-ratelimit-limit-tokens"] == "100000"
        assert '"key:counted requests/minute";q=3;w=60' in answer.headers["ratelimit-policy"]
    refused = await ask(gateway, "counted")
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert "3 requests per minute of key counted" in error["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert vendor.count == 3, "the refused one reached nobody"
    record = await gateway.record_of(refused)
    assert (record["status"], record["error"], record["key"]) == (429, "rate_limit_exceeded", "counted")


async def test_the_openai_sdk_raises_its_own_error(gateway: Gateway, vendor: FakeVendor) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="sk-narrow", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as error:
            await client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "Hi"}], max_tokens=50
            )
    assert error.value.type == "tokens"
    assert "more than all of 20 tokens per minute" in str(error.value)


async def test_a_streamed_answer_tells_them_too(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.script("/one" + PATH, chat_stream(["a"]))
    answer = await ask(gateway, "tokens", stream=True)
    assert answer.headers["x-ratelimit-limit-tokens"] == "4000"


async def test_a_team_s_keys_share_its_limit(gateway: Gateway, vendor: FakeVendor) -> None:
    statuses = [(await ask(gateway, key)).status_code for key in ("teamed", "mate", "teamed")]
    assert statuses == [200, 200, 429]


async def test_a_model_s_limit_holds_for_all_who_ask_for_it(gateway: Gateway, vendor: FakeVendor) -> None:
    first, second = await ask(gateway, "unlimited", model="crowded"), await ask(gateway, "tokens", model="crowded")
    assert (first.status_code, second.status_code) == (200, 429)
    assert "of model crowded" in second.json()["error"]["message"]


async def test_a_target_s_limit_sends_what_is_beyond_it_to_the_next(gateway: Gateway, vendor: FakeVendor) -> None:
    targets = [(await ask(gateway, "unlimited", model="aimed")).headers["x-gateway-target"] for _ in range(4)]
    assert targets == ["one/a", "one/a", "two/b", "two/b"]


async def test_a_spent_budget_is_a_402_and_every_record_has_its_cost(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.script("/one" + PATH, chat_reply("dear", usage={"prompt_tokens": 7, "completion_tokens": 9}))
    paid = await ask(gateway, "spent", model="dear", max_tokens=9)
    record = await gateway.record_of(paid)
    assert (record["cost"], record["currency"]) == ("0.00097", "USD")
    refused = await ask(gateway, "spent", model="dear", max_tokens=9)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert "0.0015 USD per day of key spent" in refused.json()["error"]["message"]
    assert (await gateway.record_of(refused))["cost"] == ""


async def test_seconds_of_sound_are_paid_from_a_budget(gateway: Gateway, vendor: FakeVendor) -> None:
    sound = {"file": ("talk.wav", b"RIFFsound", "audio/wav")}
    heard = {"text": "Hi.", "usage": {"type": "duration", "seconds": 9.5}}
    vendor.script("/one/audio/transcriptions", *[Reply.json(heard)] * 2)
    headers = {"authorization": "Bearer sk-listening"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
        paid = [await client.post("/v1/audio/transcriptions", data={"model": "ear"}, files=sound) for _ in range(2)]
        records = [await gateway.record_of(answer) for answer in paid]
        told = [(record["seconds"], record["cost"], record["usage_source"]) for record in records]
        assert told == [(9.5, "0.00095", "provider")] * 2

        async def spent() -> bool:
            return (
                await client.post("/v1/audio/transcriptions", data={"model": "ear"}, files=sound)
            ).status_code == 402

        await until_async(spent, within=3, what="the second one to be settled")


async def test_a_spent_budget_may_leave_the_cheapest_targets(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.script("/one" + PATH, chat_reply("dear", usage={"prompt_tokens": 7, "completion_tokens": 9}))
    vendor.script("/two" + PATH, chat_reply("cheap", usage={"prompt_tokens": 7, "completion_tokens": 9}))
    answers = [await ask(gateway, "thrifty", model="dear", max_tokens=9) for _ in range(3)]
    assert [answer.headers["x-gateway-target"] for answer in answers] == ["one/dear", "two/cheap", "two/cheap"]
    record = await gateway.record_of(answers[-1])
    assert (record["cost"], record["currency"]) == ("0.000016", "CNY")


async def test_a_key_may_be_kept_to_some_providers(gateway: Gateway, vendor: FakeVendor) -> None:
    refused = await ask(gateway, "elsewhere")
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")


async def settled(gateway: Gateway, before: int, used: int) -> None:
    """Wait until all but what was used is back, asking with requests that cost ten tokens each."""
    asked = 0

    async def whole() -> bool:
        nonlocal asked
        asked += 1
        left = await remaining(gateway, "tokens")
        return before - left - used <= asked * 200 - 100

    await until_async(whole, within=5, what="the reservation to be given back")


RESERVED = 2500
"""Tokens that a request below asks for: far more than what the probes between them use."""

FAILURES = {
    "a vendor's error": (openai_error(500, "oops"), False),
    "a vendor that hangs up": (Reply.hang_up(), False),
    "no answer in time": (Reply.never(), False),
    "no content in time": (Reply.head_only(headers=[("content-type", "text/event-stream")]), True),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_reservation_is_given_back(gateway: Gateway, vendor: FakeVendor, name: str) -> None:
    reply, stream = FAILURES[name]
    vendor.script("/one" + PATH, reply, when=lambda request: request.json().get("max_tokens") == RESERVED)
    before = await remaining(gateway, "tokens")
    failed = await ask(gateway, "tokens", model="stalling", max_tokens=RESERVED, stream=stream)
    assert failed.status_code >= 500
    await settled(gateway, before, 0)


async def test_a_kept_answer_costs_no_tokens(gateway: Gateway, vendor: FakeVendor) -> None:
    async def hit() -> bool:
        answer = await ask(gateway, "unlimited", model="everyones", max_tokens=RESERVED)
        return answer.headers["x-gateway-cache"] == "hit"

    await until_async(hit, within=5, what="the answer to be kept")
    before = await remaining(gateway, "tokens")
    served = await ask(gateway, "tokens", model="everyones", max_tokens=RESERVED)
    assert served.headers["x-gateway-cache"] == "hit"
    assert before - int(served.headers["x-ratelimit-remaining-tokens"]) >= RESERVED, "it was reserved first"
    await settled(gateway, before, 0)


@pytest.mark.parametrize("after", ["before the first chunk", "after it"])
async def test_a_client_that_leaves_gets_its_reservation_back(gateway: Gateway, vendor: FakeVendor, after: str) -> None:
    release = asyncio.Event()
    chunks = chat_chunks(["one", "two"])
    seen = 0 if after.startswith("before") else 2
    events: list[Any] = [*chunks[:seen], release, *chunks[seen:]]
    vendor.script("/one" + PATH, Reply.sse(events), when=lambda request: request.json()["max_tokens"] == RESERVED)
    before = await remaining(gateway, "tokens")
    body = {"model": "chat", "messages": [], "max_tokens": RESERVED, "stream": True}
    async with httpx.AsyncClient(base_url=gateway.url, headers={"authorization": "Bearer sk-tokens"}) as client:
        if after.startswith("before"):
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/v1" + PATH, json=body, timeout=0.5)
        else:
            async with client.stream("POST", "/v1" + PATH, json=body) as answer:
                async for _ in answer.aiter_bytes():
                    break
    release.set()
    await settled(gateway, before, 0)


async def test_one_request_at_a_time_and_the_next_when_it_is_over(gateway: Gateway, vendor: FakeVendor) -> None:
    release = asyncio.Event()
    vendor.script("/one" + PATH, chat_reply("slow").after(release))
    first = asyncio.create_task(ask(gateway, "holder"))
    await vendor.wait_for(1)
    refused = await ask(gateway, "holder")
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)
    assert "1 requests at a time" in refused.json()["error"]["message"]
    release.set()
    assert (await first).status_code == 200
    vendor.reset()

    async def free() -> bool:
        return (await ask(gateway, "holder")).status_code == 200

    await until_async(free, within=5, what="the first request's place")


async def test_explain_tells_how_limits_stand_and_takes_nothing_of_them(gateway: Gateway, vendor: FakeVendor) -> None:
    async def explained() -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "processor", "explain", "--json", "--model", "aimed", "--key", "tokens"),
            *("--state", str(gateway.state), "--config", str(gateway.folder / "gateway.yaml")),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return json.loads(out)  # type: ignore[no-any-return]

    first, second = await explained(), await explained()
    assert first["limits"][0]["limit"] == "key:tokens tokens/minute"
    assert first["limits"][0]["remaining"] == second["limits"][0]["remaining"]
    limited, free = first["targets"]
    assert (limited["target"], limited["limits"][0]["amount"], free["limits"]) == ("one/a", 2, [])
