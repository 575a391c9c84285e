"""Kept answers, through a real Envoy: in the process, and in a real Redis for two workers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, chat_reply, chat_stream
from tests.support.faults import FAULTS
from tests.support.gateway import Gateway, until_async
from tests.support.redis_server import RedisServer

PATH = "/one/chat/completions"
KEYS = ("ana", "bob", "cy")
USAGE = {"prompt_tokens": 7, "completion_tokens": 9}


def configuration(vendor: FakeVendor, *, more: str = "") -> str:
    keys = "\n".join(
        f"  - {{name: {name}, sha256: {hashlib.sha256(name.encode()).hexdigest()}, team: {team}}}"
        for name, team in zip(KEYS, ("search", "search", "ads"), strict=True)
    )
    one = "targets: [{provider: one, model: a}]"
    return f"""
circuit: {{failures: 0}}
providers: {{one: {{dialect: openai, base_url: {vendor.url}/one}}}}
models:
  kept: {{{one}, cache: {{ttl: 1h}}}}
  brief: {{{one}, cache: {{mode: exact, ttl: 500ms}}}}
  teams: {{{one}, cache: {{ttl: 1h, scope: team}}}}
  everyone: {{{one}, cache: {{ttl: 1h, scope: all}}}}
  stalling: {{{one}, cache: {{ttl: 1h}}, retry: {{attempts: 1, idle: 300ms}}}}
  plain: {{{one}}}
{more}
keys:
{keys}
"""


@pytest_asyncio.fixture(scope="module")
async def the_vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as vendor:
        yield vendor


@pytest_asyncio.fixture
async def vendor(the_vendor: FakeVendor) -> FakeVendor:
    the_vendor.reset()
    numbers = itertools.count()
    the_vendor.script(PATH, lambda _: chat_reply(f"answer {next(numbers)}", usage=USAGE))
    return the_vendor


@pytest_asyncio.fixture(scope="module", params=["process", "redis"])
async def gateway(
    request: pytest.FixtureRequest, the_vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("cache")
    if request.param == "process":
        async with Gateway(folder, configuration(the_vendor)) as running:
            yield running
        return
    async with RedisServer(folder / "redis") as redis:
        more = f"redis: {{url: {redis.url}, timeout: 1s}}\nworkers: 2"
        async with Gateway(folder, configuration(the_vendor, more=more)) as running:
            yield running


_questions = itertools.count()


@pytest.fixture
def question() -> str:
    """One that nobody has asked before."""
    return f"What is {next(_questions)}?"


async def ask(
    gateway: Gateway, question: str, *, key: str = "ana", model: str = "kept", headers: Any = (), **more: Any
) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": question}], **more}
    credentials = {"authorization": f"Bearer {key}", **dict(headers)}
    async with httpx.AsyncClient(base_url=gateway.url, headers=credentials, timeout=30) as client:
        return await client.post("/v1/chat/completions", json=body)


async def asked_until_kept(gateway: Gateway, question: str, **how: Any) -> httpx.Response:
    """Answers are kept beside the requests: soon, not at once."""

    async def hit() -> httpx.Response | None:
        answer = await ask(gateway, question, **how)
        return answer if answer.headers.get("x-gateway-cache") == "hit" else None

    return await until_async(hit, within=5, what="the answer to be kept")


async def test_who_asks_the_same_is_given_the_same_and_nobody_is_asked(
    gateway: Gateway, vendor: FakeVendor, question: str
) -> None:
    first = await ask(gateway, question, user="one")
    assert first.headers["x-gateway-cache"] == "miss"
    hit = await asked_until_kept(gateway, question, user="another")
    asked = vendor.count
    second = await ask(gateway, question)
    assert second.content == hit.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-gateway-target"] == "one/a"
    assert int(second.headers["age"]) >= 0
    assert vendor.count == asked
    missed, record = await gateway.record_of(first), await gateway.record_of(second)
    assert (missed["cache"], missed["usage_source"], missed["output_tokens"]) == ("miss", "provider", 9)
    assert (record["cache"], record["usage_source"], record["input_tokens"]) == ("hit", "none", 0)
    assert (record["attempts"], record["provider"], record["cost"], record["error"]) == (0, "", "", "")
    assert (record["request_model"], record["status"]) == ("kept", 200)


async def test_a_stream_is_given_again_as_it_was(gateway: Gateway, vendor: FakeVendor, question: str) -> None:
    vendor.script(PATH, chat_stream(["One", " two"], usage=USAGE))
    first = await ask(gateway, question, stream=True)
    again = await asked_until_kept(gateway, question, stream=True)
    assert again.content == first.content
    assert again.headers["content-type"] == "text/event-stream"
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="ana") as client:
        # The SDK writes the same body in its own order.
        messages: Any = [{"role": "user", "content": question}]
        stream = await client.chat.completions.create(model="kept", messages=messages, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]) == "One two"


async def test_another_form_of_the_answer_is_another_question(
    gateway: Gateway, vendor: FakeVendor, question: str
) -> None:
    await asked_until_kept(gateway, question)
    changes: list[dict[str, Any]] = [{"temperature": 0.5}, {"stream": True}, {"max_tokens": 5}, {"tools": []}]
    for change in changes:
        answer = await ask(gateway, question, **change)
        assert answer.headers["x-gateway-cache"] == "miss", change


async def test_an_anthropic_client_is_served_likewise(gateway: Gateway, vendor: FakeVendor, question: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="ana") as client:

        async def said() -> tuple[str, str]:
            raw = await client.messages.with_raw_response.create(
                model="kept", max_tokens=9, messages=[{"role": "user", "content": question}]
            )
            [block] = (await raw.parse()).content
            assert block.type == "text"
            return raw.headers["x-gateway-cache"], block.text

        async def hit() -> str | None:
            verdict, text = await said()
            return text if verdict == "hit" else None

        await said()
        assert (await until_async(hit, within=5)).startswith("answer")


@pytest.mark.parametrize(
    ("model", "key", "verdict"),
    [
        ("kept", "bob", "miss"),
        ("teams", "bob", "hit"),
        ("teams", "cy", "miss"),
        ("everyone", "cy", "hit"),
    ],
)
async def test_who_shares_an_answer(
    gateway: Gateway, vendor: FakeVendor, question: str, model: str, key: str, verdict: str
) -> None:
    await asked_until_kept(gateway, question, model=model, key="ana")
    assert (await ask(gateway, question, model=model, key=key)).headers["x-gateway-cache"] == verdict


async def test_a_model_without_it_keeps_nothing(gateway: Gateway, vendor: FakeVendor, question: str) -> None:
    answers = [await ask(gateway, question, model="plain") for _ in range(2)]
    assert vendor.count == 2
    assert all("x-gateway-cache" not in answer.headers for answer in answers)
    assert (await gateway.record_of(answers[1]))["cache"] == ""


async def test_a_client_may_want_a_new_answer_or_none_kept(gateway: Gateway, vendor: FakeVendor, question: str) -> None:
    unkept = await ask(gateway, question, headers={"cache-control": "no-store"})
    assert "x-gateway-cache" not in unkept.headers
    old = await asked_until_kept(gateway, question)
    fresh = await ask(gateway, question, headers={"cache-control": "max-age=0, No-Cache"})
    assert fresh.headers["x-gateway-cache"] == "miss"
    assert fresh.content != old.content

    async def renewed() -> bool:
        return (await ask(gateway, question)).content == fresh.content

    await until_async(renewed, within=5, what="the new answer in the place of the old")


async def test_an_answer_is_kept_for_so_long(gateway: Gateway, vendor: FakeVendor, question: str) -> None:
    old = await asked_until_kept(gateway, question, model="brief")

    async def forgotten() -> httpx.Response | None:
        answer = await ask(gateway, question, model="brief")
        return answer if answer.headers["x-gateway-cache"] == "miss" else None

    assert (await until_async(forgotten, within=5)).content != old.content


UNFIT = ("503 always", "error after content", "hang-up in the middle", "stall", "malformed event")
"""Faults of a stream after which a client has no answer that another should be given."""


@pytest.mark.parametrize("name", UNFIT)
async def test_only_what_is_whole_is_kept(gateway: Gateway, vendor: FakeVendor, question: str, name: str) -> None:
    vendor.script(PATH, FAULTS[name]().streamed)
    for _ in range(3):
        with suppress(httpx.RemoteProtocolError):
            answer = await ask(gateway, question, model="stalling", stream=True)
            assert answer.headers.get("x-gateway-cache") != "hit"


async def test_while_redis_is_away_every_request_is_answered_anew(the_vendor: FakeVendor, tmp_path: Any) -> None:
    the_vendor.reset()
    the_vendor.script(PATH, chat_reply("well", usage=USAGE))
    async with RedisServer(tmp_path / "redis") as redis:
        config = configuration(the_vendor, more=f"redis: {{url: {redis.url}, timeout: 200ms}}")
        async with Gateway(tmp_path, config) as gateway:
            await asked_until_kept(gateway, "a")
            await redis.stop()
            answers = [await ask(gateway, "a") for _ in range(5)]
            assert [(answer.status_code, answer.headers["x-gateway-cache"]) for answer in answers] == [
                (200, "miss")
            ] * 5
            await redis.start()
            await asked_until_kept(gateway, "a")
            log = gateway.log.read_text()
            assert log.count("kept answers are not looked for now") == 1
            assert log.count("kept answers are looked for again") == 1
