"""A stream that broke off after content is answered to its end by another target, if that says the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_vendor import HANG, FakeVendor, Reply, chat_chunks, chat_stream
from tests.support.fake_vendor_openai import openai_error
from tests.support.gateway import KEY_SHA256, Gateway

FIRST, SECOND, THIRD = (f"/{name}/chat/completions" for name in ("first", "second", "third"))
WORDS = ["Once ", "upon ", "a ", "time", "."]
OVERLOADED = {"error": {"message": "overloaded", "type": "overloaded_error", "code": "overloaded"}}
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


@pytest_asyncio.fixture(scope="module")
async def the_vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as vendor:
        yield vendor


@pytest_asyncio.fixture
async def vendor(the_vendor: FakeVendor) -> FakeVendor:
    the_vendor.reset()
    return the_vendor


@pytest_asyncio.fixture(scope="module")
async def gateway(the_vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    names = ("first", "second", "third")
    providers = "\n".join(f"  {name}: {{dialect: openai, base_url: {the_vendor.url}/{name}}}" for name in names)
    targets = ", ".join(f"{{provider: {name}, model: {name}}}" for name in names)
    config = f"""
circuit: {{failures: 0}}
providers:
{providers}
models:
  saved: {{rescue: restart, targets: [{targets}], retry: {{attempts: 3, idle: 400ms}}}}
  alone: {{rescue: restart, targets: [{{provider: first, model: first}}], retry: {{idle: 400ms}}}}
  plain: {{targets: [{targets}], retry: {{attempts: 3, idle: 400ms}}}}
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
    async with Gateway(tmp_path_factory.mktemp("rescue"), config) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client got of a stream."""

    answer: httpx.Response
    text: str
    events: list[Any]
    broken: bool
    comments: list[str]


async def ask(gateway: Gateway, model: str = "saved", **more: Any) -> Heard:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": True, **more}
    raw, broken = b"", False
    async with (
        httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=20) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        try:
            async for piece in answer.aiter_bytes():
                raw += piece
        except httpx.RemoteProtocolError:
            broken = True
    lines = raw.decode().splitlines()
    data = [line[6:] for line in lines if line.startswith("data: ")]
    events: list[Any] = [event if event == "[DONE]" else json.loads(event) for event in data]
    chunks = [event for event in events if event != "[DONE]" and event.get("choices")]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    return Heard(answer, text, events, broken, [line for line in lines if line.startswith(":")])


def broken_off(how: str) -> Reply:
    """Two words, and then the trouble."""
    begun = list(chat_chunks(WORDS, usage=USAGE))[:3]
    ends: dict[str, list[Any]] = {"stalls": [HANG], "errs": [0.1, OVERLOADED], "ends early": [0.1]}
    return Reply.sse([*begun, *ends[how]])


@pytest.mark.parametrize("how", ["stalls", "errs", "ends early"])
@pytest.mark.parametrize("include_usage", [False, True])
async def test_what_broke_off_is_said_to_its_end_once(
    gateway: Gateway, vendor: FakeVendor, how: str, *, include_usage: bool
) -> None:
    vendor.script(FIRST, broken_off(how))
    vendor.script(SECOND, chat_stream(["Once upon", " a time."], usage=USAGE, model="second"))
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if include_usage else {}
    heard = await ask(gateway, **more)
    assert (heard.text, heard.broken) == ("".join(WORDS), False)
    assert heard.events[-1] == "[DONE]"
    assert heard.events.count("[DONE]") == 1
    assert len({event["id"] for event in heard.events[:-1]}) == 1, "one answer, to whom reads it"
    assert len({event["model"] for event in heard.events[:-1]}) == 1
    assert bool(heard.events[-2].get("usage")) == include_usage
    assert heard.comments == [": rescued by second/second"]
    record = await gateway.record_of(heard.answer)
    assert (record["rescued"], record["provider"], record["usage_source"]) == (1, "second", "provider")
    assert (record["input_tokens"], record["output_tokens"]) == (5, 7)
    (failed,) = json.loads(record["failed_attempts"])
    assert failed["target"] == "first/first"


async def test_one_that_says_otherwise_is_no_rescue_and_the_next_may_be(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.script(FIRST, broken_off("errs"))
    vendor.script(SECOND, chat_stream(["In the beginning"]))
    vendor.script(THIRD, chat_stream(WORDS, usage=USAGE))
    heard = await ask(gateway)
    assert (heard.text, heard.comments) == ("".join(WORDS), [": rescued by third/third"])


@pytest.mark.parametrize("second", ["says otherwise", "fails", "says less"])
async def test_what_nobody_can_finish_never_looks_complete(gateway: Gateway, vendor: FakeVendor, second: str) -> None:
    replies = {
        "says otherwise": chat_stream(["In the beginning"]),
        "fails": openai_error(503, "busy"),
        "says less": chat_stream(["Once "]),
    }
    vendor.script(FIRST, broken_off("errs"))
    vendor.script(SECOND, replies[second])
    vendor.script(THIRD, replies[second])
    heard = await ask(gateway)
    assert heard.broken
    assert heard.text == "Once upon "
    assert heard.events[-1]["error"]["code"] == "overloaded"
    record = await gateway.record_of(heard.answer)
    assert (record["rescued"], record["usage_source"]) == (0, "partial")


@pytest.mark.parametrize("model", ["alone", "plain"])
async def test_without_another_target_or_without_the_wish_nothing_is_rescued(
    gateway: Gateway, vendor: FakeVendor, model: str
) -> None:
    vendor.script(FIRST, broken_off("stalls"))
    vendor.script(SECOND, chat_stream(WORDS))
    heard = await ask(gateway, model)
    assert heard.broken
    assert heard.events[-1]["error"]["code"] == "upstream_stalled"
    assert vendor.count == 1


async def test_calls_of_tools_are_not_begun_again(gateway: Gateway, vendor: FakeVendor) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    vendor.script(FIRST, Reply.sse([chunk, 0.1, OVERLOADED]))
    vendor.script(SECOND, chat_stream(WORDS))
    heard = await ask(gateway)
    assert heard.broken
    assert vendor.count == 1


async def test_a_client_that_leaves_ends_the_rescue(gateway: Gateway, vendor: FakeVendor) -> None:
    vendor.script(FIRST, broken_off("errs"))
    vendor.script(SECOND, Reply.never())
    with pytest.raises((TimeoutError, httpx.ReadTimeout)):
        await asyncio.wait_for(ask(gateway), 1.5)
    gone = await vendor.wait_for_disconnects(1)
    assert gone[-1].request.path == SECOND
