"""One usage record for each request in either mode, however it went."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fake_vendor import CLOSE, FakeVendor, Reply, chat_chunks, chat_completion, chat_reply
from tests.support.gateway import Gateway, until, until_async

ASKED = [{"role": "user", "content": "one two three"}]
USAGE = {"prompt_tokens": 70, "completion_tokens": 30, "total_tokens": 100}
DETAILED = {
    **USAGE,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 20},
}


class Ledger:
    """The records that came since the last look."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known = {record["request_id"] for record in gateway.records()}

    async def take(self, count: int = 1) -> list[dict[str, Any]]:
        new = await until(lambda: self._new(count), what=f"{count} new usage records")
        self._known |= {record["request_id"] for record in new}
        return new

    def _new(self, count: int) -> list[dict[str, Any]]:
        records = [
            record for record in self._gateway.records() if record["operation"] != "models"
        ]  # the tests' own polls
        new = [record for record in records if record["request_id"] not in self._known]
        return new if len(new) >= count else []


@pytest.fixture
async def ledger(gateway: Gateway, client: httpx.AsyncClient) -> Ledger:
    """Opened behind a request of its own: Envoy writes its lines in order, so earlier tests' records are there too."""
    mark = (await client.get("/v1/models")).headers["x-request-id"]
    await until(lambda: any(record["request_id"] == mark for record in gateway.records()), what="the mark")
    return Ledger(gateway)


async def test_a_whole_chat(client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger) -> None:
    vendor.script(None, chat_reply(usage=DETAILED, model="deepseek-v4"))
    answer = await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
    [record] = await ledger.take()
    assert record["request_id"] == answer.headers["x-request-id"]
    expected = {
        "mode": "openai",
        "operation": "chat",
        "key": "tests",
        "provider": "deepseek",
        "request_model": "chat",
        "response_model": "deepseek-v4",
        "status": 200,
        "attempts": 1,
        "error": "",
        "response_flags": "",
        "input_tokens": 70,
        "output_tokens": 30,
        "cached_input_tokens": 64,
        "reasoning_tokens": 20,
        "usage_source": "provider",
        "method": "POST",
        "path": "/v1/chat/completions",
    }
    assert {name: record[name] for name in expected} == expected
    assert 0 < record["ttft_ms"] <= record["duration_ms"] + 1
    assert record["bytes_sent"] == len(answer.content)
    assert record["bytes_received"] > 0
    assert vendor.count == 1


@pytest.mark.parametrize("asks", [True, False])
async def test_a_streamed_chat(client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger, *, asks: bool) -> None:
    body = {"model": "chat", "messages": ASKED, "stream": True, "stream_options": {"include_usage": asks}}
    await client.post("/v1/chat/completions", json=body)
    [record] = await ledger.take()
    assert (record["input_tokens"], record["output_tokens"]) == (3, 5)
    assert record["usage_source"] == "provider"
    assert vendor.count == 1


PASSTHROUGH = {
    "chat": ("/deepseek/chat/completions", chat_completion(usage=USAGE), (70, 30), "chat"),
    "messages": (
        "/anthropic/v1/messages",
        {
            "model": "claude",
            "content": [],
            "usage": {"input_tokens": 60, "cache_read_input_tokens": 10, "output_tokens": 30},
        },
        (70, 30),
        "messages",
    ),
    "responses": (
        "/openai/v1/responses",
        {"model": "gpt", "usage": {"input_tokens": 70, "output_tokens": 30, "total_tokens": 100}},
        (70, 30),
        "responses",
    ),
    "embeddings": (
        "/zhipu/api/paas/v4/embeddings",
        {"model": "embedding-3", "data": [], "usage": {"prompt_tokens": 9, "total_tokens": 9}},
        (9, 0),
        "embeddings",
    ),
    "Gemini": (
        "/gemini/v1beta/models/gemini-3:generateContent",
        {
            "modelVersion": "gemini-3-001",
            "usageMetadata": {"promptTokenCount": 70, "candidatesTokenCount": 10, "thoughtsTokenCount": 20},
        },
        (70, 30),
        "generate_content",
    ),
    "DashScope": (
        "/ali/api/v1/services/aigc/text-generation/generation",
        {"output": {"text": "x"}, "usage": {"input_tokens": 70, "output_tokens": 30, "total_tokens": 100}},
        (70, 30),
        "chat",
    ),
}


@pytest.mark.parametrize(("path", "answer", "tokens", "operation"), PASSTHROUGH.values(), ids=PASSTHROUGH)
@pytest.mark.parametrize("compressed", [False, True])
async def test_passthrough_is_counted(
    client: httpx.AsyncClient,
    vendor: FakeVendor,
    ledger: Ledger,
    path: str,
    answer: dict[str, Any],
    tokens: tuple[int, int],
    operation: str,
    *,
    compressed: bool,
) -> None:
    body = json.dumps(answer).encode()
    headers = [("content-type", "application/json")]
    if compressed:
        body, headers = gzip.compress(body), [*headers, ("content-encoding", "gzip")]
    vendor.default = Reply.of(body, headers=headers)
    await client.post(path, json={"model": "asked", "messages": ASKED})
    [record] = await ledger.take()
    assert (record["input_tokens"], record["output_tokens"]) == tokens
    assert record["usage_source"] == "provider"
    assert (record["mode"], record["operation"]) == ("passthrough", operation)
    assert record["provider"] == path.split("/")[1]
    assert record["path"] == path
    assert record["request_model"] == "asked"
    assert record["key"] == ""


async def test_streamed_passthrough_is_counted(client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger) -> None:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "claude-9", "usage": {"input_tokens": 70, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Bonjour"}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 30}},
        {"type": "message_stop"},
    ]
    vendor.default = Reply.sse(events)
    await client.post("/anthropic/v1/messages", json={"model": "claude", "stream": True})
    [record] = await ledger.take()
    assert (record["input_tokens"], record["output_tokens"]) == (70, 30)
    assert (record["usage_source"], record["response_model"]) == ("provider", "claude-9")


async def test_what_was_refused_is_recorded(gateway: Gateway, ledger: Ledger) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        await client.post("/v1/chat/completions", content="{", headers=gateway.headers)
        await client.post("/v1/chat/completions", content="{}")
        await client.get("/v1/chat/completions")
        await client.get("/nobody/at/all")
    records = {record["error"]: record for record in await ledger.take(4)}
    assert records["invalid_json"]["status"] == 400
    assert records["invalid_json"]["key"] == "tests"
    assert (records["missing_api_key"]["status"], records["missing_api_key"]["key"]) == (401, "")
    assert records["method_not_allowed"]["status"] == 405
    assert records["unknown_path"]["status"] == 404
    assert all(record["usage_source"] == "none" and record["attempts"] == 0 for record in records.values())


async def test_a_vendor_s_error_is_recorded_without_tokens(
    client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger
) -> None:
    vendor.default = Reply.json({"error": {"message": "no", "code": "bad_thing"}}, status=422)
    await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
    await client.post("/deepseek/chat/completions", json={"model": "x"})
    ours, theirs = await ledger.take(2)
    assert (ours["status"], ours["error"], ours["usage_source"]) == (422, "bad_thing", "none")
    assert (theirs["status"], theirs["usage_source"]) == (422, "none")
    assert ours["input_tokens"] == theirs["input_tokens"] == 0


async def test_an_unreachable_vendor_is_recorded_with_envoy_s_flags(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await client.post("/v1/chat/completions", json={"model": "unreachable", "messages": ASKED})
    await client.post("/nowhere/chat/completions", json={})
    for record in await ledger.take(2):
        assert record["status"] == 503
        assert "UF" in record["response_flags"]
        assert record["provider"] == "nowhere"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/deepseek/chat/completions"])
async def test_a_stream_cut_by_the_vendor_is_partial(
    client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger, path: str
) -> None:
    role, text, *_ = chat_chunks(["x" * 400])
    vendor.default = Reply.sse([role, text, 0.2, CLOSE])
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post(path, json={"model": "chat", "messages": ASKED, "stream": True})
    [record] = await ledger.take()
    assert record["usage_source"] == "partial"
    assert 70 <= record["output_tokens"] <= 130
    assert record["input_tokens"] > 0
    assert record["status"] == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/deepseek/chat/completions"])
async def test_a_stream_the_client_abandons_is_partial_and_ends_at_the_vendor(
    client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger, path: str
) -> None:
    role, text, *_ = chat_chunks(["y" * 400])
    vendor.default = Reply.sse([role, text, 30.0])
    body = {"model": "chat", "messages": ASKED, "stream": True}
    async with client.stream("POST", path, json=body) as answer:
        async for line in answer.aiter_lines():
            if "yyy" in line:
                break
    await vendor.wait_for_disconnects(1)
    [record] = await ledger.take()
    assert record["usage_source"] == "partial"
    assert 70 <= record["output_tokens"] <= 130
    assert record["response_flags"] == "DC"


async def test_a_client_that_leaves_before_the_first_token_leaves_the_cost_of_its_prompt(
    client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger
) -> None:
    vendor.default = Reply.never()
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED}, timeout=0.5)
    await vendor.wait_for_disconnects(1)
    [record] = await ledger.take()
    assert (record["usage_source"], record["output_tokens"], record["response_flags"]) == ("partial", 0, "DC")
    assert 10 <= record["input_tokens"] <= 40


async def test_a_failed_attempt_leaves_nothing_in_the_record_of_the_one_that_answered(
    client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger
) -> None:
    vendor.script("/house/v1/chat/completions", Reply.reset())
    await client.post("/v1/chat/completions", json={"model": "backed-up", "messages": ASKED})
    [record] = await ledger.take()
    assert (record["provider"], record["attempts"], record["error"]) == ("deepseek", 3, "")
    assert (record["usage_source"], record["input_tokens"], record["output_tokens"]) == ("provider", 3, 5)


async def test_a_whole_answer_without_a_count_is_estimated(
    client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger
) -> None:
    vendor.default = chat_reply("z" * 400, usage=None)
    await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
    await client.post("/deepseek/chat/completions", json={"model": "chat", "messages": ASKED})
    for record in await ledger.take(2):
        assert record["usage_source"] == "estimated"
        assert 90 <= record["output_tokens"] <= 110


async def test_the_usage_command_prints_a_table(
    gateway: Gateway, client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
    await gateway.wait_for_records(1)
    for by in ("key", "model", "provider", "day"):
        command = (sys.executable, "-m", "processor", "usage", "--by", by, "--state", str(gateway.state))
        run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith(by)
    assert vendor.count == 1


async def test_nothing_is_lost_or_doubled_when_processors_are_killed_between_requests(
    gateway: Gateway, client: httpx.AsyncClient, vendor: FakeVendor, ledger: Ledger
) -> None:
    ids = []
    for _ in range(4):
        seen = _observations(gateway)
        for path in ("/v1/chat/completions", "/deepseek/chat/completions"):
            answer = await client.post(path, json={"model": "chat", "messages": ASKED})
            assert answer.status_code == 200
            ids.append(answer.headers.get("x-request-id"))
        # The answer does not wait for passthrough's copies: the request is over when they have been looked at too.
        await until(partial(lambda seen: _observations(gateway) > seen, seen), what="an observation")
        before = set(gateway.pids("processor worker"))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await until(partial(_renewed, gateway, before), what="new workers")
        await until_async(partial(_answers, client), what="an answer")
    records = await ledger.take(8)
    assert {request_id for request_id in ids if request_id} <= {record["request_id"] for record in records}
    good = [record for record in records if record["status"] == 200 and record["operation"] == "chat"]
    assert len([record for record in good if record["mode"] == "passthrough"]) == 4
    assert all(record["usage_source"] == "provider" for record in good)
    assert vendor.count >= 8


def _observations(gateway: Gateway) -> int:
    return (gateway.state / "observed.jsonl").read_bytes().count(b"\n")


def _renewed(gateway: Gateway, old: set[int]) -> bool:
    return len(set(gateway.pids("processor worker")) - old) == 2


async def _answers(client: httpx.AsyncClient) -> bool:
    """Whether every worker does: requests are spread over them by their ids."""
    answers = [await client.get("/v1/models") for _ in range(16)]
    return all(answer.status_code == 200 for answer in answers)


REQUESTS = 10_000
CLIENTS = 16


async def test_ten_thousand_mixed_requests_leave_as_many_records(
    gateway: Gateway, vendor: FakeVendor, ledger: Ledger
) -> None:
    """A tenth is abandoned in mid-stream; the rest is chat, streamed chat, passthrough, and refusals."""
    vendor.script("/house/v1/chat/completions", Reply.sse([*chat_chunks(["word " * 40])[:2], 60.0]))
    command = (sys.executable, "-m", "tests.e2e.mixed_load", gateway.url, gateway.key, str(REQUESTS), str(CLIENTS))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    seen = Counter(json.loads(out))
    assert sum(seen.values()) == REQUESTS
    assert seen["abandoned"] == REQUESTS // 10
    assert set(seen) == {"abandoned", "200", "401", "404"}, seen
    records = await ledger.take(REQUESTS)
    assert len(records) == REQUESTS
    statuses = Counter(record["status"] for record in records)
    assert statuses[401] == seen["401"]
    assert statuses[404] == seen["404"]
    cut = [record for record in records if record["response_flags"] == "DC"]
    assert len(cut) == seen["abandoned"]
    assert {record["usage_source"] for record in cut} == {"partial"}
    assert all(40 <= record["output_tokens"] <= 60 for record in cut)
    whole = [record for record in records if record["status"] == 200 and not record["response_flags"]]
    assert {record["usage_source"] for record in whole} == {"provider"}
    assert not vendor.failures
